"""A camera: a webcam or a stream behind a URL, read with OpenCV and reconnected for as long as the run lasts.

Time: an RTSP stream's own time stamps. A webcam and HTTP have none that can be trusted (OpenCV makes some up from 25
frames a second), so the clock tells when their frames arrived. After a gap the times go on by the clock.

Transport: unless the environment variable `OPENCV_FFMPEG_CAPTURE_OPTIONS` says something else, OpenCV asks RTSP cameras
for TCP first.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from typing import cast

import av
import cv2

from pipeline.errors import SourceError
from pipeline.sources.capture import open_capture
from pipeline.sources.probe import TIMEOUT, open_container
from pipeline.sources.timeline import LiveTime
from pipeline.types import Frame, Image, Media

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between two tries to reconnect: the first and, after doublings, the longest; each made up to a quarter longer
or shorter by chance, so that many cameras behind one switch do not come back in step."""

_REASON_TIMEOUT = 3.0

_LOG = logging.getLogger(__name__)

_USER_AND_PASSWORD = re.compile(r"(?i)^([a-z]+://)(?:[^/?#]*@|(?!\[)[^/?#:]*:(?!\d*(?:[/?#]|$)).*@)")
_SECRET_IN_QUERY = re.compile(r"(?i)((?:^|[?&;/])[^=&?/]*(?:pass|pwd|pas|token|secret|key|auth)[^=&?/]*=)[^&#/]+")


def hide_credentials(url: str) -> str:
    """The URL without `user:password@`, and with the values of query keys such as `password` replaced by `***`."""
    return _SECRET_IN_QUERY.sub(r"\1***", _USER_AND_PASSWORD.sub(r"\1", url))


class Camera:
    """A webcam (its index) or a stream (its URL) that is read for ever.

    The constructor connects and waits for the first picture. A connection lost later is opened again, with growing
    waits, until `stop` is set. A read that is blocked because the camera went silent ends by a timeout.

    Raises:
        SourceError: no connection, or no picture.
    """

    def __init__(self, target: int | str, stream: int = 0) -> None:
        self.name = hide_credentials(str(target))
        self.stream = stream
        self.media = Media(live=True)
        self._target = target
        self._own_time = isinstance(target, str) and target.lower().startswith("rtsp")
        self._ready = self._connect()
        if self._ready is None:
            raise SourceError(self._why_not())

    @property
    def recording(self) -> bool:
        """Whether the URL turned out to be a video with an end: then read it with `VideoFile`."""
        http = isinstance(self._target, str) and not self._own_time
        return http and self._ready is not None and self._ready.get(cv2.CAP_PROP_FRAME_COUNT) > 0

    def close(self) -> None:
        """Lets go of the connection that the constructor made, if `frames` has not taken it."""
        if self._ready is not None:
            self._ready.release()
            self._ready = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See `Source.frames`. Ends only when `stop` is set; frames are counted across reconnections."""
        times, index = LiveTime(), 0
        for capture in self._connections(stop):
            times.reconnected()
            grabbed = True
            while grabbed and not stop.is_set():
                ok, image = capture.retrieve()
                if ok:
                    own = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if self._own_time else None
                    yield Frame(cast(Image, image), self.name, index, times.stamp(own), self.stream)
                    index += 1
                grabbed = capture.grab()

    def _connections(self, stop: threading.Event) -> Iterator[cv2.VideoCapture]:
        """Captures that have grabbed their first picture, one after the other as each is lost."""
        capture, self._ready = self._ready, None
        wait, lost_at = FIRST_WAIT, None
        try:
            while not stop.is_set():
                if capture is None:
                    capture = self._connect()
                if capture is None:
                    stop.wait(wait * random.uniform(0.75, 1.25))
                    wait = min(2 * wait, LONGEST_WAIT)
                    continue
                if lost_at is not None:
                    _LOG.warning("%s is back after %.1f s", self.name, time.monotonic() - lost_at)
                yield capture
                capture.release()
                capture, wait, lost_at = None, FIRST_WAIT, time.monotonic()
                if not stop.is_set():
                    _LOG.warning("%s was lost: reconnecting", self.name)
                    stop.wait(wait * random.uniform(0.75, 1.25))
        finally:
            if capture is not None:
                capture.release()

    def _connect(self) -> cv2.VideoCapture | None:
        milliseconds = int(TIMEOUT * 1000)
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds)
        one_thread = (cv2.CAP_PROP_N_THREADS, 1)  # each further one delays the picture by a frame
        capture = open_capture(self._target, (*timeouts, *one_thread) if isinstance(self._target, str) else ())
        if capture is None:
            return None
        if capture.grab() and (not self._own_time or capture.grab()):  # FFmpeg gives RTSP's first picture no time
            return capture
        capture.release()
        return None

    def _why_not(self) -> str:
        if isinstance(self._target, int):
            return (
                f"webcam {self.name} cannot be opened: plug it in, close programs that use it, or give another number"
            )
        try:
            open_container(self._target, _REASON_TIMEOUT).close()
        except av.FFmpegError as error:
            reason = error.strerror
        else:
            reason = "it sends no picture that can be decoded"
        return f"{self.name} cannot be opened ({reason}): check address, user and password, and that the camera is on"
