"""From a PyTorch network to a graph: what is in it, and what is said where that fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.classifier import ClassifierHead
from export.frames import FrameModel
from export.network import OPSET, to_onnx
from export.origin import Origin
from pipeline.contract import ClassifierSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ModelError

CONTRACT = ModelContract(
    task="classify",
    labels=("a", "b", "c"),
    input=InputSpec(height=24, width=16),
    resize=Resize(rule="crop"),
    classifier=ClassifierSpec(),
)


def origin_of(*layers: nn.Module) -> Origin:
    torch.manual_seed(0)
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return Origin(network.eval(), ClassifierHead(2.0), CONTRACT, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def usual() -> Origin:
    return origin_of(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())


def run(model: onnx.ModelProto, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"frames": frames})[0]


def frames_of(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), np.uint8)


def test_graph_is_plain_and_tells_nothing_of_the_machine() -> None:
    model = to_onnx(FrameModel(usual()), CONTRACT)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Conv"] == 1
    assert not kinds.keys() & {"BatchNormalization", "Range", "Gather"}  # folded; no index arithmetic
    assert b"site-packages" not in model.SerializeToString()
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    (frames,) = model.graph.input
    assert [dim.dim_param or dim.dim_value for dim in frames.type.tensor_type.shape.dim] == ["batch", 24, 16, 3]


def test_colours_scale_and_temperature_are_in_the_graph() -> None:
    origin = usual()
    frames = frames_of(2, 24, 16)
    rgb = torch.from_numpy(frames[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (origin.mean, origin.std))
    with torch.inference_mode():
        wanted = (origin.network((rgb - mean) / std) / 2.0).softmax(1).numpy()
    assert np.abs(run(to_onnx(FrameModel(origin), CONTRACT), frames) - wanted).max() < 1e-6


@pytest.mark.parametrize("rounding", ["nearest", "down"])
@pytest.mark.parametrize("rule", ["stretch", "crop", "letterbox"])
def test_frames_of_any_size_where_the_graph_resizes(rule: str, rounding: str) -> None:
    origin = usual()
    resize = Resize(rule=rule, rounding=rounding)
    origin = replace(origin, contract=CONTRACT.model_copy(update={"resize": resize}))
    network = FrameModel(origin, resize=True)
    model = to_onnx(network, CONTRACT.model_copy(update={"resize": resize.model_copy(update={"rule": "graph"})}))
    for batch, size in ((1, (24, 16)), (3, (97, 61)), (8, (40, 200)), (1, (720, 1280))):
        frames = frames_of(batch, *size)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(frames)).numpy()
        assert np.abs(run(model, frames) - wanted).max() < 1e-5


def test_half_of_the_network_leaves_the_original_alone() -> None:
    origin = usual()
    model = to_onnx(FrameModel(origin, half=True), CONTRACT)
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[1] == 3
            and tensor.dims[2] == 3} == {onnx.TensorProto.FLOAT16}  # fmt: skip
    assert next(origin.network.parameters()).dtype == torch.float32
    frames = frames_of(2, 24, 16)
    assert run(model, frames).dtype == np.float32
    assert np.abs(run(model, frames) - run(to_onnx(FrameModel(origin), CONTRACT), frames)).max() < 1e-2


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Eigen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.linalg.eigvalsh(x[..., :3, :3]).mean()


@pytest.mark.parametrize(
    ("layer", "reason"), [(Branch(), "data-dependent"), (Eigen(), "No ONNX function found for .*eigh")]
)
def test_layer_that_cannot_be_exported_is_named(layer: nn.Module, reason: str) -> None:
    origin = origin_of(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), layer))
    with pytest.raises(ModelError, match=rf"the layer 1\.1 \({type(layer).__name__}\) cannot be exported: .*{reason}"):
        to_onnx(FrameModel(origin), CONTRACT)
