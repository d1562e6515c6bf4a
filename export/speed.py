"""How long model files take on this machine, side by side."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from export.options import Precision
from pipeline.model import OnnxModel
from pipeline.probes import runtime_version
from pipeline.schedule import available_cores

_ROUNDS = 30
_SECONDS = 5.0  # of all rounds: a slow network gets fewer, three at the least


def time_models(models: Mapping[Precision, OnnxModel]) -> dict[Precision, float]:
    """Milliseconds for a frame of the input's size, one at a time: the median of rounds in which each has its turn."""
    taken: dict[Precision, list[float]] = {precision: [] for precision in models}
    for model in models.values():
        model.infer(_frame(model))  # the first time, memory is reserved
    end = time.perf_counter() + _SECONDS
    for done in range(_ROUNDS):
        if done >= 3 and time.perf_counter() > end:
            break
        for precision, model in models.items():
            frame = _frame(model)
            began = time.perf_counter()
            model.infer(frame)
            taken[precision].append(1e3 * (time.perf_counter() - began))
    return {precision: median(each) for precision, each in taken.items()}


def _frame(model: OnnxModel) -> np.ndarray:
    size = model.contract.input
    return np.random.default_rng(0).integers(0, 256, (1, size.height, size.width, 3), np.uint8)


def dump_timings(timings: Mapping[Precision, float], device: str) -> str:
    """What `time_models` found and on what machine, as JSON: it is the machine's, and no part of the model."""
    values: dict[str, Any] = {
        "ms_per_frame": {precision: round(each, 3) for precision, each in timings.items()},
        "batch": 1,
        "device": device,
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "onnxruntime": runtime_version(),
    }
    return json.dumps(values, indent=2) + "\n"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
