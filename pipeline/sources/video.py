"""A recorded video, decoded by OpenCV, by PyAV where OpenCV cannot, or on the GPU where the user asks for it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import av

from pipeline.errors import DeviceError, SourceError
from pipeline.sources import capture, nvdec, pyav
from pipeline.sources.probe import check_end, probe
from pipeline.sources.timeline import FileTime
from pipeline.types import Frame, Image, Media, Surface

Decoder: TypeAlias = Callable[[str, int], Generator[tuple[Image | Surface, float]]]
"""(path or URL, decoder threads) → upright pictures and their seconds from the start of the video stream."""

_OPENCV_CANNOT = frozenset({"av1"})
_NEAR_THE_END = 0.5  # seconds, where the length may be that of the sound
_SAME = 1e-4  # seconds, by which the times of one picture may differ between the two decoders

_LOG = logging.getLogger(__name__)
# OpenCV gives every picture the size of the first one. These may change theirs on the way.
_RESIZING_CODECS = frozenset({"vp8", "vp9"})
_RESIZING_FORMATS = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc"})


class VideoFile:
    """A video with an end: a file, or one behind an http URL.

    The time 0 is the start of the video stream. `frames` and `seconds` of `media` are what the file claims.

    Args:
        target: path or URL.
        name: as records and messages carry it; the target if not given.
        decode_threads: each one beyond the first costs about a frame of delay and some memory.
        decoder: a function, or where to decode: `cpu`; `nvdec`, on an NVIDIA GPU, where pictures stay; `auto`: there
            if that can be, else, or from where it fails, on the CPU, which is logged.

    Raises:
        SourceError: the file is missing, empty, damaged, has no video stream, or NVDEC cannot decode it.
    """

    def __init__(
        self,
        target: str | Path,
        stream: int = 0,
        *,
        name: str | None = None,
        decode_threads: int = 1,
        decoder: Decoder | str = "cpu",
    ) -> None:
        url = isinstance(target, str) and "://" in target
        self.name = name or str(target)
        self.stream = stream
        self._target = str(target) if url else str(Path(target).absolute())  # FFmpeg takes `a:b.mp4` for a protocol
        self._threads = decode_threads
        self._claims = probe(self._target, self.name)
        self._decode = decoder if callable(decoder) else self._choose(decoder)
        self._falls_back = decoder == "auto"
        self.media = Media(
            time_base=self._claims.time_base,
            frames=self._claims.frames,
            seconds=self._claims.seconds,
            audio=Path(target) if self._claims.audio and not url else None,
            files=() if url else (Path(target),),
            decoder="nvdec" if self._decode is nvdec.decode else "cpu",
        )

    def close(self) -> None:
        """The file is open only while its frames are read."""

    @property
    def codec(self) -> str:
        """The name of the codec as FFmpeg gives it: `h264`, `hevc`, `av1` …"""
        return self._claims.codec

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See `Source.frames`. A file that ends clearly before its end, or whose decoder fails, raises SourceError
        after its last frame.
        """
        times = FileTime(self._claims.gap)
        count, longest_gap, resumed = 0, 0.0, False
        try:
            for image, seconds, after_damage in self._pictures(stop):
                if stop.is_set():
                    return
                resumed = resumed or after_damage
                before, pts = times.last, times.stamp(seconds)
                longest_gap = max(longest_gap, pts - before) if count else 0.0
                yield Frame(image, self.name, count, pts, self.stream)
                count += 1
        except av.FFmpegError as error:
            reason = error.strerror or type(error).__name__  # without the URL that the error carries
            message = f"{self.name} cannot be decoded after {count} frames: {reason}; copy it again, or convert it"
            raise SourceError(message) from None
        check_end(self._claims, self.name, count, times.last, longest_gap)
        claimed = self._claims.frames or 0
        if count < claimed and (resumed or not self._near_the_end(times.last)):
            _LOG.warning("%s is damaged: %d of %d frames were read", self.name, count, claimed)

    def _choose(self, decoder: str) -> Decoder:
        if decoder != "cpu":
            if (reason := nvdec.why_not(self._target)) is None:
                return nvdec.decode
            if decoder == "nvdec":
                raise SourceError(f"{self.name} cannot be decoded with nvdec: {reason}; use --decoder cpu")
            _LOG.warning("%s is decoded on the CPU: %s", self.name, reason)
        claims = self._claims
        for_pyav = claims.codec in _OPENCV_CANNOT | _RESIZING_CODECS or claims.format in _RESIZING_FORMATS
        return pyav.decode if for_pyav else capture.decode

    def _pictures(self, stop: threading.Event) -> Generator[tuple[Image | Surface, float, bool]]:
        """The pictures as far as the decoder gets and those that PyAV finds after: where OpenCV gives up at damage
        (True), or NVDEC fails.
        """
        count, last, growing, nvdec_failed = 0, -math.inf, self._claims.format not in _RESIZING_FORMATS, False
        try:
            with closing(self._decode(self._target, self._threads)) as pictures:
                for image, seconds in pictures:
                    count, last, growing = count + 1, seconds, growing and seconds > last
                    yield image, seconds, False
        except DeviceError as error:
            self._leave_nvdec(count, error)
            nvdec_failed = True
        if not nvdec_failed and not self._gave_up(count, last):
            return
        with closing(self._again(count, stop) if nvdec_failed and not growing else self._later(last)) as rest:
            for image, seconds in rest:
                yield image, seconds, not nvdec_failed

    def _gave_up(self, count: int, last: float) -> bool:
        if self._decode is not capture.decode or not count or count == self._claims.frames:
            return False
        return not self._near_the_end(last)

    def _leave_nvdec(self, count: int, error: DeviceError) -> None:
        if not self._falls_back:
            message = f"{self.name} cannot be decoded with nvdec after {count} frames: {error}; use --decoder cpu"
            raise SourceError(message) from None
        _LOG.warning("%s is decoded on the CPU after %d frames: NVDEC failed: %s", self.name, count, error)

    def _later(self, last: float) -> Generator[tuple[Image, float]]:
        with closing(pyav.decode(self._target, self._threads, after=last + _SAME)) as pictures:
            for image, seconds in pictures:
                if seconds > last + _SAME:  # out of damage they may come in the wrong order
                    last = seconds
                    yield image, seconds

    def _again(self, count: int, stop: threading.Event) -> Generator[tuple[Image, float]]:
        """From the start, without the first `count`: times that are missing or go back tell no pictures apart."""
        with closing(pyav.read(self._target, self._threads)) as pictures:
            for number, (picture, seconds) in enumerate(pictures):
                if number >= count or stop.is_set():
                    yield pyav.upright(picture), seconds

    def _near_the_end(self, seconds: float) -> bool:
        tolerated = 3 * self._claims.gap if self._claims.own_length else _NEAR_THE_END
        return self._claims.seconds is None or self._claims.seconds - seconds <= tolerated
