import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from pipeline import device
from pipeline.device import why_no_gpu, why_no_provider

PREFIX, SUFFIX = ("", ".dll") if sys.platform == "win32" else ("lib", ".so")


class Driver:
    """A CUDA driver as far as it is asked."""

    def __init__(self, status: int = 0, count: int = 1) -> None:
        self._status, self._count = status, count

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's name
        return self._status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802 - the driver's name
        count._obj.value = self._count
        return 0


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(), None),
        (Driver(count=0), "the NVIDIA driver finds no GPU"),
        (Driver(status=100), "the NVIDIA driver reports error 100 (see nvidia-smi)"),
    ],
)
def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, driver: Driver, reason: str | None) -> None:
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: driver)
    assert why_no_gpu() == reason


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(device.ctypes, "CDLL", not_there)
    reason = why_no_gpu()
    assert reason is not None
    assert ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1") in reason


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the provider libraries of ONNX Runtime are looked for."""
    spec = ModuleSpec("onnxruntime", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(device, "find_spec", lambda name: spec)
    (tmp_path / "capi").mkdir()
    return tmp_path / "capi"


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_build_without_the_provider_is_told(libraries: Path, name: str) -> None:
    reason = why_no_provider(name)
    assert reason is not None
    assert reason.startswith(f"this ONNX Runtime was built without {name}")
    assert reason.endswith("install onnxruntime-gpu")


def test_a_library_that_cannot_be_loaded_is_named_with_the_reason(libraries: Path) -> None:
    broken = libraries / f"{PREFIX}onnxruntime_providers_shared{SUFFIX}"
    broken.write_text("no library")
    reason = why_no_provider("cuda")
    assert reason is not None
    assert reason.startswith(f"{broken.name} cannot be loaded: ")


def test_onnx_runtime_itself_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert why_no_provider("cuda") == "ONNX Runtime is not installed"
