"""Where it was measured, and what the machine did meanwhile. The only module that imports psutil."""

from __future__ import annotations

import os
import platform
import re
import sys
from contextlib import suppress
from importlib.metadata import distributions, version
from pathlib import Path
from time import perf_counter, process_time

import psutil

from pipeline.bench.gpu import GpuWatch
from pipeline.bench.result import Conditions, Machine, Spread
from pipeline.probes import installed, runtime_version
from pipeline.schedule import available_cores

_PACKAGES = ("onsight", "av", "numpy")
_OPENCV = "opencv-"  # -python, -python-headless, -contrib-python and so on: all are the module cv2
_CUDA = ("nvidia-cuda-runtime", "nvidia-cudnn", "nvidia-cublas", "nvidia-cufft", "tensorrt")
_CGROUP = Path("/sys/fs/cgroup")
_CPU = Path("/sys/devices/system/cpu")


def describe_machine(gpu: GpuWatch | None) -> Machine:
    """As it is now."""
    clock = _clock()
    return Machine(
        system=platform.platform(),
        cpu=_cpu_name(),
        cores=available_cores(),
        cpu_quota=_cpu_quota(),
        memory_bytes=psutil.virtual_memory().total,
        clock_mhz=clock[0] if clock else None,
        highest_clock_mhz=clock[1] if clock else None,
        governor=_read(_CPU / "cpu0/cpufreq/scaling_governor"),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        gpu=gpu.describe() if gpu else None,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    """Of what decodes, infers and encodes: packages, and FFmpeg's libraries in PyAV."""
    import av

    found = {each.name: each.version for each in distributions() if each.name}
    prefixes = (_OPENCV, *_CUDA) if installed("onnxruntime-gpu") else (_OPENCV,)
    return {
        **{name: version(name) for name in _PACKAGES if installed(name)},
        **{name: found[name] for name in sorted(found) if name.lower().startswith(prefixes)},
        **{name: ".".join(map(str, numbers)) for name, numbers in av.library_versions.items()},
        "onnxruntime": runtime_version(),
        "python": platform.python_version(),
    }


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if found := re.search(r"^VmHWM:\s*(\d+) kB", _read(Path("/proc/self/status")) or "", re.MULTILINE):
        return int(found[1]) * 1024  # Linux, whose ru_maxrss is also that of the process that started this one
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class MachineWatch:
    """Watches the machine from its making to `conditions`; `sample` it after every round, while it is still warm."""

    def __init__(self, gpu: GpuWatch | None) -> None:
        self._gpu = gpu
        self._clocks: list[float] = []
        self._began = perf_counter(), process_time(), *_busy_and_stolen()
        self._throttled = _throttle_count()
        self._stops = _quota_stops()

    def sample(self) -> None:
        """Reads the clocks."""
        if clock := _clock():
            self._clocks.append(clock[0])
        if self._gpu:
            self._gpu.sample()

    def conditions(self) -> Conditions:
        """All since the beginning."""
        began, cpu, busy, stolen = self._began
        seconds, own = perf_counter() - began, process_time() - cpu
        busy_now, stolen_now = _busy_and_stolen()
        gpu = self._gpu
        return Conditions(
            others_cores=max(0.0, (busy_now - busy - own) / seconds),
            stolen_cores=None if stolen is None or stolen_now is None else (stolen_now - stolen) / seconds,
            clock_mhz=Spread.of(self._clocks) if self._clocks else None,
            cpu_throttled=_since(self._throttled, _throttle_count()),
            quota_stops=_since(self._stops, _quota_stops()),
            gpu_clock_mhz=Spread.of(gpu.clocks) if gpu and gpu.clocks else None,
            gpu_memory_bytes=gpu.memory if gpu else None,
            gpu_throttled=tuple(sorted(gpu.reasons)) if gpu and gpu.reasons is not None else None,
        )


def _busy_and_stolen() -> tuple[float, float | None]:
    """Seconds that the cores this process may use have worked for anyone here, and for other guests of the host."""
    cores = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity"):
        cores = [cores[i] for i in os.sched_getaffinity(0) if i < len(cores)]
    busy = sum(sum(getattr(core, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq")) for core in cores)
    stolen = sum(core.steal for core in cores) if cores and hasattr(cores[0], "steal") else None
    return busy, stolen


def _clock() -> tuple[float, float | None] | None:
    """Megahertz of the cores now, on average, and the highest that they have."""
    with suppress(OSError, NotImplementedError, AttributeError):
        if found := psutil.cpu_freq():
            return float(found.current), float(found.max) or None
    return None


def _cpu_name() -> str:
    if found := re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")) or "", re.MULTILINE):
        return found[1]
    return platform.processor() or platform.machine()


def _cpu_quota() -> float | None:
    """How many cores the control group of the process may use; None: no limit."""
    quota, _, period = (_read(_CGROUP / "cpu.max") or "max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _quota_stops() -> int | None:
    """How often that limit has stopped the process."""
    found = re.search(r"^nr_throttled (\d+)", _read(_CGROUP / "cpu.stat") or "", re.MULTILINE)
    return int(found[1]) if found else None


def _throttle_count() -> int | None:
    """How often heat has slowed down a core."""
    counts = [_read(path) for path in _CPU.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    return sum(int(count) for count in counts if count) if counts else None


def _since(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else now - before


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
