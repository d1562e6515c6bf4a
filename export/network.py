"""A PyTorch classifier as one ONNX file: uint8 frames in, probabilities out, the contract in its metadata."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import NamedTemporaryFile

import onnx
import torch
from torch import Tensor, nn

from pipeline import contract as contracts
from pipeline.contract import ModelContract

OPSET = 18  # later ones have put nodes of the CUDA provider on the CPU


class FrameClassifier(nn.Module):
    """From frames uint8 [B, H, W, 3], BGR, to probabilities float32 [B, C].

    Args:
        network: takes float32 [B, 3, H, W], RGB, normalised; returns logits [B, C].
        mean, std: of the red, green and blue channel, on the scale 0..1.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)))
        self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        rgb = frames.flip(-1).permute(0, 3, 1, 2).float()
        return self.network(rgb * self.scale + self.shift).softmax(1)


def export_classifier(
    network: nn.Module, contract: ModelContract, mean: Sequence[float], std: Sequence[float], path: Path
) -> None:
    """Writes `network` to `path`, dynamic in its batch, weights inside, the contract in its metadata.

    The file appears when it is whole. Equal networks and contracts give equal bytes.
    """
    frames = torch.zeros(2, contract.input.height, contract.input.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            FrameClassifier(network, mean, std).eval(),
            (frames,),
            input_names=[contracts.INPUT_NAME],
            output_names=list(contracts.CLASSIFIER_OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip_traces(model)
    onnx.helper.set_model_props(model, contract.to_metadata())
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.stem}.partial-", suffix=".onnx", delete=False) as file:
        partial = Path(file.name)  # of its own: another process may export the same
    try:
        onnx.save(model, partial)
        onnx.checker.check_model(partial, full_check=True)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Removes the stack traces, with paths of the machine, that the exporter leaves at every node and value."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
