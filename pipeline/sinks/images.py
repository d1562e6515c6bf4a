"""Labelled images: one file a frame, for sources that are images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2

from pipeline.errors import SinkError
from pipeline.sinks.partial import check_file, check_folder, finish, partial_path, writing
from pipeline.types import Annotated, Frame, Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_WEBP_QUALITY, 92]


class ImageSink:
    """Writes each frame to the file that `path_for` names. Every image is whole, and has its final name, at once.

    Args:
        path_for: the path of a frame's image; its suffix, one of `SUFFIXES`, tells the format.
    """

    draws = True

    def __init__(self, path_for: Callable[[Frame], Path]) -> None:
        self._path_for = path_for

    def write(self, item: Annotated) -> None:
        path = self._path_for(item.frame)
        data = _encode(item.image, path)
        with writing(path):
            if path.exists() and _is_source(path, item.frame):
                raise SinkError(f"{path} is the image that was read; write to another folder")
            _replace(path, data)

    def close(self, whole: bool = True) -> None:
        """Nothing is open between two images."""


def one_image(path: str | Path) -> ImageSink:
    """Writes the one image of a run to `path`.

    Raises:
        SinkError: the file cannot be made.
    """
    path = check_file(path, SUFFIXES)
    return ImageSink(lambda frame: path)


def image_folder(folder: str | Path) -> ImageSink:
    """Writes images into `folder` under the names of their sources: a.jpg, then a-1.jpg, a-2.jpg for equal names.

    Images of a format that is not in `SUFFIXES` become JPEG.

    Raises:
        SinkError: there is no such folder, or it cannot be written to.
    """
    folder = check_folder(folder)
    taken: set[str] = set()

    def path_for(frame: Frame) -> Path:
        source = Path(frame.source)
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".jpg"
        path, count = folder / f"{source.stem}{suffix}", 0
        while not taken.isdisjoint(claimed := {path.name.casefold(), partial_path(path).name.casefold()}):
            count += 1
            path = folder / f"{source.stem}-{count}{suffix}"
        taken.update(claimed)
        return path

    return ImageSink(path_for)


def _is_source(path: Path, frame: Frame) -> bool:
    return os.path.exists(frame.source) and os.path.samefile(path, frame.source)


def _replace(path: Path, data: bytes) -> None:
    partial = partial_path(path)
    try:
        partial.write_bytes(data)
        finish(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _encode(image: Image, path: Path) -> bytes:
    try:
        done, data = cv2.imencode(path.suffix.lower(), image, _QUALITY)
    except cv2.error as error:
        raise SinkError(f"cannot write {path}: {error.err}") from error
    if not done:
        height, width = image.shape[:2]
        raise SinkError(f"cannot write {path}: {width}x{height} pixels do not fit into this format; choose .png")
    return data.tobytes()
