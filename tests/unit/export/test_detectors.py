"""Detectors of torchvision as model files: what they are made of, and that they find what the network finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest
from onnx import TensorProto
from support.detectors import SIDES, tiny_fcos, tiny_origin, tiny_retinanet, tiny_ssd
from torch import nn

from export.detectors import detector_parts
from export.files import make_files
from export.frames import FrameModel
from export.gate import compare
from export.options import Precision
from export.pictures import photographs
from pipeline.contract import DetectorSpec, Resize
from pipeline.errors import ConfigError
from pipeline.model import OnnxModel
from training.detectors import build_detector

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet, tiny_fcos])
WEIGHTS = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "int8": TensorProto.INT8}
DECODING = {"Sigmoid", "Softmax", "Exp", "TopK", "GatherElements", "Sqrt"}


def test_what_cannot_be_taken_apart() -> None:
    with pytest.raises(ConfigError, match="6 classes with the background, but 4 labels were given: name 5, or 6 where"):
        detector_parts(tiny_ssd(), *SIDES, labels=4)
    with pytest.raises(ConfigError, match="multiples of 32 pixels, not 160 x 90"):
        detector_parts(tiny_fcos(), 90, 160)
    with pytest.raises(ConfigError, match="Linear cannot be exported"):
        detector_parts(nn.Linear(1, 1), *SIDES)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="input of 100 x 100 does not go through the detector"):
        detector_parts(build_detector("ssd300_vgg16", 2), 100, 100)


def test_the_parts_of_an_ssd() -> None:
    parts = detector_parts(tiny_ssd(), *SIDES)
    assert parts.resize == Resize(rule="stretch", interpolation="linear", antialias=False)
    assert parts.detector == DetectorSpec(candidates=parts.head.candidates, nms=True, iou=0.45)
    assert (parts.mean, parts.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_parts_of_a_retinanet() -> None:
    parts = detector_parts(tiny_retinanet(), *SIDES)
    assert parts.resize == Resize(
        rule="letterbox", interpolation="linear", antialias=False, rounding="down", pad="end", pad_value=114
    )
    assert parts.detector == DetectorSpec(candidates=parts.head.candidates, nms=True, iou=0.5)


# As a file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.png" for i in range(len(photographs()))]
    for path, image in zip(paths, photographs(), strict=True):
        cv2.imwrite(str(path), image)
    return paths


def decoded_from(path: Path) -> set[int]:
    """Of which types the tensors are that the nodes of `DECODING` read first."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    return {kinds[node.input[0]] for node in graph.node if node.op_type in DECODING}


@TINY
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_file_finds_what_the_network_finds(
    precision: Precision, make: Callable[[], Any], pictures: list[Path], tmp_path: Path
) -> None:
    origin = tiny_origin(make)
    files = make_files(origin, origin.contract, precision, pictures, tmp_path)
    assert files.keys() == {"fp32", precision}
    for name, path in files.items():
        assert compare(FrameModel(origin), OnnxModel(path, "cpu"), photographs(), name).boxes > 1000
        assert decoded_from(path) == {TensorProto.FLOAT}
        graph = onnx.load(path).graph
        assert WEIGHTS[name] in {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
        operators = {node.op_type for node in graph.node}
        assert "TopK" in operators
        assert not operators & {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan"}
