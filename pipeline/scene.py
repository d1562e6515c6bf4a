"""Draws zones and lines, and what they have counted."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.lettering import Lettering
from pipeline.palette import BLACK, WHITE, Colour
from pipeline.types import Counts, Image

_BITS = 4  # of the fraction of a pixel
_HEAD = 0.4  # of an arrow's length


def draw_scene(image: Image, counts: Counts, letters: Lettering, size: int) -> None:
    """Draws white outlines with black edges, each with its name and numbers in letters of `size` pixels.

    A zone tells how many are inside. A line tells how many went in and out, and an arrow at its middle points in.
    """
    thickness = max(1, round(min(image.shape[:2]) / 360))
    for zone in counts.zones:
        corners_V2 = _pixels(zone.points, image)
        _draw_path(image, corners_V2, True, thickness)
        top = corners_V2[corners_V2[:, 1].argmin()]
        _draw_text(image, f"{zone.name}  {sum(zone.inside.values())}", top, letters, size)
    for line in counts.lines:
        ends_22 = _pixels(line.points, image)
        _draw_path(image, ends_22, False, thickness)
        _draw_arrow(image, ends_22, thickness, size)
        numbers = f"in {sum(line.inward.values())}  out {sum(line.outward.values())}"
        _draw_text(image, f"{line.name}  {numbers}", ends_22[0], letters, size)


def _pixels(points: Sequence[tuple[float, float]], image: Image) -> NDArray[np.float64]:
    """float64 [V, 2], x and y, kept off the frame's rim, where half of a stroke would be cut off."""
    height, width = image.shape[:2]
    return (np.array(points) * (width, height)).clip(1, (max(1, width - 2), max(1, height - 2)))


def _draw_path(image: Image, points_V2: NDArray[np.float64], closed: bool, thickness: int) -> None:
    fixed = [np.rint(points_V2 * (1 << _BITS)).astype(np.int32)]
    strokes: tuple[tuple[Colour, int], ...] = ((BLACK, thickness + 2), (WHITE, thickness))
    for colour, width in strokes:
        cv2.polylines(image, fixed, closed, colour, width, cv2.LINE_AA, _BITS)


def _draw_arrow(image: Image, ends_22: NDArray[np.float64], thickness: int, size: int) -> None:
    """From the middle of the line to its left, seen from its first point."""
    along = ends_22[1] - ends_22[0]
    along /= max(1.0, float(np.hypot(*along)))
    left = np.array((along[1], -along[0]))
    middle = ends_22.mean(axis=0)
    tip = middle + 2 * size * left
    head = [tip - _HEAD * size * (2 * left + side * along) for side in (1, -1)]
    _draw_path(image, np.array((middle, tip)), False, thickness)
    _draw_path(image, np.array((head[0], tip, head[1])), False, thickness)


def _draw_text(image: Image, text: str, at: NDArray[np.float64], letters: Lettering, size: int) -> None:
    """White on black, above `at` and to the right of it, moved into the frame where it would leave it."""
    height, width = image.shape[:2]
    pad = size // 3
    strip = letters.strip(letters.fit(text, size, width - 2 * pad), size, BLACK)
    x = max(0, min(round(at[0]), width - strip.shape[1] - 2 * pad))
    y = max(0, min(round(at[1]) - strip.shape[0], height - strip.shape[0]))
    image[y : y + strip.shape[0], x : x + strip.shape[1] + 2 * pad] = BLACK
    target = image[y : y + strip.shape[0], x + pad : x + pad + strip.shape[1]]
    target[:] = strip[: target.shape[0], : target.shape[1]]
