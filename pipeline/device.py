"""Which device can be used here, and what is missing if one cannot: looks only, loads no model."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}
_PROVIDER_LIBRARY = {"cuda": "onnxruntime_providers_cuda", "tensorrt": "onnxruntime_providers_tensorrt"}


def why_no_gpu() -> str | None:
    """Why there is no NVIDIA GPU to use; None where there is one."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return f"no NVIDIA driver is installed ({name} cannot be loaded)"
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status:
        return f"the NVIDIA driver reports error {status} (see nvidia-smi)"
    return None if count.value else "the NVIDIA driver finds no GPU"


def why_no_provider(device: Literal["cuda", "tensorrt"]) -> str | None:
    """Why ONNX Runtime cannot use `device`: the first library that cannot be loaded; None if all can.

    Call it after `onnxruntime.preload_dlls()`, which makes the CUDA libraries of Python packages known.
    """
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return "ONNX Runtime is not installed"
    folder = Path(spec.submodule_search_locations[0]) / "capi"
    prefix, suffix = ("", ".dll") if sys.platform == "win32" else ("lib", ".so")
    for stem in ("onnxruntime_providers_shared", _PROVIDER_LIBRARY[device]):
        library = folder / f"{prefix}{stem}{suffix}"
        if not library.exists():
            return (
                f"this ONNX Runtime was built without {device} ({library.name} is not there): install onnxruntime-gpu"
            )
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return f"{library.name} cannot be loaded: {error}"
    return None
