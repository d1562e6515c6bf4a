"""Nodes that ONNX Runtime (1.31) gets wrong, or slowly, replaced by others that mean the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import helper, numpy_helper

from export.graph import constants, opset, refill

_FEW_CHANNELS = 64  # YOLOv8's distributions have sixteen


def keep_padding(graph: onnx.GraphProto) -> None:
    """Keeps ONNX Runtime from merging a Pad of zeros into the MaxPool behind it, which pads with -∞ instead.

    Its Pad_Fusion (1.31) leaves a Pad alone whose value is an empty input, which means zero as well.
    """
    known = constants(graph)
    readers = {name: node for node in graph.node for name in node.input}
    for pad in graph.node:
        reader = readers.get(pad.output[0]) if pad.op_type == "Pad" else None
        while reader is not None and reader.op_type in ("Transpose", "Cast", "Identity"):
            reader = readers.get(reader.output[0])
        if reader is None or reader.op_type != "MaxPool":
            continue
        value = [name for name in pad.input[2:3] if name]
        if all(name in known and not numpy_helper.to_array(known[name]).any() for name in value):
            refill(pad.input, [*pad.input[:2], "", *pad.input[3:]])


def split_softmax(model: onnx.ModelProto) -> None:
    """Makes elementary nodes of each Softmax over a few channels that only convolutions read.

    With such a one, YOLOv8 and its kin take the mean of a distribution for each side of a box. The kernel for the CPU
    goes from row to row, and takes several times as long as these nodes for rows of sixteen values. On a GPU the gain
    has not been measured.
    """
    nodes, known = model.graph.node, constants(model.graph)
    parts: list[onnx.NodeProto] = []
    widths: dict[str, float] = {value.name: math.inf for value in model.graph.output}
    for node in nodes:
        for name in node.input:
            widths[name] = max(widths.get(name, 0), _convolved(node, known))
    for node in nodes:
        wanted = _over_channels(node) and widths.get(node.output[0], math.inf) <= _FEW_CHANNELS
        parts += _elementary(node, opset(model)) if wanted else [node]
    refill(nodes, parts)


def _over_channels(node: onnx.NodeProto) -> bool:
    return node.op_type == "Softmax" and any(each.name == "axis" and each.i == 1 for each in node.attribute)


def _convolved(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto]) -> float:
    """How many channels a convolution reads; infinite where that is not known, and for any other node."""
    if node.op_type != "Conv" or node.input[1] not in known:
        return math.inf
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    return groups * known[node.input[1]].dims[1]


def _elementary(softmax: onnx.NodeProto, version: int) -> Iterator[onnx.NodeProto]:
    """exp(x - max x) ÷ its sum, over axis 1."""
    (logits,), (scores,) = softmax.input, softmax.output
    axis, highest, below, powers, total = (f"{scores}/{part}" for part in ("axis", "max", "below", "exp", "sum"))
    yield helper.make_node("Constant", [], [axis], axis, value_ints=[1])
    if version < 18:
        yield helper.make_node("ReduceMax", [logits], [highest], highest, axes=[1])
    else:
        yield helper.make_node("ReduceMax", [logits, axis], [highest], highest)
    yield helper.make_node("Sub", [logits, highest], [below], below)
    yield helper.make_node("Exp", [below], [powers], powers)
    yield helper.make_node("ReduceSum", [powers, axis], [total], total)
    yield helper.make_node("Div", [powers, total], [scores], softmax.name)
