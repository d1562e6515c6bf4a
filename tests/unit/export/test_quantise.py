"""What becomes int8, and what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from export.classifier import ClassifierHead
from export.frames import FrameModel
from export.network import to_onnx
from export.origin import Origin
from export.quantise import quantise
from pipeline.contract import ClassifierSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ModelError

CONTRACT = ModelContract(
    task="classify",
    labels=("a", "b"),
    input=InputSpec(height=16, width=16),
    resize=Resize(rule="stretch"),
    classifier=ClassifierSpec(),
)


def graph_of(*layers: nn.Module) -> onnx.ModelProto:
    torch.manual_seed(0)
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 16, 16))
    origin = Origin(network.eval(), ClassifierHead(), CONTRACT, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return to_onnx(FrameModel(origin), CONTRACT)


def frames() -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return iter([rng.integers(0, 256, (1, 16, 16, 3), np.uint8) for _ in range(4)])


def test_middle_becomes_int8_for_each_channel_and_the_ends_stay() -> None:
    model = graph_of(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
    made = quantise(model, frames())
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    makers = {node.output[0]: node for node in made.graph.node}
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    kinds = [makers[node.input[1]].op_type if node.input[1] in makers else "float" for node in convolutions]
    assert kinds == ["float", "DequantizeLinear", "DequantizeLinear"]
    for node in convolutions[1:]:
        stored, scale = (weights[name] for name in makers[node.input[1]].input[:2])
        assert stored.data_type == TensorProto.INT8
        assert list(scale.dims) == [stored.dims[0]]  # one for each channel
    (linear,) = (node for node in made.graph.node if node.op_type == "Gemm")
    assert linear.input[1] in weights
    zeros = [weights[node.input[2]].data_type for node in made.graph.node if node.op_type == "QuantizeLinear"]
    assert set(zeros) == {TensorProto.UINT8}
    (softmax,) = (node for node in made.graph.node if node.op_type == "Softmax")
    assert softmax.input[0] == linear.output[0]


def test_parallel_first_layers_both_stay() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.one(x) + self.other(x))

    made = quantise(graph_of(Fork(), nn.Conv2d(4, 4, 3), nn.ReLU()), frames())
    makers = {node.output[0] for node in made.graph.node}
    kinds = Counter(node.input[1] in makers for node in made.graph.node if node.op_type == "Conv")
    assert kinds == {False: 2, True: 1}


def test_pooling_behind_the_first_layer_stays_in_float() -> None:
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2))
    model = graph_of(*layers, nn.Conv2d(6, 8, 2), nn.ReLU())
    made = quantise(model, frames())
    makers = {node.output[0]: node for node in made.graph.node}
    behind = [
        [node.op_type for node in made.graph.node if pool.output[0] in node.input]
        for pool in made.graph.node
        if pool.op_type == "MaxPool"
    ]
    assert behind == [["Relu"], ["QuantizeLinear"]]
    first = next(node for node in made.graph.node if node.op_type == "MaxPool")
    assert makers[first.input[0]].op_type == "Conv"
    onnx.checker.check_model(made, full_check=True)
    inputs = {"frames": next(frames())}
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        for each in (model, made)
    )
    np.testing.assert_allclose(after, before, atol=0.02)


HEAD = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (uint8[N, 16, 16, 3] frames) => (float[N, 2, H, W] found{outputs}) {{
        pixels = Cast <to = 1> (frames)
        image = Transpose <perm = [0, 3, 1, 2]> (pixels)
        first = Conv (image, first_weight)
        active = Relu (first)
        {pooling}
        second = Conv (pooled, second_weight)
        found = Conv (second, last_weight)
    }}"""
POOL = "pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (active)"
PADDED = "pooled = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1> (active)"
WITH_PLACES = POOL.replace("pooled =", "pooled, places =")


def pooled(pooling: str, outputs: str = "") -> onnx.ModelProto:
    """A network with a pooling behind the first layer; its nodes are named as their first outputs."""
    model = onnx.parser.parse_model(HEAD.format(pooling=pooling, outputs=outputs))
    rng = np.random.default_rng(0)
    for name, shape in (("first", (4, 3, 2, 2)), ("second", (4, 4, 3, 3)), ("last", (2, 4, 1, 1))):
        weight = rng.normal(0, 0.05, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"{name}_weight"))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def order(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type in ("Relu", "MaxPool")]


def outputs_of(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"frames": next(frames())})


@pytest.mark.parametrize("pooling", [POOL, PADDED])
def test_relu_and_pooling_change_places_without_a_new_name(pooling: str) -> None:
    model = pooled(pooling)
    made = quantise(model, frames())
    assert order(made) == ["MaxPool", "Relu"]
    before, after = outputs_of(model)[0], outputs_of(made)[0]
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())
    (pool,) = (node for node in made.graph.node if node.op_type == "MaxPool")
    assert pool.output[0] == "active"


@pytest.mark.parametrize(
    ("pooling", "outputs"),
    [
        (f"{POOL} negative = Neg (active)", ", float[N, 4, 15, 15] negative"),
        (POOL, ", float[N, 4, 15, 15] active"),
        (WITH_PLACES, ", int64[N, 4, 7, 7] places"),
    ],
    ids=["another reader", "an output of the graph", "places of the largest"],
)
def test_relu_and_pooling_stay_where_more_is_read_of_them(pooling: str, outputs: str) -> None:
    model = pooled(pooling, outputs)
    made = quantise(model, frames())
    assert order(made) == ["Relu", "MaxPool"]
    np.testing.assert_allclose(outputs_of(made)[1], outputs_of(model)[1], atol=1e-4)


class Attention(nn.Module):
    """Reshapes by the sizes of its input, as transformers do: these are no data."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.out = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = self.all(tokens).reshape(batch, height * width, 3, channels).unbind(2)
        seen = (query @ key.transpose(1, 2)).softmax(2) @ value
        return x + self.out(seen).transpose(1, 2).reshape(batch, channels, height, width)


def test_attention_becomes_int8_too() -> None:
    made = quantise(graph_of(nn.Conv2d(3, 4, 4, 4), Attention(), Attention()), frames())
    weights = {tensor.name for tensor in made.graph.initializer}
    makers = {node.output[0]: node for node in made.graph.node}
    linear = [node for node in made.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in makers]
    stored = [node for node in linear if makers[node.input[1]].input[0] in weights]
    assert len(stored) == 4
    softmax = [node for node in made.graph.node if node.op_type == "Softmax"]
    assert len(softmax) == 3
    rounded = {name for node in made.graph.node if node.op_type == "QuantizeLinear" for name in node.input}
    assert not [node for node in softmax if makers[node.input[0]].op_type == "DequantizeLinear"]
    assert not rounded & {node.output[0] for node in softmax}


def test_norms_by_the_picture_stay_in_float() -> None:
    """Eight groups of equal scales and biases: the exporter stores one of each for all norms."""
    middle = [layer for _ in range(8) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU())]
    model = graph_of(nn.Conv2d(3, 8, 3), *middle, nn.Conv2d(8, 4, 3))
    made = quantise(model, frames())
    onnx.checker.check_model(made, full_check=True)
    weights = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    norms = [node for node in made.graph.node if node.op_type == "InstanceNormalization"]
    assert len(norms) == 8
    assert {weights[name] for node in norms for name in node.input[1:]} == {TensorProto.FLOAT}
    assert len({node.input[2] for node in norms}) == 1
    np.testing.assert_allclose(outputs_of(made)[0], outputs_of(model)[0], atol=0.05)


def test_nothing_between_first_and_last_layer() -> None:
    with pytest.raises(ModelError, match="nothing to make int8 of"):
        quantise(graph_of(nn.Conv2d(3, 4, 3), nn.ReLU()), frames())
