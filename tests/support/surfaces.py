"""Pictures that pretend to lie on a GPU, and an NVDEC that decodes on the CPU."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import av
import numpy as np
import pytest
from support.gpu import FakeDriver, use

from pipeline.sources import nv12, nvdec, pyav
from pipeline.types import Image


class FakeSurface:
    """Counts how often it is downloaded. What it lends is `image`, in host memory."""

    def __init__(self, image: Image) -> None:
        self.shape = image.shape
        self.downloads = 0
        self._lent, self._image = image, image.copy()

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self._lent.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def download(self) -> Image:
        self.downloads += 1
        return self._image


def nvdec_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `pipeline.sources.nvdec` find a driver and a decoder, whose pictures are in host memory as NV12."""
    read, first = pyav.read, nvdec._first

    def read_nv12(target: str, threads: int, **options: Any) -> Generator[tuple[av.VideoFrame, float]]:
        for picture, seconds in read(target, threads, **options):
            yield as_nv12(picture) if "hwaccel" in options else picture, seconds

    use(FakeDriver(), monkeypatch)
    monkeypatch.setattr(nvdec.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(nvdec, "_hwaccel", lambda: None)
    monkeypatch.setattr(nvdec, "_first", lambda packet: None if (got := first(packet)) is None else as_nv12(got))
    monkeypatch.setattr(nv12, "to_bgr", partial(nv12.to_bgr, place="cpu"))
    monkeypatch.setattr(pyav, "read", read_nv12)


def as_nv12(picture: av.VideoFrame) -> av.VideoFrame:
    """As NVDEC stores it: a picture of 8 bits in 4:2:0 loses nothing."""
    return picture.reformat(format="nv12") if picture.format.name in ("yuv420p", "yuvj420p") else picture


def on_host(lent: Any) -> np.ndarray:
    """What an object lends through DLPack, of which it says that it is on the GPU."""

    class Host:
        def __dlpack__(self, **_: object) -> Any:
            return lent.__dlpack__()

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    return np.from_dlpack(Host())
