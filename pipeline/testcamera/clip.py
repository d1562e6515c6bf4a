"""What the test camera shows: a clip that starts again at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import av
import cv2
from av.bitstream import BitStreamFilterContext

from pipeline.errors import SourceError
from pipeline.sources import Source
from pipeline.sources.video import VideoFile
from pipeline.testcamera.rtp import CLOCK, split_nals

T = TypeVar("T")

_KEY_FRAME_EVERY = 30
_USUAL_GAP = 0.04


@dataclass(frozen=True, slots=True)
class Unit:
    """A coded picture, as NAL units: sent at `due`, shown at `pts`, both seconds from the start of the clip."""

    due: float
    pts: float
    nals: tuple[bytes, ...]


def check_loopable(source: Source) -> None:
    """Raises SourceError unless the source has an end and times."""
    if source.media.still or source.media.live or (source.media.frames is None and source.media.seconds is None):
        raise SourceError(f"{source.name} cannot be looped: give a video, or a picture like `synthetic:?frames=300`")


def coded_units(source: Source) -> list[Unit]:
    """One round of the source in H.264: the packets of a file that is H.264, anything else encoded."""
    copy = isinstance(source, VideoFile) and source.codec == "h264"
    packets = list(_copy(source.name) if copy else _encode(source))
    first = packets[0].dts or 0
    return [_unit(packet, first) for packet in packets]


def jpegs(source: Source) -> Iterator[tuple[float, bytes]]:
    """One round of the source as times in seconds and JPEG files."""
    for frame in source.frames(threading.Event()):
        yield frame.pts or 0.0, cv2.imencode(".jpg", frame.image)[1].tobytes()


async def looped(play: Callable[[], Iterable[tuple[float, T]]]) -> AsyncIterator[tuple[float, T]]:
    """Yields items when they are due, round after round, with the time at which their round began."""
    clock = asyncio.get_running_loop().time
    began, round_began = clock(), 0.0
    while True:
        last, gap = 0.0, _USUAL_GAP
        for due, item in play():
            gap, last = due - last or gap, due
            await asyncio.sleep(max(0.0, began + round_began + due - clock()))
            yield round_began, item
        round_began += last + gap


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
