"""Reads what a video file says about itself, without decoding it, and checks later that this much came out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.errors import SourceError

TIMEOUT = 10.0
"""Seconds that opening a URL, or one read of it, may take."""

_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_TEXT_ART = "tty"
_FRAMES_TOLERATED = 2
_SECONDS_TOLERATED = 0.5


@dataclass(frozen=True, slots=True)
class Claims:
    """What a container says about its video stream. `own_length`: `seconds` is the picture's, not also the sound's."""

    format: str
    codec: str
    time_base: Fraction | None
    gap: float
    frames: int | None
    seconds: float | None
    own_length: bool
    audio: bool


def open_container(target: str, timeout: float = TIMEOUT, hwaccel: HWAccel | None = None) -> InputContainer:
    """Opens a path, or a URL within `timeout` seconds, with PyAV. Its errors carry the URL with its password."""
    return av.open(target, timeout=timeout if "://" in target else None, metadata_errors="replace", hwaccel=hwaccel)


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of pictures that is no cover art."""
    attached = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & attached), None)


def demux(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """The packets of these streams, or of all, to the end, and then an empty one of each, which flushes its decoder.

    At the end PyAV also looks for streams that have begun on the way, which it does not know, and fails: IndexError.
    """
    with suppress(IndexError):
        yield from container.demux(*streams)


def probe(target: str, name: str) -> Claims:
    """Reads the headers of the video `target`, a path or an http URL; messages call it `name`.

    Raises:
        SourceError: it is missing, empty, damaged, or has no video stream of a known codec.
    """
    path = None if "://" in target else Path(target)
    if path is not None:
        _check_file(path, name)
    try:
        with open_container(target) as container:
            stream = video_stream(container)
            if stream is None or container.format.name == _TEXT_ART:
                raise SourceError(f"{name} has no video stream: give a video, an image, a folder or a URL")
            if stream.codec_context is None:  # which PyAV does not have of an unknown codec
                raise SourceError(f"the codec of {name} is not known: copy the file again, or convert it to H.264")
            return _claims(container, stream)
    except av.FFmpegError as error:
        raise SourceError(_explain(error, path, name)) from None


def check_end(claims: Claims, name: str, frames: int, last: float, longest_gap: float) -> None:
    """Tells the end of a file from a failure, after `frames` frames of which the last has the time `last`.

    The count and the length must both say that much is missing: an edit list leaves frames out, and the last frame of
    a screen recording may stand for minutes.

    Raises:
        SourceError: the file ended clearly before its end.
    """
    if frames == 0:
        raise SourceError(f"{name} has no frame that can be decoded: the file is damaged or its codec is not supported")
    if claims.frames is not None and frames + _FRAMES_TOLERATED >= claims.frames:
        return
    if claims.seconds is None or not claims.own_length:
        return
    tolerated = min(_SECONDS_TOLERATED, claims.seconds / 4)
    if claims.seconds - last > max(tolerated, 2 * longest_gap, 3 * claims.gap):
        of = f"{claims.frames} frames" if claims.frames is not None else f"{claims.seconds:.1f} s"
        got = f"{frames}" if claims.frames is not None else f"{frames} frames ({last:.1f} s)"
        raise SourceError(f"{name} ended after {got} of {of}: the file is truncated or damaged")


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise SourceError(
            f"{name} is not a file: give a video, or a webcam by its number"
            if path.exists()
            else f"{name} does not exist: check the path"
        )
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from None
    if empty:
        raise SourceError(f"{name} is empty (0 bytes): record or copy it again")


def _claims(container: InputContainer, stream: VideoStream) -> Claims:
    seconds, own_length = _length(container, stream)
    rate = stream.average_rate or stream.guessed_rate
    return Claims(
        format=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        time_base=stream.time_base,
        gap=float(1 / rate) if rate else 0.04,
        frames=stream.frames or None,
        seconds=seconds,
        own_length=own_length,
        audio=bool(container.streams.audio),
    )


def _length(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base), True
    if tag := _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", "")):
        return sum(float(part) * unit for part, unit in zip(tag.groups(), (3600, 60, 1), strict=True)), True
    if container.duration:
        return container.duration / av.time_base, len(container.streams) == 1
    return None, False


def _explain(error: av.FFmpegError, path: Path | None, name: str) -> str:
    if path is None:
        return f"{name} cannot be opened: {error.strerror}"
    with path.open("rb") as file:
        mp4 = file.read(12)[4:8] == b"ftyp"
    if mp4 and isinstance(error, av.InvalidDataError):
        return f"{name} is cut off, its index (moov) is missing: record or copy it again"
    if isinstance(error, av.InvalidDataError):
        return f"{name} is not a video, or its format is not supported"
    return f"{name} cannot be opened: {error.strerror}"
