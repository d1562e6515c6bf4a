from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline import doctor, probes
from pipeline.cli import main
from pipeline.doctor import Finding, attempt, examine, print_findings
from pipeline.errors import OnsightError

NEEDED = {"Onsight", "CPU", "ONNX Runtime", "inference on CPU", "OpenCV, H.264", "PyAV, libx264"}


def fail() -> str:
    raise RuntimeError("it is broken\nand this is the long story")


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return examine()


def test_what_a_run_on_the_cpu_needs_works_here(findings: list[Finding]) -> None:
    needed = {finding.name: finding for finding in findings if finding.needed}

    assert set(needed) == NEEDED
    assert all(finding.works for finding in needed.values()), needed


def test_everything_is_looked_at_once(findings: list[Finding]) -> None:
    names = [finding.name for finding in findings]

    assert len(set(names)) == len(names)
    assert {"NVIDIA GPU", "inference on CUDA", "TensorRT", "NVDEC", "NVENC", "AV1", "RTSP", "window"} < set(names)
    assert {"extra adopt", "extra export", "extra demo"} < set(names)


def test_what_the_wheels_bring_works_here(findings: list[Finding]) -> None:
    works = {finding.name for finding in findings if finding.works}

    assert {"AV1", "RTSP", "extra adopt"} <= works


def test_details_and_remedies_are_single_lines(findings: list[Finding]) -> None:
    for finding in findings:
        assert finding.detail
        assert "\n" not in finding.detail + (finding.remedy or "")
        assert not (finding.works and finding.remedy)


def test_a_probe_that_fails_is_a_finding() -> None:
    assert attempt("it", fail, "mend it", needed=True) == Finding("it", False, True, "it is broken", "mend it")


def test_a_failure_without_message_is_told_by_its_kind() -> None:
    def interrupted() -> str:
        raise TimeoutError

    assert attempt("it", interrupted).detail == "TimeoutError"


def test_probes_that_fail_stop_no_other(findings: list[Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("find_onsight", "count_cores", "find_runtime", "infer", "find_gpu")
    names += ("decode_h264", "encode_h264", "decode_av1", "ask_rtsp", "find_display")
    for name in names:
        monkeypatch.setattr(probes, name, lambda *_: fail())

    found = examine()

    assert [finding.name for finding in found] == [finding.name for finding in findings]
    assert [finding.detail for finding in found].count("it is broken") == len(names)
    assert {finding.name for finding in found if finding.needed and not finding.works} == NEEDED


def test_the_command_succeeds_without_what_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probes, "find_display", fail)

    assert main(["doctor"]) == 0
    assert "All that `onsight run` needs is there." in capsys.readouterr().out


def test_the_command_fails_when_something_needed_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probes, "decode_h264", fail)

    assert main(["doctor"]) == 2

    out = capsys.readouterr().out
    assert "FAILS  OpenCV, H.264" in out
    assert "Needed and not working: OpenCV, H.264." in out


def test_json_holds_every_finding(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == [finding.to_json() for finding in findings]


def test_text_is_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([Finding("one", True, True, "fine"), Finding("three", False, False, "not there", "get it")])

    assert capsys.readouterr().out.splitlines()[:3] == [
        "works  one    fine",
        "no     three  not there",
        "              to mend: get it",
    ]


def test_a_gpu_that_is_not_there_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "why_no_gpu", lambda: "no driver")

    found = {finding.name: finding for finding in doctor._graphics()}

    assert found["NVIDIA GPU"].detail == "no driver"
    assert {found[name].detail for name in ("inference on CUDA", "TensorRT", "NVDEC", "NVENC")} == {
        "needs an NVIDIA GPU"
    }


def test_a_missing_cuda_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "why_no_gpu", lambda: None)
    monkeypatch.setattr("pipeline.session.check_device", lambda device: f"lib{device}.so cannot be loaded")

    found = {finding.name: finding for finding in doctor._graphics()}

    assert found["NVIDIA GPU"].works
    assert found["inference on CUDA"].detail == "libcuda.so cannot be loaded"
    assert "onnxruntime-gpu[cuda,cudnn]" in (found["inference on CUDA"].remedy or "")
    assert found["TensorRT"].detail == "libtensorrt.so cannot be loaded"
    assert "tensorrt" in (found["TensorRT"].remedy or "")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvidia-smi is a shell script")
def test_gpus_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034 MiB, 580.95'\necho 'NVIDIA T4, 15360 MiB, 580.95'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(probes, "why_no_gpu", lambda: None)

    assert probes.find_gpu() == "NVIDIA L4, 23034 MiB, driver 580.95; NVIDIA T4, 15360 MiB, driver 580.95"


def test_a_gpu_without_nvidia_smi_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(probes, "why_no_gpu", lambda: None)

    assert "nvidia-smi" in probes.find_gpu()


def test_the_probe_model_is_what_its_comment_says() -> None:
    nodes = [
        helper.make_node("Flatten", ["frames"], ["f"]),
        helper.make_node("Cast", ["f"], ["scores"], to=TensorProto.FLOAT),
    ]
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", 1, 1, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", 3])
    graph = helper.make_graph(nodes, "probe", [frames], [scores])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.load_model_from_string(probes.PROBE_MODEL)

    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["onsight"]
    del model.metadata_props[:]
    assert model == built


def test_wrong_numbers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    doubled = onnx.load_model_from_string(probes.PROBE_MODEL)
    doubled.graph.node[1].output[0] = "once"
    doubled.graph.node.append(helper.make_node("Add", ["once", "once"], ["scores"]))
    monkeypatch.setattr(probes, "PROBE_MODEL", doubled.SerializeToString())

    with pytest.raises(OnsightError, match=r"wrong numbers: \[\[2.0, 4.0, 6.0\]\]"):
        probes.infer("cpu")


def test_a_video_that_is_cut_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_FRAMES", 3)
    short = probes._encode()
    monkeypatch.setattr(probes, "_FRAMES", 5)
    monkeypatch.setattr(probes, "_encode", lambda: short)

    with pytest.raises(OnsightError, match="decoded 3 of 5 frames"):
        probes.decode_h264()


def test_a_pyav_without_rtsp_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, **options: object) -> None:
        raise av.error.ProtocolNotFoundError(0, "Protocol not found")

    monkeypatch.setattr("av.open", fail)

    with pytest.raises(OnsightError, match="opens no RTSP connection"):
        probes.ask_rtsp()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux runs without a display")
def test_a_missing_display_is_told_without_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(OnsightError, match=r"^there is no display to show a window on$"):
        probes.find_display()


def test_missing_packages_of_an_extra_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "installed", lambda package: package in ("onsight", "onnx"))

    found = {finding.name: finding for finding in doctor._extras()}

    assert found["extra adopt"].works
    assert not found["extra training"].works
    missing = found["extra training"].detail.removeprefix("not installed: ").split(", ")
    assert {"timm", "torch", "torchvision"} <= set(missing)
    assert missing == sorted(set(missing))
    assert "onnx" not in missing
    assert "torch>=" in (found["extra training"].remedy or "")
    assert "onnx>=" not in (found["extra export"].remedy or "")


def test_torch_is_not_imported() -> None:
    code = "import sys; from pipeline.doctor import examine; examine(); sys.exit('torch' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
