"""Memory and copies of an NVIDIA GPU, through its driver: pinned host memory, device memory, streams.

ONNX Runtime's Python package offers neither copies on a stream of one's own nor memory that the GPU reads directly. All
calls let go of Python's lock while they wait. The GPU is the one that CUDA calls number 0, and the context its primary
one, which ONNX Runtime and PyTorch use, too.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DeviceError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

_PORTABLE = 1  # pinned for every context
_NON_BLOCKING = 1  # a stream that does not wait for the default one

_LOG = logging.getLogger(__name__)


class Turnstile:
    """Lets any number of threads in together, or one alone.

    While a thread records a CUDA graph, most calls of any other thread to CUDA fail, and spoil the recording.
    """

    def __init__(self) -> None:
        self._door, self._counter, self._room = Lock(), Lock(), Lock()
        self._inside = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Not while one is alone. May not be entered by a thread that is inside."""
        with self._door, self._counter:
            self._inside += 1
            if self._inside == 1:
                self._room.acquire()
        try:
            yield
        finally:
            with self._counter:
                self._inside -= 1
                if not self._inside:
                    self._room.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """When the others have left; those who come meanwhile wait."""
        with self._door, self._room:
            yield


turnstile = Turnstile()
"""Every inference and every copy passes it."""


class Driver:
    """The functions of the driver that are used here, and the primary context.

    Raises:
        DeviceError: there is no driver or no GPU.
    """

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise DeviceError(f"no NVIDIA driver is installed: {error}") from None
        device = c_int()
        self._context = c_void_p()
        self.call("cuInit", c_uint(0))
        self.call("cuDeviceGet", byref(device), c_int(0))
        self.call("cuDevicePrimaryCtxRetain", byref(self._context), device)

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the driver.

        Raises:
            DeviceError: it says that it failed.
        """
        if status := getattr(self._library, name)(*arguments):
            text = c_char_p()
            self._library.cuGetErrorName(c_int(status), byref(text))
            raise DeviceError(f"{name} of the NVIDIA driver fails: {(text.value or b'unknown').decode()} ({status})")

    def enter(self) -> None:
        """Makes the primary context that of this thread for good."""
        self.call("cuCtxSetCurrent", self._context)

    def free(self, name: str, place: Any) -> None:
        """Gives memory or a stream back, whenever Python finds that it is not needed: at the turnstile, too."""
        try:
            with self.context():
                self.call(name, place)
        except DeviceError as error:
            _LOG.debug("%s", error)

    @contextmanager
    def context(self) -> Iterator[None]:
        """Makes the primary context that of this thread for a while."""
        self.call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent_v2", byref(c_void_p()))


@cache
def driver() -> Driver:
    """The driver, loaded when it is first asked for."""
    return Driver()


def pinned(size: int) -> NDArray[np.uint8]:
    """uint8 [size] of host memory that the GPU reads and writes directly; it lives as long as an array shows it.

    Where the driver has none to give, ordinary memory, which is copied more slowly, and a warning.
    """
    place = c_void_p()
    try:
        with turnstile.together(), driver().context():
            driver().call("cuMemHostAlloc", byref(place), c_size_t(size), c_uint(_PORTABLE))
    except DeviceError as error:
        _LOG.warning("copies to the GPU are slower than they could be: %s", error)
        return np.empty(size, np.uint8)
    block = (ctypes.c_uint8 * size).from_address(place.value or 0)
    _when_gone(block, "cuMemFreeHost", place)
    return np.ctypeslib.as_array(block)


class DeviceMemory:
    """`size` bytes of the GPU's memory at `address`."""

    def __init__(self, size: int) -> None:
        place = c_uint64()
        with turnstile.together(), driver().context():
            driver().call("cuMemAlloc_v2", byref(place), c_size_t(size))
        self.size = size
        self.address = place.value
        _when_gone(self, "cuMemFree_v2", place)


class Stream:
    """A queue of copies that nothing else on the GPU waits for, nor it for anything else. It belongs to one thread."""

    def __init__(self) -> None:
        self._handle = c_void_p()
        with turnstile.together():
            driver().enter()
            driver().call("cuStreamCreate", byref(self._handle), c_uint(_NON_BLOCKING))
        _when_gone(self, "cuStreamDestroy_v2", self._handle)

    def to_device(self, address: int, source: NDArray[Any]) -> None:
        """Begins to copy a contiguous array to the GPU's memory at `address`."""
        self._copy("cuMemcpyHtoDAsync_v2", c_uint64(address), c_void_p(source.ctypes.data), source.nbytes)

    def to_host(self, target: NDArray[Any], address: int) -> None:
        """Begins to fill a contiguous array from the GPU's memory at `address`."""
        self._copy("cuMemcpyDtoHAsync_v2", c_void_p(target.ctypes.data), c_uint64(address), target.nbytes)

    def on_device(self, target: int, source: int, size: int) -> None:
        """Begins to copy `size` bytes from one address of the GPU's memory to another."""
        self._copy("cuMemcpyDtoDAsync_v2", c_uint64(target), c_uint64(source), size)

    def wait(self) -> None:
        """Returns when all copies are done."""
        with turnstile.together():
            driver().call("cuStreamSynchronize", self._handle)

    def _copy(self, name: str, target: Any, source: Any, size: int) -> None:
        with turnstile.together():
            driver().call(name, target, source, c_size_t(size), self._handle)


def wait_for_default_stream() -> None:
    """Returns when the work on CUDA's default stream is done: there those who lend their memory begin it."""
    with turnstile.together():
        driver().call("cuStreamSynchronize", c_void_p())


def _when_gone(owner: object, name: str, place: Any) -> None:
    """At the end of the process, its memory goes without that."""
    weakref.finalize(owner, driver().free, name, place).atexit = False
