"""An NVIDIA GPU while it is measured, as its driver tells through NVML. The only module that imports pynvml."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from pipeline.bench.result import Gpu

_REASONS = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power supply",
}
"""Bits of NVML's clock event reasons that mean slower than it could be; the others are idling and chosen clocks."""


class GpuWatch:
    """Reads clocks, memory and what slows the GPU down.

    Attributes:
        clocks: of the multiprocessors at each sample, in megahertz.
        memory: the most in use on the whole GPU at any sample, in bytes; None: it does not tell.
        reasons: why it was slowed down at any sample; None: it does not tell.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self.clocks: list[float] = []
        self.memory: int | None = None
        self.reasons: set[str] | None = None

    def describe(self) -> Gpu:
        memory, power = self._ask("nvmlDeviceGetMemoryInfo"), self._ask("nvmlDeviceGetPowerManagementLimit")
        return Gpu(
            name=_text(self._ask("nvmlDeviceGetName") or "unknown"),
            driver=_text(self._nvml.nvmlSystemGetDriverVersion()),
            memory_bytes=None if memory is None else memory.total,
            power_limit_watts=None if power is None else power / 1000,
            clock_mhz=self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM),
            highest_clock_mhz=self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM),
        )

    def sample(self) -> None:
        """Looks now: right after work, before the GPU has gone idle."""
        if clock := self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM):
            self.clocks.append(float(clock))
        if memory := self._ask("nvmlDeviceGetMemoryInfo"):
            self.memory = max(self.memory or 0, int(memory.used))
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is not None:
            self.reasons = (self.reasons or set()) | {name for bit, name in _REASONS.items() if bits & bit}

    def _ask(self, question: str, *arguments: Any) -> Any:
        """NVML's answer; None where this GPU does not tell."""
        with suppress(self._nvml.NVMLError):
            return getattr(self._nvml, question)(self._handle, *arguments)
        return None


def watch_gpu() -> GpuWatch | None:
    """The GPU that CUDA calls number 0; None where NVML does not know it."""
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    try:
        pynvml.nvmlInit()
        if visible.isdecimal():
            return GpuWatch(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(visible)))
        return GpuWatch(pynvml, pynvml.nvmlDeviceGetHandleByUUID(visible))
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
