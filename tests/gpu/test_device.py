"""CUDA is really used, for everything that is heavy, and answers what the CPU answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.models import tiny_classifier, tiny_detector, tiny_network

from pipeline.model import OnnxModel

pytestmark = pytest.mark.gpu

HEAVY = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"}


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_cuda_is_taken(tmp_path: Path, device: str) -> None:
    model = OnnxModel(tiny_network(tmp_path / "m.onnx"), device)
    assert (model.device, model.reason) == ("cuda", None)
    assert model.providers[0] == "CUDAExecutionProvider"


def test_nothing_heavy_is_left_on_the_cpu(tmp_path: Path) -> None:
    model = OnnxModel(tiny_network(tmp_path / "m.onnx"), "cuda")
    assert set(model.nodes["CUDAExecutionProvider"]) & HEAVY
    assert not set(model.nodes.get("CPUExecutionProvider", ())) & HEAVY


@pytest.mark.parametrize("build", [tiny_classifier, tiny_detector, tiny_network])
@pytest.mark.parametrize("batch", [1, 3])
def test_cuda_answers_what_the_cpu_answers(tmp_path: Path, build, batch: int) -> None:
    path = build(tmp_path / "m.onnx")
    cuda, cpu = OnnxModel(path, "cuda"), OnnxModel(path, "cpu")
    size = cpu.contract.input
    frames_BHW3 = np.random.default_rng(0).integers(0, 256, (batch, size.height, size.width, 3), dtype=np.uint8)
    expected, got = cpu.infer(frames_BHW3), cuda.infer(frames_BHW3)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_allclose(got[name], value, atol=1e-2)
