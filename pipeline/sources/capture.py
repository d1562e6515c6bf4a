"""Opens and reads videos with OpenCV, quietly."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import cache
from typing import cast

import cv2

from pipeline.types import Image


def open_capture(target: str | int, options: Sequence[int] = ()) -> cv2.VideoCapture | None:
    """Opens a path, a URL or the webcam of that number; None if that fails.

    Args:
        options: pairs of property and value that OpenCV takes only when it opens.
    """
    silence_opencv()
    backend = cv2.CAP_ANY if isinstance(target, int) else cv2.CAP_FFMPEG
    capture = cv2.VideoCapture(target, backend, list(options)) if options else cv2.VideoCapture(target, backend)
    return capture if capture.isOpened() else None


def decode(target: str, threads: int) -> Generator[tuple[Image, float]]:
    """Yields upright pictures and their seconds from the start of the video stream, as far as it can be read."""
    capture = open_capture(target, (cv2.CAP_PROP_N_THREADS, threads))
    if capture is None:
        return
    try:
        while True:
            ok, image = capture.read()
            if not ok:
                return
            yield cast(Image, image), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    finally:
        capture.release()


@cache
def silence_opencv() -> None:
    """Keeps OpenCV's and its FFmpeg's own messages from standard error, unless the user has set their levels.

    OpenCV reads its FFmpeg's level from the environment, once, when the first video is opened.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
