"""CUDA is really used, for everything that is heavy, and answers what the CPU answers."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

import numpy as np
import pytest
from support.models import tiny_classifier, tiny_detector, tiny_network

from pipeline import cuda
from pipeline.bench.job import plan_job, synthetic_spec
from pipeline.bench.measure import Plan, measure_clip
from pipeline.contract import Resize
from pipeline.model import OnnxModel, Outputs
from pipeline.recogniser import Recogniser
from pipeline.settings import settle
from pipeline.stream import recognise
from pipeline.types import Frame

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


def noise(batch: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def check(got: Outputs, expected: Outputs) -> None:
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"cuda_graph": True}, {"nhwc": True}, {"cuda_graph": True, "nhwc": True}])
@pytest.mark.parametrize("build", [tiny_classifier, tiny_detector, tiny_network])
def test_batches_of_any_size_are_answered_after_it_was_prepared_for_one(
    tmp_path: Path, build, options: dict[str, bool]
) -> None:
    path = build(tmp_path / "m.onnx")
    gpu, cpu = OnnxModel(path, "cuda", **options), OnnxModel(path, "cpu")
    gpu.prepare(4)
    size = cpu.contract.input
    for seed, batch in enumerate((4, 1, 3, 7, 2, 4, 7)):
        frames_BHW3 = noise(batch, size.height, size.width, seed)
        check(gpu.infer(frames_BHW3), cpu.infer(frames_BHW3))


def test_a_simple_network_is_recorded_as_a_cuda_graph(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = OnnxModel(tiny_classifier(tmp_path / "m.onnx"), "cuda", cuda_graph=True)
    for _ in range(3):
        model.infer(noise(2, 32, 32))
    assert not caplog.messages


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_threads_do_not_get_the_answers_of_others(tmp_path: Path, cuda_graph: bool) -> None:
    path = tiny_network(tmp_path / "m.onnx")
    gpu, cpu = OnnxModel(path, "cuda", cuda_graph=cuda_graph), OnnxModel(path, "cpu")
    gpu.prepare(2)
    size = cpu.contract.input
    frames = [noise(2, size.height, size.width, seed) for seed in range(4)]
    expected, wrong, done = [cpu.infer(each) for each in frames], list[str](), list[int]()

    def work(number: int) -> None:
        try:
            for _ in range(200):
                check(gpu.infer(frames[number]), expected[number])
            done.append(number)
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert sorted(done) == [0, 1, 2, 3]


def test_pictures_on_the_gpu_are_answered_as_those_on_the_host(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph"))
    gpu, cpu = OnnxModel(path, "cuda"), OnnxModel(path, "cpu")
    for seed in range(20):
        frames_BHW3 = noise(3, 270, 480, seed)
        lent = [torch.from_numpy(each).cuda() for each in frames_BHW3]
        turned = [each.flip(0) for each in lent]  # still under way when they are handed over
        check(gpu.infer(turned), cpu.infer(np.ascontiguousarray(frames_BHW3[:, ::-1])))


def test_a_recogniser_takes_a_frame_from_where_it_is(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph")), "cuda")
    image = np.zeros((90, 160, 3), np.uint8)
    there = np.zeros_like(image)
    there[30:60, 20:70, 1] = 255  # only what lies on the GPU shows a thing
    surface = torch.from_numpy(there).cuda()
    surface.download = lambda: image
    frame = Frame(surface, "clip.mp4", 0, 0.0)
    (item,) = Recogniser(model, settle(model.contract))([frame])
    assert item.results.boxes_N4.tolist() == [[20, 30, 70, 60]]


def test_memory_is_given_back(tmp_path: Path) -> None:
    """Each thread that infers has buffers, which go with it. Nothing else may use the GPU meanwhile: the driver tells
    what is taken of its memory, not by whom.
    """
    model = OnnxModel(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")), "cuda")
    used = []
    for _ in range(4):
        for _ in range(8):
            thread = threading.Thread(target=lambda: model.infer(noise(8, 720, 1280)))
            thread.start()
            thread.join()
        gc.collect()
        used.append(memory_used())
    assert used[-1] <= used[0] + 40e6


def memory_used() -> int:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    with cuda.driver().context():
        cuda.driver().call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return total.value - free.value


def test_a_run_gives_the_same_on_both(tmp_path: Path) -> None:
    path = tiny_detector(tmp_path / "m.onnx")
    seen = []
    for device in ("cpu", "cuda"):
        frames = list(recognise("synthetic:320x240@25?frames=60", path, device=device, threshold=0.1, draw=False))
        assert [each.frame.index for each in frames] == list(range(60))
        seen.append([each.results.boxes_N4.round(1).tolist() for each in frames])
    assert seen[0] == seen[1]
    assert any(seen[0])


def test_the_benchmark_names_a_limit(tmp_path: Path) -> None:
    job = plan_job(synthetic_spec("320x240", 30), tiny_network(tmp_path / "m.onnx"), "cuda", encode=True)
    found, _ = measure_clip(job, Plan(rounds=2, seconds=1, batches=(1, 8)), lambda what: None)
    assert found.limit is not None
    assert found.limit.resource in ("decode", "copy", "infer", "draw", "encode", "records", "the cores")
    assert found.machine.gpu is not None
    assert found.whole is not None
    assert found.whole.gpu_ms is not None
