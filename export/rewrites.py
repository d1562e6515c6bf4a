"""Nodes that ONNX Runtime (1.31) gets wrong, replaced by others that mean the same."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from export.graph import constants, refill


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
