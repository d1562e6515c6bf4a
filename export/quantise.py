"""INT8: static quantisation of a float model, calibrated on frames like those it will see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.graph import first_line
from export.network import quietly
from pipeline.contract import INPUT_NAME
from pipeline.errors import ModelError

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_NORMS = ("InstanceNormalization", "LayerNormalization")


def quantise(model: onnx.ModelProto, inputs: Iterator[NDArray[np.uint8]]) -> onnx.ModelProto:
    """The model with uint8 activations and int8 weights for each channel, between QuantizeLinear and DequantizeLinear.

    The first and the last layers with weights, all before those and all behind these stay in float32: they take little
    of the time, and lose most. So do softmax with what feeds and reads it, a max pooling behind the first layer, and
    norms by the picture: ONNX Runtime (1.31) has no integer kernels for these, and its quantiser gives the copies that
    it makes of a bias which they share names that other tensors may have.

    Args:
        model: in float32, its nodes named.
        inputs: batches for calibration, uint8 [B, H, W, 3], as the model takes them.

    Raises:
        ModelError: it cannot be quantised, or has nothing to quantise.
    """
    kept = _ends(model.graph)
    if all(node.name in kept for node in model.graph.node if node.op_type in _WEIGHTED):
        raise ModelError("the network has no layers between its first and its last: nothing to make int8 of")
    kept |= _around_softmax(model.graph)
    kept |= {node.name for node in model.graph.node if node.op_type in _NORMS}
    model = _pool_before_relu(model, kept)
    with TemporaryDirectory() as folder, quietly():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)  # a model in memory would lose its weights to a file beside it
        try:
            quantize_static(
                source,
                target,
                _Frames(inputs),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=sorted(kept),
            )
        except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
            raise ModelError(f"the network cannot be quantised: {first_line(error)}") from error
        return onnx.load(target)


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Iterator[NDArray[np.uint8]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        frames = next(self._inputs, None)
        return None if frames is None else {INPUT_NAME: frames}


def _around_softmax(graph: onnx.GraphProto) -> set[str]:
    """The names of all Softmax nodes and of their neighbours, which would have their values rounded."""
    softmax = [node for node in graph.node if node.op_type == "Softmax"]
    inputs = {name for node in softmax for name in node.input}
    outputs = {name for node in softmax for name in node.output}
    near = [node for node in graph.node if inputs.intersection(node.output) or outputs.intersection(node.input)]
    return {node.name for node in (*softmax, *near)}


def _pool_before_relu(model: onnx.ModelProto, kept: set[str]) -> onnx.ModelProto:
    """The same function, with Relu and MaxPool behind a layer of `kept` in each other's place.

    ONNX Runtime moves a quantisation in front of the MaxPool that it follows, whose uint8 kernel takes a quarter of a
    ResNet-18's time; a Relu between them prevents that.
    """
    swapped = onnx.ModelProto()
    swapped.CopyFrom(model)
    makers = {output: node for node in swapped.graph.node for output in node.output}
    readers = Counter(name for node in swapped.graph.node for name in node.input)
    readers.update(value.name for value in swapped.graph.output)
    for pool in [node for node in swapped.graph.node if node.op_type == "MaxPool"]:
        relu = makers.get(pool.input[0])
        if relu is None or relu.op_type != "Relu" or readers[pool.input[0]] > 1:
            continue
        layer = makers.get(relu.input[0])
        if layer is not None and layer.name in kept and len(pool.output) == 1:
            _swap(swapped.graph, relu, pool)
    return swapped


def _swap(graph: onnx.GraphProto, first: onnx.NodeProto, second: onnx.NodeProto) -> None:
    """Two nodes of one input and one output, of which the first alone feeds the second, change places."""
    between = first.output[0]
    before, after = onnx.NodeProto(), onnx.NodeProto()
    before.CopyFrom(second)
    after.CopyFrom(first)
    before.input[0], before.output[0] = first.input[0], between
    after.input[0], after.output[0] = between, second.output[0]
    first.CopyFrom(before)
    second.CopyFrom(after)


def _ends(graph: onnx.GraphProto) -> set[str]:
    """The names of the nodes up to the first layers with weights and from the last ones on, with these."""
    weights = {tensor.name for tensor in graph.initializer}
    makers = {output: [node] for node in graph.node for output in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before = _reach([value.name for value in graph.input], readers, lambda node: node.output, weights)
    behind = _reach([value.name for value in graph.output], makers, lambda node: node.input, weights)
    return before | behind


def _reach(
    start: list[str],
    nodes_at: dict[str, list[onnx.NodeProto]],
    onwards: Callable[[onnx.NodeProto], Iterable[str]],
    weights: set[str],
) -> set[str]:
    """The nodes on all ways from `start` to the nearest layers with weights, with these."""
    found: set[str] = set()
    ahead = list(start)
    while ahead:
        for node in nodes_at.get(ahead.pop(), []):
            if node.name in found or node.op_type == "Shape":  # sizes run through the whole graph, values do not
                continue
            found.add(node.name)
            if node.op_type not in _WEIGHTED or not weights.intersection(node.input):
                ahead.extend(onwards(node))
    return found
