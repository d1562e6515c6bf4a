"""What the test camera shows: a clip that starts again at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext

from pipeline.errors import SourceError
from pipeline.sources import Source
from pipeline.sources.video import VideoFile
from pipeline.testcamera.controls import Controls, Mode
from pipeline.testcamera.rtp import CLOCK, split_nals
from pipeline.types import Frame, Media

_KEY_FRAME_EVERY = 30
_USUAL_GAP = 0.04
_LARGEST = 1 << 30  # bytes of the JPEG files of a clip: all of them are kept


class Due(Protocol):
    """`due`: when to send it, in seconds from the start of the clip."""

    @property
    def due(self) -> float: ...


T = TypeVar("T", bound=Due)


@dataclass(frozen=True, slots=True)
class Unit:
    """A coded picture, as NAL units: sent at `due`, shown at `pts`, both seconds from the start of the clip."""

    due: float
    pts: float
    nals: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file, sent at `due` seconds from the start of the clip."""

    due: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Reels(Generic[T]):
    """A clip, and what is shown in its place: its first picture, and a black one."""

    clip: Sequence[T]
    freeze: Sequence[T]
    black: Sequence[T]

    def of(self, mode: Mode) -> Sequence[T]:
        """What is shown in this mode."""
        return self.freeze if mode == "freeze" else self.black if mode == "black" else self.clip


def check_loopable(source: Source) -> None:
    """Raises SourceError unless the source has an end and times."""
    if source.media.still or source.media.live or (source.media.frames is None and source.media.seconds is None):
        raise SourceError(f"{source.name} cannot be looped: give a video, or a picture like `synthetic:?frames=300`")


def make_reels(source: Source, code: Callable[[Source], Sequence[T]]) -> Reels[T]:
    """The reels of a source, coded by `code` once and for all."""
    with closing(source.frames(threading.Event())) as frames:  # type: ignore[type-var]
        first = next(frames)
    black = Frame(np.zeros_like(first.image), source.name, 0, 0.0)
    return Reels(code(source), code(_Still(first)), code(_Still(black)))


def coded_units(source: Source) -> list[Unit]:
    """One round of the source in H.264: the packets of a file that is H.264, anything else encoded."""
    copy = isinstance(source, VideoFile) and source.codec == "h264"
    packets = list(_copy(source.name) if copy else _encode(source))
    first = packets[0].dts or 0
    return [_unit(packet, first) for packet in packets]


def jpegs(source: Source) -> list[Jpeg]:
    """One round of the source in JPEG files.

    Raises:
        SourceError: it is so long that they do not fit into memory.
    """
    files: list[Jpeg] = []
    size = 0
    for frame in source.frames(threading.Event()):
        files.append(Jpeg(frame.pts or 0.0, cv2.imencode(".jpg", frame.image)[1].tobytes()))
        size += len(files[-1].data)
        if size > _LARGEST:
            raise SourceError(f"{source.name} is too long to be kept as JPEG files: cut it, or serve it as RTSP")
    return files


async def looped(reels: Reels[T], controls: Controls) -> AsyncIterator[tuple[float, T]]:
    """Yields items when they are due, round after round, with the time since the start at which their round began.

    Another reel begins a new round. The clip stands still while the camera is paused; the time does not.
    """
    clock = asyncio.get_running_loop().time
    start = began = clock()
    while True:
        reel, last, gap = reels.of(controls.mode), 0.0, _USUAL_GAP
        for item in reel:
            gap, last = item.due - last or gap, item.due
            await asyncio.sleep(max(0.0, began + item.due - clock()))
            if controls.mode == "pause":
                paused = clock()
                await controls.until_not("pause")
                began += clock() - paused
            if reels.of(controls.mode) is not reel:
                break
            yield began - start, item
        began += last + gap


class _Still:
    """A second of one picture, as a source."""

    def __init__(self, frame: Frame) -> None:
        self.name, self.stream, self.media = frame.source, 0, Media()
        self._image = frame.image

    def close(self) -> None:
        """Nothing is open."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for index in range(round(1 / _USUAL_GAP)):
            yield Frame(self._image, self.name, index, index * _USUAL_GAP)


def _unit(packet: av.Packet[av.VideoStream], first: int) -> Unit:
    due, pts = (((moment or 0) - first) * packet.time_base for moment in (packet.dts, packet.pts))
    return Unit(float(due), float(pts), tuple(split_nals(bytes(packet))))


def _copy(path: str) -> Iterator[av.Packet[av.VideoStream]]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            if packet.size:
                yield from to_annex_b.filter(packet)


def _encode(source: Source) -> Iterator[av.Packet[av.VideoStream]]:
    encoder = None
    for frame in source.frames(threading.Event()):
        if encoder is None:
            encoder = _encoder(frame.width & ~1, frame.height & ~1)
        picture = av.VideoFrame.from_ndarray(frame.image[: encoder.height, : encoder.width], format="bgr24")
        picture.pts, picture.time_base = round((frame.pts or 0.0) * CLOCK), encoder.time_base
        yield from encoder.encode(picture)
    if encoder is not None:
        yield from encoder.encode()


def _encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, CLOCK)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(_KEY_FRAME_EVERY)}
    return encoder
