"""Images: one, those of a folder, or those that a glob pattern matches."""

from __future__ import annotations

import glob
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from pipeline.errors import SourceError
from pipeline.sources.capture import silence_opencv
from pipeline.types import Frame, Image, Media

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"})

_NAMED = 3
_EMPTY = "{} is empty (0 bytes): copy it again"


class Images:
    """Images in the order given; each is a source of its own to the records: its path, index 0, no time.

    Grey, 16-bit and transparent images become uint8 BGR; the EXIF orientation is applied.
    An image that cannot be read does not stop the others: they are yielded, and SourceError names it at the end.

    Args:
        paths: at least one.
        name: what the user gave.
    """

    def __init__(self, paths: Sequence[Path], name: str, stream: int = 0) -> None:
        self.name = name
        self.stream = stream
        self.media = Media(still=True, frames=len(paths), files=tuple(paths))
        self._paths = paths

    def close(self) -> None:
        """Nothing is open between two images."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See `Source.frames`."""
        failures: list[str] = []  # an error would keep what was read of its file
        for path in self._paths:
            if stop.is_set():
                return
            try:
                image = read_image(path)
            except SourceError as error:
                failures.append(str(error))
            else:
                yield Frame(image, str(path), 0, None, self.stream)
        if len(self._paths) == 1 and failures:
            raise SourceError(failures[0])
        if failures:
            named = "; ".join(failures[:_NAMED])
            more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
            raise SourceError(f"{len(failures)} of {len(self._paths)} images cannot be read: {named}{more}")


def read_image(path: Path) -> Image:
    """uint8 [H, W, 3] BGR, upright.

    Raises:
        SourceError: the file cannot be read or is no image.
    """
    silence_opencv()
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every path on Windows
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if not len(data):
        raise SourceError(_EMPTY.format(path))
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        size = "CV_IO_MAX_IMAGE" in str(error)
        reason = "is larger than OpenCV allows: make it smaller" if size else f"cannot be decoded: {error.err}"
        raise SourceError(f"{path} {reason}") from None
    if image is None:
        raise SourceError(f"{path} is not an image, or is damaged")
    return cast(Image, image)


def is_image(path: Path) -> bool:
    """Whether `path` is a file with the suffix of an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def image_at(path: Path) -> Path:
    """`path`, which is no empty file.

    Raises:
        SourceError: it is empty.
    """
    if not path.stat().st_size:
        raise SourceError(_EMPTY.format(path))
    return path


def images_in(folder: Path) -> list[Path]:
    """The images that lie directly in `folder`, img2 before img10.

    Raises:
        SourceError: there are none.
    """
    try:
        found = [path for path in folder.iterdir() if is_image(path) and not path.name.startswith(".")]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from None
    if not found:
        raise SourceError(f"{folder} holds no images: give another folder, or videos each by their own path")
    return sorted(found, key=natural)


def images_matching(pattern: str) -> list[Path]:
    """The images that a glob pattern matches (`**` for folders at any depth), img2 before img10.

    Raises:
        SourceError: nothing matches, or something that is no image.
    """
    found = sorted((path for path in map(Path, glob.iglob(pattern, recursive=True)) if path.is_file()), key=natural)
    if not found:
        raise SourceError(f"{pattern} matches no file: check the pattern")
    for path in found:
        if not is_image(path):
            raise SourceError(f"{pattern} matches {path}, which is no image: give videos each by their own path")
    return found


def natural(path: Path) -> list[list[tuple[int, int | str]]]:
    """Sorts like people do: img2 before img10, folder by folder."""
    return [[_piece(text) for text in re.split(r"([0-9]+)", part) if text] for part in path.parts]


def _piece(text: str) -> tuple[int, int | str]:
    return (0, int(text)) if text[0] in "0123456789" else (1, text.casefold())
