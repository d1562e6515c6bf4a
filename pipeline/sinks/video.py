"""Labelled video: H.264 in an mp4 with the time stamps and the sound of the source."""

from __future__ import annotations

import logging
from pathlib import Path

import av

from pipeline.errors import SinkError
from pipeline.sinks.encoder import Effort, NvencError, Start
from pipeline.sinks.mp4 import Mp4Writer
from pipeline.sinks.partial import check_file, finish, partial_path, writing
from pipeline.types import Annotated, Media

_LOG = logging.getLogger(__name__)


class VideoSink:
    """Writes an mp4 that browsers play; a process that is killed leaves a playable partial file.

    The first frame gives the size: later frames of another size are scaled into it, on black. The sound of
    `media.audio` is kept for as long as there are pictures, and to its own end when the whole source was written.

    Args:
        path: a file called *.mp4.
        media: what the source said about itself; `seconds` is when its last picture ends.
        effort: what encodes, and chooses its preset; None: x264, the fastest. While it has to be found, the first
            frames are kept back: a dozen, or those of a second. Where NVENC does not open, it says what does instead.
        threads: of the encoder; 0 lets it choose by the number of cores.

    Attributes:
        encoder: `x264` or `nvenc`, and `preset`: what was chosen; None: nothing yet.

    Raises:
        SinkError: the file cannot be made, or NVENC does not open and nothing else may encode.
    """

    draws = True

    def __init__(self, path: str | Path, media: Media, effort: Effort | None = None, threads: int = 0) -> None:
        self._path = check_file(path, (".mp4",))
        self._media = media
        self._effort = effort or Effort("ultrafast")
        self._threads = threads
        self._start = Start()
        self.encoder: str | None = None
        self._writer: Mp4Writer | None = None
        self.preset: str | None = None
        self._closed = False

    def write(self, item: Annotated) -> None:
        pts = item.frame.pts
        if pts is None:
            raise SinkError(f"{item.frame.source} has no time stamps to make a video of; write images instead")
        with writing(self._path, av.FFmpegError):
            if self._writer is not None:
                self._writer.add(item.image, pts)
                return
            self._start.keep(item.image, pts)
            if self._effort.known(item.image) or self._start.enough:
                self._begin()

    def close(self, whole: bool = True) -> None:
        if self._closed or not (self._writer or self._start.frames):
            return
        self._closed = True
        try:
            with writing(self._path, av.FFmpegError):
                self._end()
                if whole:
                    finish(self._path)
        except SinkError:
            if whole:
                raise

    def _begin(self) -> None:
        """Writes the frames that were kept; where NVENC does not open, they are kept for x264."""
        first, _ = self._start.frames[0]
        encoder, preset = self._effort.encoder, self._effort.known(first) or self._effort.find(self._start)
        height, width = first.shape[:2]
        partial = partial_path(self._path)
        try:
            self._writer = Mp4Writer(partial, self._media, height, width, encoder, preset, self._threads)
        except NvencError as error:
            self._start_again(error)
            return
        self.encoder, self.preset = encoder, preset
        for image, pts in self._start.frames:
            self._writer.add(image, pts)
        self._start.frames.clear()

    def _start_again(self, error: NvencError) -> None:
        """With x264: the preset of NVENC is known, so that only the first frame was kept."""
        if self._effort.otherwise is None:
            raise SinkError(f"cannot write {self._path}: {error}; use --encoder x264 or auto") from error
        _LOG.warning("%s is encoded on the CPU, with x264: %s", self._path, error)
        self._effort = self._effort.otherwise
        (first,) = self._start.frames
        self._start = Start()
        self._start.keep(*first)

    def _end(self) -> None:
        try:
            if self._writer is None:
                self._begin()
        finally:
            if self._writer is not None:
                self._writer.close()
