"""Reads videos with NVDEC, the decoder on an NVIDIA GPU, through PyAV; the pictures stay on the GPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import av
from av.codec.hwaccel import HWAccel

from pipeline import cuda
from pipeline.errors import DeviceError
from pipeline.sources import pyav
from pipeline.sources.probe import demux, open_container, video_stream
from pipeline.types import Image, OnDevice

_LIBRARY = "nvcuvid.dll" if sys.platform == "win32" else "libnvcuvid.so.1"
_CUDA = 2  # DLPack's kDLCUDA
_TRIED = 100  # packets: the first picture of a stream that was cut may come late


class NvdecSurface:
    """See `Surface`. FFmpeg copies each picture out of the decoder's own few, so any number of them may be kept."""

    def __init__(self, picture: av.VideoFrame) -> None:
        self.shape = (picture.height, picture.width, 3)
        self._picture = picture
        self._frame: OnDevice | None = None
        self._image: Image | None = None

    def __dlpack__(self, *, stream: Any = None) -> Any:
        if self._frame is None:
            with _decoded():
                self._frame = _to_bgr(self._picture)
        return self._frame.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, 0

    def download(self) -> Image:
        """See `Surface.download`."""
        if self._image is None:
            with _decoded(), cuda.turnstile.together():
                self._image = pyav.upright(self._picture.reformat(format="yuv420p"))  # swscale's way from NV12 differs
        return self._image


@contextmanager
def _decoded() -> Iterator[None]:
    """When FFmpeg's copies are done, which it makes on CUDA's default stream and does not wait for."""
    with cuda.driver().context():
        cuda.wait_for_default_stream()
        yield


def _to_bgr(picture: av.VideoFrame) -> OnDevice:
    from pipeline.sources.nv12 import Nv12, to_bgr  # loads ONNX Runtime

    brightness, colour = ((plane.buffer_ptr, plane.line_size) for plane in picture.planes)
    matrix, full = int(picture.colorspace), int(picture.color_range)
    return to_bgr(Nv12(brightness, colour, picture.height, picture.width, matrix, full))


def decode(target: str, threads: int) -> Generator[tuple[NvdecSurface, float]]:
    """Yields pictures and their seconds from the start of the video stream, as far as it can be read.

    Args:
        threads: not used, for the GPU decodes.

    Raises:
        DeviceError: NVDEC fails; the message is the reason alone.
    """
    with closing(pyav.read(target, 1, hwaccel=_hwaccel())) as pictures:
        while (read := _next(pictures)) is not None:
            yield NvdecSurface(read[0]), read[1]


def _next(pictures: Iterator[tuple[av.VideoFrame, float]]) -> tuple[av.VideoFrame, float] | None:
    with cuda.turnstile.together(), cuda.driver().context():
        try:
            return next(pictures, None)
        except av.FFmpegError as error:
            raise DeviceError(error.strerror or type(error).__name__) from None


def why_not(target: str) -> str | None:
    """Why NVDEC cannot decode the video `target`; None if it has decoded the first picture."""
    try:
        with cuda.turnstile.together(), cuda.driver().context():
            ctypes.CDLL(_LIBRARY)
            return _try(target)
    except DeviceError as error:
        return str(error)
    except av.FFmpegError as error:
        return error.strerror
    except OSError:
        return f"{_LIBRARY} cannot be loaded: a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    except RuntimeError:  # by which PyAV says that FFmpeg's decoder for this codec knows no hardware
        return "FFmpeg has no decoder on the GPU for its codec"


def _try(target: str) -> str | None:
    with open_container(target, hwaccel=_hwaccel()) as container:
        stream = video_stream(container)
        for packet in islice(demux(container, stream), _TRIED) if stream else ():
            if (picture := _first(packet)) is not None:
                return _unfit(picture)
    return "this GPU does not decode its codec, profile or size"


def _first(packet: av.Packet[Any]) -> av.VideoFrame | None:
    try:
        return next(iter(packet.decode()), None)
    except pyav.DAMAGED:
        return None


def _unfit(picture: av.VideoFrame) -> str | None:
    stored = picture.sw_format.name if picture.sw_format else picture.format.name
    if stored != "nv12":
        return f"its pictures are {stored}, not of 8 bits in 4:2:0 (nv12)"
    if picture.rotation:
        return f"its pictures have to be turned by {picture.rotation} degrees"
    if picture.width % 2 or picture.height % 2:
        return f"its width or height is odd ({picture.width}x{picture.height})"
    return None


def _hwaccel() -> HWAccel:
    """For the context that is current when a video is opened. It has to be the one that ONNX Runtime uses, too: only so
    does each see the other's memory. FFmpeg would open that itself (`primary_ctx`), but not after another library.
    """
    options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
    return HWAccel("cuda", allow_software_fallback=False, options=options, is_hw_owned=True)
