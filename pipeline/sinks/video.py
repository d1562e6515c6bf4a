"""Labelled video: H.264 in an mp4 with the time stamps and the sound of the source."""

from __future__ import annotations

from pathlib import Path

import av

from pipeline.errors import SinkError
from pipeline.sinks.mp4 import Mp4Writer
from pipeline.sinks.partial import check_file, finish, partial_path, writing
from pipeline.types import Annotated, Media


class VideoSink:
    """Writes an mp4 that browsers play; a process that is killed leaves a playable partial file.

    The first frame gives the size: later frames of another size are scaled into it, on black. The sound of
    `media.audio` is kept for as long as there are pictures, and to its own end when the whole source was written.

    Args:
        path: a file called *.mp4.
        media: what the source said about itself; `seconds` is when its last picture ends.
        preset: of x264: the cost of a frame against the size of the file.
        threads: of the encoder; 0 lets it choose by the number of cores.

    Raises:
        SinkError: the file cannot be made.
    """

    draws = True

    def __init__(self, path: str | Path, media: Media, preset: str = "ultrafast", threads: int = 0) -> None:
        self._path = check_file(path, (".mp4",))
        self._media = media
        self._preset = preset
        self._threads = threads
        self._writer: Mp4Writer | None = None
        self._closed = False

    def write(self, item: Annotated) -> None:
        pts = item.frame.pts
        if pts is None:
            raise SinkError(f"{item.frame.source} has no time stamps to make a video of; write images instead")
        with writing(self._path, av.FFmpegError):
            if self._writer is None:
                height, width = item.image.shape[:2]
                partial = partial_path(self._path)
                self._writer = Mp4Writer(partial, self._media, height, width, self._preset, self._threads)
            self._writer.add(item.image, pts)

    def close(self, whole: bool = True) -> None:
        if self._closed or self._writer is None:
            return
        self._closed = True
        try:
            with writing(self._path, av.FFmpegError):
                self._writer.close()
                if whole:
                    finish(self._path)
        except SinkError:
            if whole:
                raise
