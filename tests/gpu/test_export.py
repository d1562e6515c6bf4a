"""Exported files on CUDA: the gate holds there, and nothing heavy is left on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.detectors import tiny_fcos, tiny_origin, tiny_retinanet, tiny_ssd

from export import cli
from export.exporting import export_model
from export.options import ExportOptions, Precision
from pipeline.model import OnnxModel
from pipeline.terms import Device
from training.raw_heads import Detector

pytestmark = pytest.mark.gpu

DEVICE: Device = "cuda"
HEAVY = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"}
PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "fp16"])
RESIZE = pytest.mark.parametrize("resize", ["host", "graph"])


def check_nodes(path: Path) -> None:
    model = OnnxModel(path, DEVICE)
    assert set(model.nodes["CUDAExecutionProvider"]) & HEAVY
    assert not set(model.nodes.get("CPUExecutionProvider", ())) & HEAVY


@RESIZE
@PRECISIONS
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v3_small",
        "ssdlite320_mobilenet_v3_large",
        "ssd300_vgg16",
        "retinanet_resnet50_fpn",
        "fcos_resnet50_fpn",
    ],
)
def test_network_runs_on_cuda(name: str, precision: str, resize: str, tmp_path: Path) -> None:
    """A detector of random weights finds nothing that stands out; deep, it would amplify every rounding."""
    path = tmp_path / "m.onnx"
    given = ["--weights", "none", "--precision", precision, "--resize", resize, "--device", DEVICE]
    result = CliRunner().invoke(cli.export, [name, *given, "--output", str(path)], catch_exceptions=False)
    assert "the file does what the network does: 9 checks" in result.stderr
    check_nodes(path)


@RESIZE
@PRECISIONS
@pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet, tiny_fcos])
def test_detector_finds_on_cuda_what_the_network_finds(
    make: Callable[[], Detector], precision: Precision, resize: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    options = ExportOptions(precision=precision, resize_in_graph=resize == "graph", device=DEVICE)
    made = export_model(tiny_origin(make), path, options)
    assert made.device == DEVICE
    assert made.parity.checks == 9
    assert made.parity.boxes > 1000
    check_nodes(path)
