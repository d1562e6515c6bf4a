"""Reads videos with PyAV, for codecs that OpenCV cannot decode."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import cast

import av
import numpy as np
from av.codec.hwaccel import HWAccel

from pipeline.sources.probe import demux, open_container, video_stream
from pipeline.types import Image

DAMAGED = av.InvalidDataError, av.error.PatchWelcomeError
"""What a decoder says of a damaged packet: the next one may be whole."""

_RUN_UP = 10.0  # seconds; a seek is not exact in every format


def decode(target: str, threads: int, after: float | None = None) -> Generator[tuple[Image, float]]:
    """Yields upright pictures and their seconds from the start of the video stream, as far as it can be read.

    Args:
        after: only later pictures, in seconds; most of what comes before is passed over without being decoded.

    Raises:
        av.FFmpegError: the video cannot be opened, or its decoder fails at more than damage.
    """
    for picture, seconds in read(target, threads, after=after):
        yield upright(picture), seconds


def read(
    target: str, threads: int, *, after: float | None = None, hwaccel: HWAccel | None = None
) -> Generator[tuple[av.VideoFrame, float]]:
    """`decode` before the pictures are made upright BGR; with `hwaccel` they are where that leaves them."""
    with open_container(target, hwaccel=hwaccel) as container:
        stream = video_stream(container)
        if stream is None:
            return
        stream.codec_context.thread_count = threads
        start, time_base = stream.start_time or 0, stream.time_base or 0
        if after is not None and after > _RUN_UP and time_base:
            with suppress(av.FFmpegError):
                container.seek(start + int((after - _RUN_UP) / time_base), stream=stream)
        for picture in _pictures(container, stream):
            pts = start if picture.pts is None else picture.pts
            seconds = float((pts - start) * time_base)
            if after is None or seconds > after:
                yield picture, seconds


def _pictures(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    packets = demux(container, stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except DAMAGED:
            continue


def upright(picture: av.VideoFrame) -> Image:
    """uint8 [H, W, 3] BGR, its rotation applied."""
    image = picture.reformat(format="bgr24", threads=1).to_ndarray()  # by default, threads for each picture
    quarters = picture.rotation // 90 % 4
    return cast(Image, np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image)
