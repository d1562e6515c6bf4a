"""A CUDA driver whose GPU is memory of the host: what `pipeline.cuda` asks of the real one."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import pytest

from pipeline import cuda


class FakeDriver:
    """Notes what it is asked, and does it: `asked` has the names of the functions in order.

    Args:
        failing: the function that fails, as if memory were short.
    """

    def __init__(self, failing: str | None = None) -> None:
        self.asked: list[str] = []
        self.blocks: dict[int, Any] = {}
        self.entered = 0  # contexts that are pushed
        self.threads: set[int] = set()  # those that have one for good
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append(name)
            if name == self.failing:
                return 2
            return int(getattr(self, f"_{name}", lambda *arguments: 0)(*arguments) or 0)

        if not name.startswith("cu"):
            raise AttributeError(name)
        return call

    def _cuGetErrorName(self, status: Any, text: Any) -> None:  # noqa: N802 - the driver's name
        text._obj.value = b"CUDA_ERROR_OUT_OF_MEMORY"

    def _cuCtxPushCurrent_v2(self, context: Any) -> None:  # noqa: N802
        self.entered += 1

    def _cuCtxPopCurrent_v2(self, context: Any) -> None:  # noqa: N802
        self.entered -= 1

    def _cuCtxSetCurrent(self, context: Any) -> None:  # noqa: N802
        self.threads.add(threading.get_ident())

    def _cuMemAlloc_v2(self, place: Any, size: Any, *flags: Any) -> None:  # noqa: N802
        block = ctypes.create_string_buffer(size.value + 256)
        address = -(-ctypes.addressof(block) // 256) * 256
        self.blocks[address] = block
        place._obj.value = address

    _cuMemHostAlloc = _cuMemAlloc_v2

    def _cuMemFree_v2(self, place: Any) -> None:  # noqa: N802
        del self.blocks[place.value]

    _cuMemFreeHost = _cuMemFree_v2

    def _cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:  # noqa: N802
        assert threading.get_ident() in self.threads, "no context"
        ctypes.memmove(target.value, source.value, size.value)

    _cuMemcpyDtoHAsync_v2 = _cuMemcpyDtoDAsync_v2 = _cuMemcpyHtoDAsync_v2

    def count(self, name: str) -> int:
        return self.asked.count(name)


class FakePicture:
    """A picture that says it lies on the GPU numbered `kind` in DLPack; uint8 [H, W, 3]."""

    def __init__(self, image: np.ndarray, kind: int = 2) -> None:
        self.image, self.kind = image, kind

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self.image.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0


def use(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """Makes `driver` the one of this process, until the test ends."""
    loaded = ctypes.CDLL

    def load(name: str, *arguments: Any, **options: Any) -> Any:
        return driver if name == cuda.LIBRARY else loaded(name, *arguments, **options)

    monkeypatch.setattr(cuda.ctypes, "CDLL", load)
    made = cuda.Driver()
    monkeypatch.setattr(cuda, "driver", lambda: made)
    return driver
