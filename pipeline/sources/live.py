"""A camera: a webcam or a stream behind a URL, reconnected for as long as the run lasts.

Time: an RTSP stream's own time stamps. A webcam and HTTP have none that can be trusted (FFmpeg makes some up from 25
frames a second), so the clock tells when their frames arrived. After a gap the times go on by the clock.

Transport: RTSP cameras are asked for TCP first.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain

from pipeline.errors import SourceError
from pipeline.sources.connection import Connection, Lost, Pictures, Stream, Webcam
from pipeline.sources.memory import give_back
from pipeline.sources.probe import TIMEOUT
from pipeline.sources.state import Health
from pipeline.sources.timeline import LiveTime
from pipeline.sources.watchdog import Watchdog
from pipeline.types import Frame, Image, Media

_LOG = logging.getLogger(__name__)

_USER_AND_PASSWORD = re.compile(r"(?i)^([a-z]+://)(?:[^/?#]*@|(?!\[)[^/?#:]*:(?!\d*(?:[/?#]|$)).*@)")
_URL = re.compile(r"(?i)(?<![a-z])[a-z]+://\S+")
_SECRET = r"(?:user|usr|login|pas|pw|token|secret|key|auth|cred|sig)"
# A key begins after ? & ; / or, in the paths of XMEye's cameras, after _. A value may hold anything but &, and ends
# before what those cameras have behind it. Each key is looked at once: the time goes with the length of the URL.
_SECRET_VALUE = re.compile(
    rf"(?i)((?<![^?&;/])(?=[^=&?/;]*=)(?:[^=&?/;]*?{_SECRET}[^=&?/;]*|[up])="
    rf"|(?<=_)(?=[^=&?/;_]*=)[^=&?/;_]*?{_SECRET}[^=&?/;_]*=)"
    r"(?:(?!_(?:channel|stream)=\d)[^&])+"
)


def hide_credentials(url: str) -> str:
    """The URL without `user:password@`, and with the values of keys such as `user` and `password` replaced by `***`."""
    return _SECRET_VALUE.sub(r"\1***", _USER_AND_PASSWORD.sub(r"\1", url))


def hide_all_credentials(text: str) -> str:
    """The text with every URL in it as `hide_credentials` has it."""
    return _URL.sub(lambda url: hide_credentials(url[0]), text)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a camera is waited for, in seconds.

    Args:
        opening: until a connection is made.
        reading: until a picture comes; then the connection is lost. Longer than from one key frame to the next.
        stall: until a picture comes; then the camera counts as stalled.
        first_wait, longest_wait: between two tries to reconnect: the first and, after doublings, the longest; each made
            up to a quarter longer or shorter by chance, so that many cameras behind one switch do not come back in
            step. The longest at once where trying again alone does not help.
        frozen, plain: until a picture that does not change, or that has one colour, counts as wrong; 0: never.
    """

    opening: float = TIMEOUT
    reading: float = TIMEOUT
    stall: float = 5.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    frozen: float = 30.0
    plain: float = 10.0


class Camera:
    """A webcam (its index) or a stream (its URL) that is read for ever.

    The constructor connects and waits for the first picture, unless the camera is `patient`: then `frames` does. A
    connection lost later is opened again, with growing waits, until `stop` is set. A read that is blocked because the
    camera went silent ends by a timeout.

    Args:
        name: as records carry it; the target without credentials if not given.
        patient: a camera that cannot be reached is no error but tried again, from the first time on.

    Raises:
        SourceError: no connection, or no picture.
    """

    def __init__(
        self,
        target: int | str,
        stream: int = 0,
        *,
        name: str | None = None,
        patient: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self.name = name or hide_credentials(str(target))
        self.stream = stream
        self.media = Media(live=True, decoder="cpu")
        self._target = target
        self._timing = timing or Timing()
        now = time.monotonic()
        self._health = Health(now, now, self._timing.stall)
        self._ready: _Opened | None = None
        if not patient:
            try:
                self._ready = self._open()
            except Lost as lost:
                raise SourceError(self._advise(lost)) from None

    @property
    def recording(self) -> bool:
        """Whether the URL turned out to be a video with an end: then read it with `VideoFile`."""
        return self._ready is not None and self._ready.connection.recording

    @property
    def health(self) -> Health:
        """How it is now, by `time.monotonic`; may be asked in any thread."""
        return self._health.at(time.monotonic())

    def close(self) -> None:
        """Lets go of the connection that the constructor made, if `frames` has not taken it."""
        if self._ready is not None:
            self._ready.connection.close()
            self._ready = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See `Source.frames`. Ends only when `stop` is set; frames are counted across reconnections.

        Frames may change their size on the way.
        """
        times, index = LiveTime(), 0
        opened, self._ready = self._ready, None
        wait = self._timing.first_wait
        while not stop.is_set():
            shown = index
            try:
                with closing(self._read(opened)) as pictures:
                    times.reconnected()
                    for image, own in pictures:
                        if stop.is_set():
                            return
                        wait = self._timing.first_wait
                        yield Frame(image, self.name, index, times.stamp(own), self.stream)
                        index += 1
            except Exception as error:  # a camera fails alone, whatever its driver or decoder comes up with
                pause = self._lose(error, stop, wait)
            opened = None  # neither that nor the traceback of an error keeps a decoder while nothing comes
            if index > shown:
                give_back()
            stop.wait(pause)
            wait = min(2 * wait, self._timing.longest_wait)

    def _read(self, opened: _Opened | None) -> Pictures:
        """The pictures of one connection, a new one if none is open, until it is lost."""
        opened = opened or self._open()
        watchdog = Watchdog(self._timing.frozen, self._timing.plain)
        with closing(opened.connection):
            for image, own in opened.pictures:
                now = time.monotonic()
                self._welcome(now)
                height, width = image.shape[:2]
                self._health = self._health.pictured(now, width, height, watchdog.look(image, now))
                yield image, own
        raise Lost("the camera ended the connection")

    def _open(self) -> _Opened:
        """A connection whose first picture has come."""
        target, timing = self._target, self._timing
        connection: Connection = (
            Stream(target, timing.opening, timing.reading) if isinstance(target, str) else Webcam(target)
        )
        with ExitStack() as stack:
            stack.callback(connection.close)
            pictures = connection.pictures()
            if (first := next(pictures, None)) is None:
                raise Lost("it sends no picture")
            stack.pop_all()
        return _Opened(connection, chain((first,), pictures))

    def _welcome(self, now: float) -> None:
        if self._health.state in ("waiting", "failed") and self._health.width:
            _LOG.warning("%s is back after %.1f s", self.name, now - self._health.newest)

    def _lose(self, error: Exception, stop: threading.Event, wait: float) -> float:
        """Tells why the connection is lost; returns the seconds until the next try, which are about `wait`."""
        lost = error if isinstance(error, Lost) else _foresee(error)
        if lost is not error:
            _LOG.error("%s failed in an unforeseen way", self.name, exc_info=error)
        if not stop.is_set():
            self._mourn(lost)
        return (self._timing.longest_wait if lost.lasting else wait) * random.uniform(0.75, 1.25)

    def _mourn(self, lost: Lost) -> None:
        before = self._health
        self._health = before.lost(time.monotonic(), str(lost), lasting=lost.lasting)
        if before.state in ("live", "stalled"):
            _LOG.warning("%s was lost: reconnecting (%s)", self.name, self._health.reason)
        elif before.reason != self._health.reason:
            _LOG.warning("%s cannot be reached: %s", self.name, self._health.reason)

    def _advise(self, lost: Lost) -> str:
        if isinstance(self._target, int):
            return f"webcam {self.name} cannot be opened: {lost}"
        return f"{self.name} cannot be opened ({lost}): check address, user and password, and that the camera is on"


def _foresee(error: Exception) -> Lost:
    """What nobody foresaw; PyAV's messages carry the URL."""
    return Lost(hide_all_credentials(f"{type(error).__name__}: {error}"), lasting=True)


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: Connection
    pictures: Iterator[tuple[Image, float | None]]
