"""Small pictures of what was seen."""

from __future__ import annotations

import cv2

from pipeline.types import Image

LONGEST = 320
"""Pixels of the longer side of a thumbnail."""

_AROUND = 1.5  # the side of the square that is cut out, in longer sides of the box
_LEAST = 0.25  # of the frame's shorter side: what is cut out is at least as large
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


def cut_out(image: Image, box: tuple[float, float, float, float] | None) -> Image:
    """A thumbnail, a copy: a square around the box as far as the frame reaches, or the whole frame; never enlarged.

    Args:
        image: uint8 [H, W, 3].
        box: x1, y1, x2, y2 as fractions of the frame.

    Returns: uint8 [H, W, 3] with a longer side of at most `LONGEST`.
    """
    height, width = image.shape[:2]
    if box is not None:
        longer = max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
        side = round(max(_AROUND * longer, _LEAST * min(height, width), 1))
        left, right = _span((box[0] + box[2]) / 2 * width, side, width)
        top, bottom = _span((box[1] + box[3]) / 2 * height, side, height)
        image = image[top:bottom, left:right]
        height, width = image.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    if scale == 1:
        return image.copy()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def to_jpeg(picture: Image) -> bytes:
    """`picture`, uint8 [H, W, 3], as a JPEG file."""
    return cv2.imencode(".jpg", picture, _QUALITY)[1].tobytes()


def _span(middle: float, side: int, whole: int) -> tuple[int, int]:
    """First and last (exclusive) pixel of `side` pixels around `middle`, moved into 0 … `whole`, cut where too long."""
    first = max(0, min(round(middle - side / 2), whole - side))
    return first, min(first + side, whole)
