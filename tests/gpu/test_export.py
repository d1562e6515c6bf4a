"""Exported files on CUDA: the gate holds there, and nothing heavy is left on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.detectors import save_detector

from export import cli
from pipeline.model import OnnxModel

pytestmark = pytest.mark.gpu

HEAVY = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"}
BOTH = pytest.mark.parametrize("precision", ["fp32", "fp16"])


@pytest.fixture(params=["host", "graph"])
def resize(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def export(path: Path, *given: object) -> str:
    """What the command says."""
    arguments = [*given, "--device", "cuda", "--output", path]
    return CliRunner().invoke(cli.export, [str(each) for each in arguments], catch_exceptions=False).stderr


def is_heavy_on_cuda_alone(path: Path) -> bool:
    nodes = OnnxModel(path, "cuda").nodes
    return bool(set(nodes["CUDAExecutionProvider"]) & HEAVY) and not set(nodes.get("CPUExecutionProvider", ())) & HEAVY


@BOTH
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_classifier_does_on_cuda_what_the_network_does(name: str, precision: str, resize: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    told = export(path, f"torchvision:{name}", "--weights", "none", "--precision", precision, "--resize", resize)
    assert "the file does what the network does: 9 checks" in told
    assert is_heavy_on_cuda_alone(path)


@BOTH
@pytest.mark.parametrize(
    "name", ["ssdlite320_mobilenet_v3_large", "ssd300_vgg16", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"]
)
def test_detector_finds_on_cuda_what_the_network_finds(name: str, precision: str, resize: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    size = 300 if name == "ssd300_vgg16" else 320
    told = export(path, *save_detector(tmp_path, name, size), "--precision", precision, "--resize", resize)
    assert "the file does what the network does: 9 checks" in told
    assert int(told.partition("real pictures, ")[2].split()[0]) > 1000  # boxes
    assert is_heavy_on_cuda_alone(path)
