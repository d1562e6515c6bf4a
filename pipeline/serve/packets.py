"""Where the packets of clips come from: the camera itself or, where its pictures are altered, an encoder."""

from __future__ import annotations

import logging
import random
import threading
import time
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from pipeline.channel import Worker
from pipeline.serve.clips import Recorder
from pipeline.sinks.picture import Picture
from pipeline.sources.live import Timing, hide_credentials
from pipeline.sources.probe import TIMEOUT, video_stream
from pipeline.types import Image

_CODECS = frozenset({"h264", "hevc", "av1"})  # those that an mp4 holds and browsers play
_TIME_BASE = Fraction(1, 90000)
_KEY_FRAME_SECONDS = 1.0
_PATIENCE = 1.0  # seconds; a read from a camera that has gone silent cannot be interrupted
# Without a look ahead, so that every frame is a packet at once.
_ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}

_LOG = logging.getLogger(__name__)


def copies(target: int | str, altered: bool) -> bool:
    """Whether clips can be cut from the camera's own packets: it sends a coded video, and is shown as it is sent.

    Args:
        target: index or URL of the camera.
        altered: a mask or redaction hides something of its pictures.
    """
    return isinstance(target, str) and target.lower().startswith(("rtsp://", "rtsps://")) and not altered


class PacketReader:
    """Reads the packets of a camera through a second connection, without decoding them, and connects again when that
    is lost.

    Args:
        url: of the camera.
        recorder: gets them.
    """

    def __init__(self, url: str, recorder: Recorder) -> None:
        self._url = url
        self._name = hide_credentials(url)
        self._recorder = recorder
        self._ended: float | None = None
        self._worker = Worker(self._read, f"packets of {self._name}")

    def end(self) -> None:
        """Tells the connection to end, and does not wait."""
        self._ended = time.monotonic()
        self._worker.end()

    def close(self) -> None:
        """Ends the connection, and the clips; waits a second at most, counted from `end`."""
        since = time.monotonic() if self._ended is None else self._ended
        self._worker.close(max(0.0, since + _PATIENCE - time.monotonic()))

    def _read(self, stop: threading.Event) -> None:
        timing = Timing()
        wait = timing.first_wait
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._copy(stop)
                reason = "it ended"
            except av.FFmpegError as error:
                reason = error.strerror or "it cannot be read"
            self._recorder.close()
            if stop.is_set():
                break
            if time.monotonic() - began > timing.longest_wait:
                wait = timing.first_wait
            if wait == timing.first_wait:
                _LOG.warning("the packets of %s are lost (%s): connecting again", self._name, reason)
            stop.wait(wait * random.uniform(0.75, 1.25))
            wait = min(2 * wait, timing.longest_wait)

    def _copy(self, stop: threading.Event) -> None:
        rtsp = self._url.lower().startswith("rtsp")
        options = {"rtsp_transport": "tcp", "allowed_media_types": "video"} if rtsp else {}
        with av.open(self._url, timeout=TIMEOUT, options=options, metadata_errors="replace") as container:
            stream = video_stream(container)
            codec = stream and stream.codec_context and stream.codec_context.name  # there is none of an unknown codec
            if stream is not None and codec in _CODECS:
                self._recorder.connect(lambda output: output.add_stream_from_template(stream, True))
                for packet in container.demux(stream):
                    if stop.is_set():
                        return
                    if packet.size:
                        self._recorder.add(packet, time.time())
                return
        known = ", ".join(sorted(_CODECS))
        _LOG.error("%s sends %s: clips are cut from %s only", self._name, codec or "no video that is known", known)
        stop.wait()


class FrameEncoder:
    """Encodes the frames of a camera as they were redacted, all the time: the seconds before an event are needed, too.

    Args:
        recorder: gets the packets.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._picture: Picture | None = None
        self._encoder: VideoCodecContext | None = None
        self._ticks = -1
        self._key_frame_due = 0.0

    def add(self, image: Image, pts: float) -> None:
        """Takes the next frame, uint8 [H, W, 3], shown now; `pts` is its time in seconds."""
        if self._picture is None or self._encoder is None:
            self._picture = Picture(*image.shape[:2])
            self._encoder = self._open(self._picture.width, self._picture.height)
        self._picture.fill(image)
        frame = self._picture.frame
        self._ticks = max(round(pts / _TIME_BASE), self._ticks + 1)
        frame.time_base, frame.pts = _TIME_BASE, self._ticks
        frame.pict_type = PictureType.I if pts >= self._key_frame_due else PictureType.NONE
        if frame.pict_type == PictureType.I:
            self._key_frame_due = pts + _KEY_FRAME_SECONDS
        for packet in self._encoder.encode(frame):
            self._recorder.add(packet, time.time())

    def pause(self) -> None:
        """No pictures come for now: clips end, and what comes later does not continue them."""
        if self._encoder is not None:
            self._picture = self._encoder = None
            self._key_frame_due = 0.0
            self._recorder.close()

    def close(self) -> None:
        """Ends the clips."""
        self._recorder.close()

    def _open(self, width: int, height: int) -> VideoCodecContext:
        encoder = CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.options, encoder.thread_count = _TIME_BASE, _ENCODER, 1
        self._recorder.connect(
            lambda output: output.add_mux_stream("h264", width=width, height=height, time_base=_TIME_BASE)
        )
        return encoder
