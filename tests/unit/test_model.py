import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.gpu import FakeDriver, use
from support.models import COLOURS, expected_scores, tiny_classifier, tiny_detector, tiny_network

from pipeline import model
from pipeline.contract import InputSpec, ModelContract, Resize
from pipeline.errors import ContractError, DeviceError, ModelError
from pipeline.model import OnnxModel
from pipeline.session import Session, available_providers, check_device, open_session
from pipeline.slot import Slot


def reason(path: Path, kind: type[Exception] = ModelError) -> str:
    """The message of the error, which is one line and names the file."""
    with pytest.raises(kind) as caught:
        OnnxModel(path, "cpu")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def contract_of(path: Path) -> ModelContract:
    return OnnxModel(path, "cpu").contract


def test_a_classifier_answers(classifier_path: Path) -> None:
    model = OnnxModel(classifier_path, "cpu")
    frames_BHW3 = np.zeros((3, 32, 32, 3), np.uint8)
    for i in range(3):
        frames_BHW3[i, ..., i] = 100 + 50 * i
    outputs = model.infer(frames_BHW3)
    assert list(outputs) == ["scores"]
    assert (outputs["scores"].shape, outputs["scores"].dtype) == ((3, 3), np.float32)
    np.testing.assert_allclose(outputs["scores"], [expected_scores(frame) for frame in frames_BHW3], atol=1e-5)


def test_a_detector_answers(detector_path: Path) -> None:
    frames_BHW3 = np.zeros((2, 64, 64, 3), np.uint8)
    frames_BHW3[0, 10:30, 20:50, 1] = 204
    outputs = OnnxModel(detector_path, "cpu").infer(frames_BHW3)
    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        "boxes": ((2, 3, 4), np.float32),
        "scores": ((2, 3), np.float32),
        "labels": ((2, 3), np.int64),
    }
    np.testing.assert_array_equal(outputs["labels"], [[-1, 1, -1], [-1, -1, -1]])
    np.testing.assert_allclose(outputs["scores"], [[0, 0.8, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(outputs["boxes"][0, 1], [20, 10, 50, 30])


@pytest.mark.parametrize("build", [tiny_classifier, tiny_detector])
def test_a_graph_of_batch_1_answers_as_one_of_any_batch(tmp_path: Path, build) -> None:
    frames_BHW3 = np.random.default_rng(0).integers(0, 256, (4, 48, 40, 3), dtype=np.uint8)
    one = OnnxModel(build(tmp_path / "1.onnx", size=(48, 40), batch=1), "cpu").infer(frames_BHW3)
    many = OnnxModel(build(tmp_path / "n.onnx", size=(48, 40)), "cpu").infer(frames_BHW3)
    assert one.keys() == many.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], many[name])


def test_a_model_says_what_it_is_and_where_it_runs(tmp_path: Path) -> None:
    model = OnnxModel(str(tiny_network(tmp_path / "m.onnx")), "cpu", threads=1)
    assert (model.device, model.reason, model.providers) == ("cpu", None, ["CPUExecutionProvider"])
    assert set(model.nodes) == {"CPUExecutionProvider"}
    operators = model.nodes["CPUExecutionProvider"]
    assert operators["Conv"] + operators["FusedConv"] == 1
    assert operators["Resize"] == 1
    assert model.cpu_nodes == operators.total() >= 5
    assert model.signature == {"inputs": {"frames": ["B", 64, 64, 3]}, "outputs": {"scores": ["B", 10]}}
    assert len(model.contract.labels) == 10


def test_a_path_may_have_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "modèles 猫"
    folder.mkdir()
    assert OnnxModel(tiny_classifier(folder / "größe.onnx"), "cpu").contract.labels == COLOURS


# Files that are no model


@pytest.mark.parametrize("content", [b"", b"not a model\n" * 50, np.random.default_rng(0).bytes(5000), b"\0" * 100])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert "cannot be loaded as an ONNX model: " in reason(tmp_path / "m.onnx")
    assert not reason(tmp_path / "m.onnx").endswith(": ")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_model_is_refused(tmp_path: Path, part: float) -> None:
    whole = tiny_network(tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: int(part * len(whole))])
    assert "cannot be loaded as an ONNX model: " in reason(tmp_path / "m.onnx")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path / "m.onnx").startswith("there is no model file")
    assert reason(tmp_path).startswith("there is no model file")


# Contracts that are not there or not kept


def test_a_model_without_contract_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", metadata={})
    assert f"onsight adopt {path}" in reason(path, ContractError)


@pytest.mark.parametrize("metadata", [{"onsight": "{"}, {"onsight": "{}"}, {"onsight": '{"version": 2}'}])
def test_a_broken_contract_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    reason(tiny_classifier(tmp_path / "m.onnx", metadata=metadata), ContractError)


@pytest.mark.parametrize(
    ("broken", "hint"),
    [
        ({"input_name": "images"}, "its only input has to be frames"),
        ({"input_type": "float"}, "uint8"),
        ({"labels": ("a", "b")}, "3 classes, but 2 labels"),
        ({"labels": ("a", "b", "c", "d")}, "3 classes, but 4 labels"),
    ],
)
def test_a_contract_that_the_graph_does_not_keep_is_refused(
    tmp_path: Path, broken: dict[str, object], hint: str
) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", **broken)
    with pytest.raises(ContractError, match=f"does not keep its contract: .*{hint}"):
        OnnxModel(path, "cpu")


def test_a_classifier_with_the_contract_of_a_detector_is_refused(tmp_path: Path, detector_path: Path) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", size=(64, 64), metadata=contract_of(detector_path).to_metadata())
    assert "has no output boxes" in reason(path, ContractError)


@pytest.mark.parametrize(
    "change",
    [
        {"input": InputSpec(height=64, width=32)},
        {"input": InputSpec(height=32, width=64)},
        {"input": InputSpec(height=64, width=64, dynamic=True), "resize": Resize(rule="letterbox")},
        {"resize": Resize(rule="graph")},
    ],
)
def test_a_graph_of_another_size_than_its_contract_is_refused(
    tmp_path: Path, classifier_path: Path, change: dict[str, object]
) -> None:
    """Before the first frame, not with the first frame."""
    contract = contract_of(classifier_path).model_copy(update=change)
    path = tiny_classifier(tmp_path / "m.onnx", metadata=contract.to_metadata())
    assert "does not keep its contract" in reason(path, ContractError)


def test_a_graph_of_batch_1_whose_contract_promises_any_is_refused(tmp_path: Path, classifier_path: Path) -> None:
    metadata = contract_of(classifier_path).to_metadata()
    path = tiny_classifier(tmp_path / "m.onnx", batch=1, metadata=metadata)
    assert "does not keep its contract" in reason(path, ContractError)


# Devices


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_is_refused_with_what_is_missing(classifier_path: Path, device: str) -> None:
    missing = check_device(device)
    if missing is None:
        pytest.skip(f"{device} can be used here")
    with pytest.raises(DeviceError) as caught:
        OnnxModel(classifier_path, device)
    assert str(caught.value) == f"{device} cannot be used: {missing}; use --device cpu, or run: onsight doctor"
    assert any(name in missing for name in ("libcuda", "nvcuda", "NVIDIA driver", "onnxruntime_providers"))


def test_auto_says_why_it_took_the_cpu(classifier_path: Path) -> None:
    model = OnnxModel(classifier_path, "auto")
    missing = check_device("cuda")
    if missing is None:
        assert (model.device, model.reason) == ("cuda", None)
    else:
        assert (model.device, model.reason) == ("cpu", missing)
        assert model.providers == ["CPUExecutionProvider"]


def test_what_the_runtime_prints_is_kept_from_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.session.why_no_gpu", lambda: None)
    monkeypatch.setattr(
        "onnxruntime.preload_dlls", lambda: sys.stdout.write("Failed to load libcudart.so"), raising=False
    )
    check_device("cuda")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "libcudart.so" in printed.err


def test_the_cpu_is_always_known() -> None:
    assert "CPUExecutionProvider" in available_providers()


# A GPU, with ONNX Runtime on the CPU and a driver whose GPU is memory of the host


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    monkeypatch.setattr(model, "_choose", lambda device: (device, None))
    for device in ("cuda", "tensorrt"):
        monkeypatch.setitem(model.PROVIDERS, device, ["CPUExecutionProvider"])
    monkeypatch.setattr(model, "Slot", partial(Slot, device="cpu"))
    return use(FakeDriver(), monkeypatch)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, dict[str, str]]]:
    """The options of all providers of each session that is opened."""
    seen = []

    def note(path: Path, device: str, threads: int, options: dict[str, dict[str, str]]) -> Session:
        seen.append(options)
        return open_session(path, device, threads, {})

    monkeypatch.setattr(model, "open_session", note)
    return seen


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("build", [tiny_classifier, tiny_detector])
def test_a_gpu_answers_what_the_cpu_answers(tmp_path: Path, gpu: FakeDriver, build, batch: int) -> None:
    path = build(tmp_path / "m.onnx", size=(48, 40))
    on_gpu, on_cpu = OnnxModel(path, "cuda"), OnnxModel(path, "cpu")
    on_gpu.prepare(4)
    frames_BHW3 = np.random.default_rng(0).integers(0, 256, (batch, 48, 40, 3), dtype=np.uint8)
    expected = on_cpu.infer(frames_BHW3)
    for name, values in on_gpu.infer(frames_BHW3).items():
        np.testing.assert_array_equal(values, expected[name])


def test_threads_have_buffers_of_their_own(tmp_path: Path, gpu: FakeDriver) -> None:
    shared = OnnxModel(tiny_detector(tmp_path / "m.onnx"), "cuda")
    frames = np.random.default_rng(0).integers(0, 256, (4, 2, 64, 64, 3), dtype=np.uint8)
    expected, wrong = [shared.infer(each)["boxes"] for each in frames], list[int]()
    together = threading.Barrier(4, timeout=20)  # the identity of a thread that has ended may be another's

    def work(number: int) -> None:
        together.wait()
        for _ in range(50):
            if not np.array_equal(shared.infer(frames[number])["boxes"], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong
    assert len(gpu.threads) == 1 + 4


def test_a_graph_of_batch_1_is_given_no_more_on_a_gpu(tmp_path: Path, gpu: FakeDriver) -> None:
    one = OnnxModel(tiny_classifier(tmp_path / "m.onnx", batch=1), "cuda")
    one.prepare(8)
    assert one.infer(np.zeros((3, 32, 32, 3), np.uint8))["scores"].shape == (3, 3)


def test_a_gpu_that_fails_is_told_at_once(classifier_path: Path, gpu: FakeDriver) -> None:
    gpu.failing = "cuStreamCreate"
    with pytest.raises(DeviceError, match=r"^cuda fails: cuStreamCreate of .*; use --device cpu, or run: onsight doc"):
        OnnxModel(classifier_path, "cuda")


@pytest.mark.parametrize("nhwc", [False, True])
def test_the_layout_of_convolutions_is_chosen(classifier_path: Path, gpu: FakeDriver, opened, nhwc: bool) -> None:
    OnnxModel(classifier_path, "cuda", nhwc=nhwc)
    layout = {"prefer_nhwc": "1"} if nhwc else {}
    assert opened == [{"CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC", **layout}}]


def test_a_session_that_records_is_opened_by_the_thread_that_infers(classifier_path: Path, gpu, opened) -> None:
    recording = OnnxModel(classifier_path, "cuda", cuda_graph=True)
    assert len(opened) == 1
    recording.infer(np.zeros((1, 32, 32, 3), np.uint8))
    recording.infer(np.zeros((1, 32, 32, 3), np.uint8))
    assert [each["CUDAExecutionProvider"].get("enable_cuda_graph") for each in opened] == [None, "1"]


def test_on_the_cpu_nothing_is_recorded_and_that_is_said(classifier_path: Path, caplog) -> None:
    OnnxModel(classifier_path, "cpu", cuda_graph=True, nhwc=True).infer(np.zeros((1, 32, 32, 3), np.uint8))
    told = [f"goes on without {what}: it takes --device cuda" for what in ("CUDA graphs", "NHWC")]
    assert caplog.messages == told


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_of_tensorrt_are_kept_for_each_file(
    tmp_path: Path, classifier_path: Path, gpu: FakeDriver, opened, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    contract = contract_of(classifier_path).model_copy(update={"provenance": {"precision": precision}})
    folders = set[str]()
    for number in (1, 1, 2):
        path = tiny_classifier(tmp_path / f"{number}.onnx", labels=contract.labels, metadata=contract.to_metadata())
        path.write_bytes(path.read_bytes() + b"\x32\x01x" * (number - 1))  # a doc_string
        OnnxModel(path, "tensorrt")
        options = opened[-1]["TensorrtExecutionProvider"]
        folders.add(options["trt_engine_cache_path"])
        assert (options["trt_engine_cache_enable"], options["trt_timing_cache_enable"]) == ("1", "1")
        assert options["trt_fp16_enable"] == ("1" if precision == "fp16" else "0")
    assert len(folders) == 2
    assert all(Path(each).is_dir() and Path(each).is_relative_to(tmp_path / "cache/onsight") for each in folders)


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, classifier_path: Path, gpu, monkeypatch) -> None:
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DeviceError, match=r"the cache folder .* cannot be made: .*; set XDG_CACHE_HOME"):
        OnnxModel(classifier_path, "tensorrt")
