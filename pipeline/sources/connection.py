"""A connection to a camera: a stream behind a URL, read with PyAV, or a webcam, read with OpenCV.

A stream may change the size of its pictures on the way, which OpenCV hides: it scales them to the size of the first.
PyAV also says why a camera cannot be reached.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Protocol, TypeAlias, cast

import av

from pipeline.sources.capture import open_capture
from pipeline.sources.decoder import Decoder
from pipeline.sources.probe import demux, video_stream
from pipeline.sources.pyav import upright
from pipeline.types import Image

Pictures: TypeAlias = Generator[tuple[Image, float | None]]
"""Upright pictures, and their seconds on the camera's own clock (None: it has none). Ends with `Lost`, or when the
camera ends the connection.
"""

_LASTING = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.ProtocolNotFoundError,
    av.error.DecoderNotFoundError,
)
_PREFER_TCP = {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}


class Lost(Exception):  # noqa: N818 - says what happened to the connection
    """No connection, or none any more; the message says why. `lasting`: trying again alone will not help."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Connection(Protocol):
    """Attributes:
    recording: it is no camera but a video with an end.
    """

    recording: bool

    def pictures(self) -> Pictures: ...

    def close(self) -> None: ...


class Stream:
    """A connection to a URL.

    Args:
        opening: seconds that connecting may take.
        reading: seconds without a picture that can be decoded, after which the connection is lost.

    Raises:
        Lost: it cannot be made.
    """

    def __init__(self, url: str, opening: float, reading: float) -> None:
        self._rtsp = url.lower().startswith("rtsp")
        self._reading = reading
        began = time.monotonic()
        try:
            options = _PREFER_TCP if self._rtsp else {}
            self._container = av.open(url, timeout=(opening, reading), options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            if time.monotonic() - began >= opening:  # FFmpeg has several names for it
                raise Lost(f"no answer within {opening:g} s") from None
            raise _lost(error) from None
        stream = video_stream(self._container)
        if stream is None or stream.codec_context is None:  # which PyAV does not have of an unknown codec
            self._container.close()
            raise Lost("it has no video, or in a codec that is not supported", lasting=True)
        self._stream = stream
        self.recording = not self._rtsp and bool(self._container.duration or stream.frames)

    def pictures(self) -> Pictures:
        """See `Pictures`. Damaged pictures are shown as far as they can be decoded."""
        decoder = Decoder(self._stream)
        newest, first = time.monotonic(), True
        try:
            for packet in demux(self._container):  # of all streams: waiting for one among them sees no time pass
                if time.monotonic() - newest >= self._reading:  # what comes now, FFmpeg has held back since then
                    break
                if packet.stream.index != self._stream.index or not packet.size:  # what it still held is old by now
                    continue
                for picture in decoder.decode(packet):
                    own = picture.time if self._rtsp else None
                    if own is not None or not self._rtsp or not first:  # FFmpeg gives RTSP's first picture no time
                        yield upright(picture), own
                    newest, first = time.monotonic(), False
        except av.FFmpegError as error:
            if time.monotonic() - newest < self._reading:
                raise _lost(error) from None
        if time.monotonic() - newest >= self._reading:
            raise Lost(f"no picture for {self._reading:g} s")

    def close(self) -> None:
        self._container.close()


def _lost(error: av.FFmpegError) -> Lost:
    """Without the URL that the error carries, and the password in it."""
    return Lost(error.strerror or type(error).__name__, lasting=isinstance(error, _LASTING))


class Webcam:
    """A connection to the webcam of that number.

    Raises:
        Lost: it cannot be made.
    """

    recording = False

    def __init__(self, number: int) -> None:
        capture = open_capture(number)
        if capture is None:
            raise Lost("plug it in, close programs that use it, or give another number")
        self._capture = capture

    def pictures(self) -> Pictures:
        """See `Pictures`."""
        while (read := self._capture.read())[0]:
            yield cast(Image, read[1]), None

    def close(self) -> None:
        self._capture.release()
