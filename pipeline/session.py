"""Sessions of ONNX Runtime: opened on a device, with the options that suit streams. The only module that imports it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import onnxruntime as ort

from pipeline import cuda
from pipeline.device import PROVIDERS, why_no_gpu, why_no_provider
from pipeline.digest import sha256
from pipeline.errors import DeviceError, ModelError
from pipeline.types import OnDevice

Session: TypeAlias = Any
"""An `onnxruntime.InferenceSession`."""

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}

_CUDA_MEMORY = 2  # DLPack's kDLCUDA


class Lent(NamedTuple):
    """Memory of the GPU that someone else owns; `owner` keeps it."""

    address: int
    shape: tuple[int, ...]
    owner: object


def open_session(path: Path, device: str, threads: int, options: Mapping[str, Mapping[str, str]]) -> Session:
    """A session on `device`, which may have become one on the CPU.

    Args:
        threads: that share the work of one call on the CPU; 0: one for each core.
        options: of the providers, by their names.

    Raises:
        ModelError: it cannot be opened; the message is ONNX Runtime's reason.
    """
    try:
        with cuda.turnstile.together():
            return ort.InferenceSession(
                str(path),
                _session_options(threads),
                providers=[(name, dict(options.get(name, {}))) for name in PROVIDERS[device]],
                enable_fallback=0,  # else ONNX Runtime retries on the CPU and tells standard output
            )
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise ModelError(str(error).strip().partition("\n")[0].rpartition(" failed:")[2]) from error


def tensorrt_options(path: Path, half: bool) -> dict[str, str]:
    """Options of the TensorRT provider: engines are kept in the user's cache folder, those of each model file apart,
    for ONNX Runtime knows them again by the names in the graph alone.

    Args:
        half: the network computes in float16.

    Raises:
        DeviceError: the folder cannot be made.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "onsight" / "tensorrt" / sha256(path)[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"the cache folder {folder} cannot be made: {error.strerror}; set XDG_CACHE_HOME") from None
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder.parent),
        "trt_fp16_enable": str(int(half)),
    }


def _session_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Waiting threads sleep: at camera rates spinning costs three times the CPU time and wins nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def count_nodes(session: Session) -> dict[str, Counter[str]]:
    """For each provider the number of nodes of each operator that it runs."""
    nodes: dict[str, Counter[str]] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        operators = nodes.setdefault(subgraph.ep_name, Counter())
        operators.update(node.op_type for node in subgraph.get_nodes())
    return nodes


def graph_options(number: int) -> Any:
    """Options of an inference that records or plays the CUDA graph of that number; -1: neither."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options


def borrow(picture: OnDevice) -> Lent:
    """The memory of a picture that lies on the GPU, whose making is over then.

    Raises:
        DeviceError: it lies elsewhere. ValueError: it is not uint8 [H, W, 3] without gaps.
    """
    if tuple(picture.__dlpack_device__()) != (_CUDA_MEMORY, 0):
        raise DeviceError("a picture does not lie in the memory of the first NVIDIA GPU")
    value = ort.OrtValue.from_dlpack(picture)  # refuses gaps
    if value.data_type() != "tensor(uint8)" or len(value.shape()) != 3:
        raise ValueError(f"a picture must be uint8 [H, W, 3], not {value.data_type()} {value.shape()}")
    cuda.wait_for_default_stream()
    return Lent(value.data_ptr(), tuple(value.shape()), value)


def available_providers() -> list[str]:
    """The execution providers that this build of ONNX Runtime knows, whether or not their libraries can be loaded."""
    return list(ort.get_available_providers())


def check_device(device: Literal["cuda", "tensorrt"]) -> str | None:
    """Why `device` cannot be used here; None if it can."""
    reason = why_no_gpu()
    if reason is None and hasattr(ort, "preload_dlls"):
        with redirect_stdout(sys.stderr):  # it prints; standard output belongs to records
            ort.preload_dlls()
    return reason or why_no_provider(device)
