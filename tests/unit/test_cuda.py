import gc
import threading
from time import sleep

import numpy as np
import pytest
from support.gpu import FakeDriver, use

from pipeline import cuda
from pipeline.errors import DeviceError


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    return use(FakeDriver(), monkeypatch)


def test_bytes_come_back_from_the_gpu_as_they_went(driver: FakeDriver) -> None:
    there, copy, stream = cuda.DeviceMemory(24), cuda.DeviceMemory(24), cuda.Stream()
    sent, back = np.arange(3, dtype=np.int64), cuda.pinned(24).view(np.int64)
    stream.to_device(there.address, sent)
    stream.on_device(copy.address, there.address, 24)
    stream.to_host(back, copy.address)
    stream.wait()
    assert back.tolist() == [0, 1, 2]
    assert driver.asked[-1] == "cuStreamSynchronize"
    assert driver.entered == 0


def test_memory_is_given_back_when_nothing_shows_it_any_more(driver: FakeDriver) -> None:
    there, stream = cuda.DeviceMemory(8), cuda.Stream()
    part = cuda.pinned(100)[10:20].reshape(2, 5)
    gc.collect()
    assert len(driver.blocks) == 2
    part[:] = 7
    del part
    gc.collect()
    assert driver.count("cuMemFreeHost") == 1
    del there, stream
    gc.collect()
    assert not driver.blocks
    assert (driver.count("cuMemFree_v2"), driver.count("cuStreamDestroy_v2")) == (1, 1)


def test_without_pinned_memory_it_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    use(FakeDriver(failing="cuMemHostAlloc"), monkeypatch)
    memory = cuda.pinned(5)
    assert (memory.shape, memory.dtype) == ((5,), np.uint8)
    assert "copies to the GPU are slower than they could be: cuMemHostAlloc" in caplog.text


def test_a_failure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(FakeDriver(failing="cuMemAlloc_v2"), monkeypatch)
    with pytest.raises(
        DeviceError, match=r"^cuMemAlloc_v2 of the NVIDIA driver fails: CUDA_ERROR_OUT_OF_MEMORY \(2\)$"
    ):
        cuda.DeviceMemory(1)
    assert driver.entered == 0


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(cuda.ctypes, "CDLL", load)
    with pytest.raises(DeviceError, match="no NVIDIA driver is installed: libcuda"):
        cuda.Driver()


# The turnstile


def test_many_are_inside_together_and_one_alone() -> None:
    turnstile, inside, seen = cuda.Turnstile(), set[int](), list[set[int]]()

    def visit(number: int, alone: bool) -> None:
        for _ in range(50):
            with turnstile.alone() if alone else turnstile.together():
                inside.add(number)
                sleep(0.0001)
                seen.append(set(inside))
                inside.discard(number)

    threads = [threading.Thread(target=visit, args=(number, number == 0)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(seen) == 200
    assert all(each == {0} for each in seen if 0 in each)
    assert max(len(each) for each in seen) > 1
    assert not inside


def test_who_failed_inside_has_left() -> None:
    turnstile = cuda.Turnstile()
    for enter in (turnstile.together, turnstile.alone):
        with pytest.raises(ZeroDivisionError), enter():
            raise ZeroDivisionError
    with turnstile.alone():
        pass
