"""Exported files on CUDA: the gate holds there, and nothing heavy is left on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from export import cli
from pipeline.model import OnnxModel

pytestmark = pytest.mark.gpu

HEAVY = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"}


@pytest.mark.parametrize("resize", ["host", "graph"])
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("torchvision:resnet18", "fp32"),
        ("torchvision:resnet18", "fp16"),
        ("torchvision:mobilenet_v3_small", "fp32"),
        ("torchvision:mobilenet_v3_small", "fp16"),
        ("torchvision:ssdlite320_mobilenet_v3_large", "fp32"),
        ("torchvision:retinanet_resnet50_fpn", "fp32"),
    ],
)
def test_file_does_on_cuda_what_the_network_does(name: str, precision: str, resize: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    given = ["--weights", "none", "--precision", precision, "--resize", resize, "--device", "cuda"]
    result = CliRunner().invoke(cli.export, [name, *given, "--output", str(path)], catch_exceptions=False)
    assert "the file does what the network does: 9 checks" in result.stderr
    model = OnnxModel(path, "cuda")
    assert set(model.nodes["CUDAExecutionProvider"]) & HEAVY
    assert not set(model.nodes.get("CPUExecutionProvider", ())) & HEAVY
