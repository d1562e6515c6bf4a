"""Graphs that are rewritten give what they gave."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper, parser
from onnxruntime import InferenceSession

from export.rewrites import split_softmax

WEIGHTS = "<float[1, 4, 1, 1] w = {0, 1, 2, 3}>"
SIDES = "s = Softmax <axis = 1> (x) y = Conv (s, w)"


def graph_of(nodes: str, opset: int = 18, outputs: str = "float[B, 1, H, W] y") -> onnx.ModelProto:
    text = (
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[B, 4, H, W] x) => ({outputs}) {WEIGHTS} {{ {nodes} }}'
    )
    return parser.parse_model(text)


def graph_over(channels: int, groups: int = 1, weight: str = "initializer") -> onnx.ModelProto:
    """A Softmax over so many channels, and a convolution, whose weight is an `initializer`, a `node` or an `input`."""
    shape = (groups, channels // groups, 1, 1)
    inputs = f"float[B, {channels}, H, W] x" + (f", float{list(shape)} w" if weight == "input" else "")
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => (float[B, {groups}, H, W] y) {{
            s = Softmax <axis = 1> (x)
            y = Conv <group = {groups}> (s, w)
        }}"""
    )
    tensor = numpy_helper.from_array(np.arange(channels, dtype=np.float32).reshape(shape), "w")
    if weight == "initializer":
        model.graph.initializer.append(tensor)
    if weight == "node":
        model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    onnx.checker.check_model(model, full_check=True)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def run(model: onnx.ModelProto, values: NDArray[np.float32]) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": values})[0]
    return result


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
@pytest.mark.parametrize("largest", [1.0, 1e4])
def test_distributions_over_channels_become_elementary_and_stay_what_they_are(opset: int, largest: float) -> None:
    values = np.random.default_rng(0).uniform(-largest, largest, (2, 4, 3, 50)).astype(np.float32)
    expected = run(graph_of(SIDES, opset), values)
    model = graph_of(SIDES, opset)
    split_softmax(model)
    assert operators(model) == ["Constant", "ReduceMax", "Sub", "Exp", "ReduceSum", "Div", "Conv"]
    np.testing.assert_allclose(run(model, values), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ("s = Softmax <axis = -1> (x) y = Conv (s, w)", "float[B, 1, H, W] y"),
        ("s = Softmax (x) y = Conv (s, w)", "float[B, 1, H, W] y"),
        ("s = Softmax <axis = 1> (x) y = Relu (s)", "float[B, 4, H, W] y"),
        ("s = Softmax <axis = 1> (x) y = Conv (s, w) z = Relu (s)", "float[B, 1, H, W] y, float[B, 4, H, W] z"),
        (SIDES, "float[B, 1, H, W] y, float[B, 4, H, W] s"),
    ],
)
def test_another_softmax_stays(nodes: str, outputs: str) -> None:
    model = graph_of(nodes, outputs=outputs)
    before = operators(model)
    split_softmax(model)
    assert operators(model) == before


@pytest.mark.parametrize(
    ("channels", "groups", "weight", "stays"),
    [
        (16, 1, "initializer", False),
        (64, 1, "initializer", False),
        (16, 1, "node", False),
        (16, 16, "initializer", False),
        (16, 1, "input", True),
        (256, 1, "initializer", True),
        (256, 256, "initializer", True),
    ],
)
def test_a_softmax_over_many_channels_or_nobody_knows_how_many_stays(
    channels: int, groups: int, weight: str, stays: bool
) -> None:
    model = graph_over(channels, groups, weight)
    split_softmax(model)
    assert ("Softmax" in operators(model)) == stays
