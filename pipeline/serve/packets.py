"""Packets of clips that come from the camera itself."""

from __future__ import annotations

import logging
import random
import threading
import time

import av

from pipeline.channel import Worker
from pipeline.serve.clips import Recorder
from pipeline.serve.encoding import FrameFeed
from pipeline.serve.parameters import ParameterSets
from pipeline.sources.live import Timing, hide_credentials
from pipeline.sources.probe import TIMEOUT, demux, video_stream
from pipeline.types import Image

_CODECS = frozenset({"h264", "hevc", "av1"})  # those that an mp4 holds and browsers play
_PATIENCE = 1.0  # seconds; a read from a camera that has gone silent cannot be interrupted

_LOG = logging.getLogger(__name__)


def copies(target: int | str, altered: bool) -> bool:
    """Whether clips can be cut from the camera's own packets: it sends a coded video, and is shown as it is sent.

    Args:
        target: index or URL of the camera.
        altered: a mask or redaction hides something of its pictures.
    """
    return isinstance(target, str) and target.lower().startswith(("rtsp://", "rtsps://")) and not altered


class _Unplayable(Exception):  # noqa: N818 - says what the camera sends
    """No clip can be cut from the packets."""


class PacketReader:
    """Reads the packets of a camera through a second connection, without decoding them, and connects again when that
    is lost. Where the camera turns out to send what browsers do not play, its frames are encoded instead.

    Args:
        url: of the camera.
        recorder: gets them.
    """

    def __init__(self, url: str, recorder: Recorder) -> None:
        self._url = url
        self._name = hide_credentials(url)
        self._recorder = recorder
        self._unplayable = threading.Event()
        self._feed: FrameFeed | None = None  # in the place of the connection
        self._worker = Worker(self._read, f"packets of {self._name}")

    def add(self, image: Image, pts: float) -> None:
        """Does without the frame if it can; raises what ended the reader, if something did."""
        self._worker.check()
        if self._feed is None and self._unplayable.is_set():
            self._feed = FrameFeed(self._recorder)
        if self._feed is not None:
            self._feed.add(image, pts)

    def pause(self) -> None:
        """No pictures come for now. The second connection is lost by itself, or goes on."""
        if self._feed is not None:
            self._feed.pause()

    def end(self) -> None:
        """Tells the connection to end, and does not wait."""
        self._worker.end()
        if self._feed is not None:
            self._feed.end()

    def close(self) -> None:
        """Ends the connection, and the clips; waits a second at most, counted from `end`."""
        try:
            self._worker.close(_PATIENCE)
        finally:
            if self._feed is not None:
                self._feed.close()

    def _read(self, stop: threading.Event) -> None:
        timing = Timing()
        wait = timing.first_wait
        while not stop.is_set():
            began = time.monotonic()
            try:
                reason = self._copy(stop)
            except _Unplayable as error:
                self._unplayable.set()
                _LOG.error("%s sends %s, which browsers do not play: its clips are encoded", self._name, error)
                return
            except av.FFmpegError as error:
                reason = error.strerror or "it cannot be read"
            except Exception as error:  # a camera fails alone, whatever it sends
                _LOG.error("the packets of %s failed in an unforeseen way", self._name, exc_info=error)
                reason = type(error).__name__
            self._recorder.close()
            if stop.is_set():
                break
            if time.monotonic() - began > timing.longest_wait:
                wait = timing.first_wait
            if wait == timing.first_wait:
                _LOG.warning("the packets of %s are lost (%s): connecting again", self._name, reason)
            stop.wait(wait * random.uniform(0.75, 1.25))
            wait = min(2 * wait, timing.longest_wait)

    def _copy(self, stop: threading.Event) -> str:
        """Copies until the connection ends; returns why it did. A codec that is unknown may be known at the next try:
        a camera that is still booting sends nothing to tell it from.
        """
        rtsp = self._url.lower().startswith("rtsp")
        options = {"rtsp_transport": "tcp", "allowed_media_types": "video"} if rtsp else {}
        with av.open(self._url, timeout=TIMEOUT, options=options, metadata_errors="replace") as container:
            stream = video_stream(container)
            context = stream and stream.codec_context  # there is none of an unknown codec
            codec = context and context.codec.canonical_name  # "av1", whatever decodes it
            if stream is None or not codec:
                return "it sends no video of a known codec"
            if codec not in _CODECS:
                raise _Unplayable(codec)
            parameters = ParameterSets(stream)
            self._recorder.connect(parameters.add_stream)
            for packet in demux(container, stream):
                if stop.is_set():
                    break
                if packet.size:
                    if parameters.changed(packet):
                        self._recorder.connect(parameters.add_stream)
                    self._recorder.add(packet, time.time())
        return "it ended"
