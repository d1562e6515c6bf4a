"""Packets of clips that are encoded, where the pictures of a camera are not shown as it sends them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from fractions import Fraction
from typing import NamedTuple

from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from pipeline.channel import Worker
from pipeline.serve.clips import Recorder
from pipeline.sinks.picture import Picture
from pipeline.types import Image

_TIME_BASE = Fraction(1, 90000)
_KEY_FRAME_SECONDS = 1.0
# Without a look ahead, so that every frame is a packet at once.
_ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}

_MOST_BYTES = 64 * 2**20  # of the frames that wait for the encoder
_LONGEST_HOLE = 1.0  # seconds of missing frames that a clip goes on after
_PATIENCE = 1.0  # seconds; a disk that hangs cannot be interrupted

_LOG = logging.getLogger(__name__)


class FrameEncoder:
    """Encodes frames, all the time: the seconds before an event are needed, too.

    Args:
        recorder: gets the packets.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._picture: Picture | None = None
        self._encoder: VideoCodecContext | None = None
        self._pts = 0.0
        self._ticks = 0  # the same, but that it always grows
        self._key_frame_due = 0

    def add(self, image: Image, pts: float, at: float) -> None:
        """Takes the next frame.

        Args:
            image: uint8 [H, W, 3]; done with on return.
            pts: its time by the clock of the camera, in seconds.
            at: when it was shown, in seconds since 1970.
        """
        if self._picture is None or self._encoder is None:
            self._picture = Picture(*image.shape[:2])
            self._encoder = self._open(self._picture.width, self._picture.height)
        self._picture.fill(image)
        frame = self._picture.frame
        self._ticks += max(1, round((pts - self._pts) / _TIME_BASE))
        self._pts = pts
        frame.time_base, frame.pts = _TIME_BASE, self._ticks
        frame.pict_type = PictureType.I if self._ticks >= self._key_frame_due else PictureType.NONE
        if frame.pict_type == PictureType.I:
            self._key_frame_due = self._ticks + round(_KEY_FRAME_SECONDS / _TIME_BASE)
        for packet in self._encoder.encode(frame):
            self._recorder.add(packet, at)

    def pause(self) -> None:
        """No pictures come for now: clips end, and what comes later does not continue them."""
        if self._encoder is not None:
            self._picture = self._encoder = None
            self._key_frame_due = 0
            self._recorder.close()

    def _open(self, width: int, height: int) -> VideoCodecContext:
        encoder = CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.options, encoder.thread_count = _TIME_BASE, _ENCODER, 1
        self._recorder.connect(
            lambda output: output.add_mux_stream("h264", width=width, height=height, time_base=_TIME_BASE)
        )
        return encoder


class _Shown(NamedTuple):
    image: Image
    pts: float
    at: float


class FrameFeed:
    """Brings the frames of a camera, as they were redacted, to an encoder on a thread of its own, which also writes the
    clips.

    Nobody waits for that thread. Where it cannot keep up, as on a disk that is slow or hangs, frames are missing from
    the clips; a hole of more than a second ends them. How many frames it was is told once it is over.

    Args:
        recorder: gets the packets.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._camera = recorder.camera
        self._encoder = FrameEncoder(recorder)
        self._waiting: deque[_Shown | None] = deque()  # and what is being encoded; None: no pictures come for now
        self._work_to_do = threading.Event()
        self._paused = True
        self._newest = 0.0  # when the newest frame came that was not left out
        self._missing = 0
        self._worker = Worker(self._encode, f"clips of {recorder.camera}")

    def add(self, image: Image, pts: float) -> None:
        """Takes a copy of the next frame, uint8 [H, W, 3], shown now; `pts` is its time in seconds."""
        self._worker.check()
        at, waiting = time.time(), len(self._waiting)
        if waiting * image.nbytes >= _MOST_BYTES:
            if not self._missing:
                _LOG.error("clips of %s are not written as fast as frames come: some are missing", self._camera)
            self._missing += 1
            return
        if self._missing and at - self._newest > _LONGEST_HOLE:
            self.pause()
        self._put(_Shown(image.copy(), pts, at))
        self._paused, self._newest = False, at
        if not waiting:
            self._count()

    def pause(self) -> None:
        """No pictures come for now: clips end, and what comes later does not continue them."""
        if not self._paused:
            self._put(None)
            self._paused = True

    def end(self) -> None:
        """No frame comes any more. Does not wait."""
        self._worker.end()
        self._work_to_do.set()

    def close(self) -> None:
        """Ends the clips; waits a second at most, counted from `end`."""
        self.end()
        self._count()
        self._worker.close(_PATIENCE)

    def _put(self, shown: _Shown | None) -> None:
        self._waiting.append(shown)
        self._work_to_do.set()

    def _count(self) -> None:
        """Tells what is missing so far."""
        if self._missing:
            _LOG.warning("%d frames are missing in clips of %s", self._missing, self._camera)
            self._missing = 0

    def _encode(self, stop: threading.Event) -> None:
        while self._waiting or not stop.is_set():
            self._work_to_do.wait()
            self._work_to_do.clear()
            while self._waiting:
                self._take(self._waiting[0])
                self._waiting.popleft()
        self._encoder.pause()

    def _take(self, shown: _Shown | None) -> None:
        if shown is None:
            self._encoder.pause()
        else:
            self._encoder.add(*shown)
