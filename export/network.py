"""A PyTorch module as an ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from export.frames import FrameModel
from export.graph import first_line, tidy
from export.rewrites import keep_padding
from pipeline.contract import INPUT_NAME, ModelContract
from pipeline.errors import ModelError

OPSET = 18  # later ones have put nodes of the CUDA provider on the CPU


def to_onnx(model: FrameModel, contract: ModelContract) -> onnx.ModelProto:
    """The graph of `model`: any batch, weights inside, frames of any size where the contract's rule is `graph`.

    Norms behind convolutions are folded into them. Equal models give equal bytes.

    Raises:
        ModelError: a layer cannot be exported; it is named.
    """
    dims: dict[int, Any] = {0: Dim("batch")}
    if contract.resize.rule == "graph":
        dims |= {1: Dim("height"), 2: Dim("width")}
    frames = torch.zeros(2, contract.input.height, contract.input.width, 3, dtype=torch.uint8)
    with quietly():
        program = _capture(_with_plain_pooling(model), frames, dims)
        try:
            converted = torch.onnx.export(
                program,
                (frames,),
                input_names=[INPUT_NAME],
                output_names=list(contract.outputs),
                dynamic_shapes=(dims,),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(_explain(error, program)) from error
    assert converted is not None
    graph: onnx.ModelProto = converted.model_proto
    tidy(graph)
    keep_padding(graph.graph)
    return graph


def _capture(model: nn.Module, frames: Tensor, dims: dict[int, Any]) -> ExportedProgram:
    names = {module: name for name, module in model.named_modules()}
    running: list[nn.Module] = []
    hooks = [
        hook
        for module in names
        for hook in (
            module.register_forward_pre_hook(lambda module, _: running.append(module)),
            module.register_forward_hook(lambda *_: _forget(running)),
        )
    ]
    try:
        return torch.export.export(model, (frames,), dynamic_shapes=(dims,), strict=False)
    except Exception as error:  # whatever a layer raises when it sees no numbers, in no common class
        where = _place(names[running[-1]], type(running[-1]).__name__) if running else "the network"
        raise ModelError(f"{where} cannot be exported: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _forget(running: list[nn.Module]) -> None:
    running.pop()


def _explain(error: BaseException, program: ExportedProgram) -> str:
    """Names the layer of which the exporter says only the node, and the innermost of its causes."""
    nodes = {node.name: node for node in program.run_decompositions().graph.nodes}
    where = "the network"
    while error.__cause__ is not None:
        named = str(error).partition("translating node %")[2].partition(" ")[0]
        if stack := getattr(nodes.get(named), "meta", {}).get("nn_module_stack"):
            path, kind = list(stack.values())[-1]
            where = _place(path, kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__)
        error = error.__cause__
    return f"{where} cannot be exported: {first_line(error)}"


def _place(path: str, kind: str) -> str:
    return f"the layer {path.removeprefix('network.') or 'of the network'} ({kind})"


class _Mean(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3), keepdim=True)


def _with_plain_pooling(model: nn.Module) -> nn.Module:
    """A copy whose pooling to one pixel is a mean: the exporter makes index arithmetic of it, which runs on the CPU."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):  # one pool may stand under several names
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(module, name, _Mean())
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Exporters tell standard output, warnings and logs about every step."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
