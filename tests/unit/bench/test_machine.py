import platform
import subprocess
import sys
import time
from types import SimpleNamespace

import av
import numpy as np
import pytest

from pipeline.bench import gpu, machine
from pipeline.schedule import available_cores


def test_a_machine_says_what_it_is():
    found = machine.describe_machine(None)
    assert found.cores == available_cores()
    assert 0 < found.usable_cores <= found.cores
    assert found.cpu
    assert found.memory_bytes > 2**28
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == np.__version__
    assert "onnxruntime" in found.versions
    assert found.gpu is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-gpu"])
def test_libraries_are_told_whichever_package_they_came_with(runtime, monkeypatch):
    packages = {"opencv-contrib-python-headless": "5.0", "nvidia-cudnn-cu13": "9.1", "nvidia-nccl-cu13": "2.0"}
    named = [SimpleNamespace(name=name, version=number) for name, number in packages.items()]
    monkeypatch.setattr(machine, "distributions", lambda: named)
    monkeypatch.setattr(machine, "installed", lambda name: name == runtime)
    found = machine.describe_machine(None).versions
    assert found["opencv-contrib-python-headless"] == "5.0"
    assert found.get("nvidia-cudnn-cu13") == ("9.1" if runtime == "onnxruntime-gpu" else None)
    assert "nvidia-nccl-cu13" not in found
    assert found["libavcodec"] == ".".join(str(number) for number in av.library_versions["libavcodec"])


def test_own_work_is_not_taken_for_that_of_others(monkeypatch):
    """A core that is busy with this process alone leaves nothing for others, one that is busy beside it does."""
    clock = SimpleNamespace(wall=0.0, own=0.0, busy=0.0)
    monkeypatch.setattr(machine, "perf_counter", lambda: clock.wall)
    monkeypatch.setattr(machine, "process_time", lambda: clock.own)
    monkeypatch.setattr(machine, "_busy_and_stolen", lambda: (clock.busy, None))
    watch = machine.MachineWatch(None)
    clock.wall, clock.own, clock.busy = 10.0, 15.0, 15.0
    assert watch.conditions().others_cores == 0
    clock.busy = 20.0
    assert watch.conditions().others_cores == 0.5
    assert watch.conditions().stolen_cores is None


def test_busy_cores_are_seen():
    before, _ = machine._busy_and_stolen()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    if before == 0:
        pytest.skip("this system does not count the time of its cores")
    assert machine._busy_and_stolen()[0] > before


@pytest.mark.parametrize(
    ("text", "quota"), [("max 100000", None), ("150000 100000", 1.5), ("nonsense", None), (None, None)]
)
def test_the_quota_of_a_control_group(text, quota, monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda path: text)
    assert machine._cpu_quota() == quota


def test_stops_by_the_quota_are_counted_from_the_beginning(monkeypatch):
    counts = iter(("usage_usec 1\nnr_throttled 5\n", "usage_usec 2\nnr_throttled 12\n"))
    monkeypatch.setattr(machine, "_read", lambda path: next(counts) if path.name == "cpu.stat" else None)
    watch = machine.MachineWatch(None)
    assert watch.conditions().quota_stops == 7


def test_peak_memory_never_falls():
    before = machine.peak_memory()
    block = np.ones(2**25, np.uint8)
    del block
    assert machine.peak_memory() >= before > 2**24


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is that of the process alone")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one():
    child = "from pipeline.bench.machine import peak_memory; print(peak_memory())"
    parent = (
        f"import subprocess, sys; large = b'1' * 2**28; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True, timeout=60)
    assert 2**24 < int(done.stdout) < 2**28


class Nvml:
    """A GPU that knows no power limit and is slowed down by heat and by idling."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    def __getattr__(self, question):
        answers = {
            "nvmlDeviceGetName": "A GPU",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=2**34, used=2**30),
            "nvmlDeviceGetClockInfo": 1200,
            "nvmlDeviceGetMaxClockInfo": 1500,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x41,
        }

        def answer(*arguments):
            if question == "nvmlSystemGetDriverVersion":
                return b"580.1"
            if question not in answers:
                raise self.NVMLError
            return answers[question]

        return answer


def test_a_gpu_says_what_slowed_it_down():
    watch = gpu.GpuWatch(Nvml(), object())
    watch.sample()
    described = watch.describe()
    assert (described.name, described.driver, described.power_limit_watts) == ("A GPU", "580.1", None)
    assert (watch.clocks, watch.memory, watch.reasons) == ([1200.0], 2**30, {"heat (hardware)"})
    assert machine.MachineWatch(watch).conditions().gpu_throttled == ("heat (hardware)",)


@pytest.mark.parametrize("figure", ["gpu_memory_bytes", "gpu_clock_mhz", "gpu_throttled"])
def test_what_a_gpu_does_not_tell_has_no_figure(figure, monkeypatch):
    watch = gpu.GpuWatch(Nvml(), object())
    monkeypatch.setattr(watch, "_ask", lambda *question: None)
    watch.sample()
    assert getattr(machine.MachineWatch(watch).conditions(), figure) is None


def test_a_gpu_that_nothing_slows_down_says_so(monkeypatch):
    watch = gpu.GpuWatch(Nvml(), object())
    monkeypatch.setattr(watch, "_ask", lambda question, *_: 0 if question.endswith("Reasons") else None)
    watch.sample()
    assert machine.MachineWatch(watch).conditions().gpu_throttled == ()


def test_where_nvml_cannot_be_loaded_there_is_no_gpu_to_watch(monkeypatch):
    import pynvml

    def fail():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert gpu.watch_gpu() is None
