"""A PyTorch classifier as one ONNX file: uint8 frames in, probabilities out, the contract in its metadata."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from pipeline import contract as contracts
from pipeline.contract import ModelContract
from pipeline.errors import ModelError
from pipeline.sinks.partial import writing

OPSET = 18  # later ones have put nodes of the CUDA provider on the CPU


class FrameClassifier(nn.Module):
    """From frames uint8 [B, H, W, 3], BGR, to probabilities float32 [B, C].

    Args:
        network: takes float32 [B, 3, H, W], RGB, normalised; returns logits [B, C].
        mean, std: of the red, green and blue channel, on the scale 0..1.
        temperature: by which logits are divided before the softmax.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)))
        self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        rgb = frames.flip(-1).permute(0, 3, 1, 2).float()
        logits = self.network(rgb * self.scale + self.shift)
        return (logits if self.temperature == 1 else logits / self.temperature).softmax(1)


@contextmanager
def exporting(classifier: nn.Module, contract: ModelContract, path: Path) -> Iterator[Path]:
    """Writes `classifier`, as `FrameClassifier`, for the body to try out; after it, the file is called `path`.

    The batch is dynamic, weights are inside, the contract is in the metadata. Equal networks and contracts give equal
    bytes. If the body raises, nothing is left and an older file of the name stays.

    Raises:
        ModelError: the network cannot be exported. SinkError: the file cannot be written.
    """
    model = _export(classifier.eval(), contract)
    _strip_traces(model)
    onnx.helper.set_model_props(model, contract.to_metadata())
    partial = path.with_name(f"{path.stem}.partial-{os.getpid()}.onnx")  # another process may export the same
    try:
        with writing(path):
            partial.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(partial, full_check=True)
        yield partial
        with writing(path):
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _export(classifier: nn.Module, contract: ModelContract) -> onnx.ModelProto:
    frames = torch.zeros(2, contract.input.height, contract.input.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                classifier,
                (frames,),
                input_names=[contracts.INPUT_NAME],
                output_names=list(contracts.CLASSIFIER_OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(f"the network cannot be exported: {_reason(error)}") from error
    assert program is not None
    return program.model_proto


def _reason(error: BaseException) -> str:
    """The innermost cause in a line: exporters wrap it in reports of many pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Removes the stack traces, with paths of the machine, that the exporter leaves at every node and value."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
