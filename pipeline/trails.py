"""The paths of tracked objects, drawn as trails."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from pipeline.palette import WHITE, Colour, colour_of
from pipeline.types import Detections, Frame, Image

SECONDS = 2.0
"""How far back a trail reaches."""

_PARTS = 4  # of a trail, each as long in time and thicker than the older one
_BITS = 4  # of the fraction of a pixel


@dataclass
class _Path:
    colour: Colour = WHITE
    points: list[tuple[float, float, float]] = field(default_factory=list)  # seconds, x and y as fractions of the frame


class Trails:
    """Where the objects of each source were in the last `SECONDS`: the middle of their boxes' lower edges, on which
    they stand. The trail of an object that is lost runs out in the same time.

    Args:
        hidden: label ids of objects that leave no trail.
    """

    def __init__(self, hidden: Set[int] = frozenset()) -> None:
        self._hidden = hidden
        self._sources: dict[int, dict[int, _Path]] = {}

    def draw(self, image: Image, frame: Frame, found: Detections) -> None:
        """Adds the objects of `frame` to their paths and draws the trails of its source on `image`."""
        if found.tracks_N is None or frame.pts is None:
            return
        paths = self._sources.setdefault(frame.stream, {})
        rows = zip(found.tracks_N.tolist(), found.labels_N.tolist(), found.boxes_N4.tolist(), strict=True)
        for track, label, (left, _, right, bottom) in rows:
            if label in self._hidden:
                paths.pop(track, None)
            elif track:
                path = paths.setdefault(track, _Path())
                path.colour = colour_of(found.names[label])
                path.points.append((frame.pts, (left + right) / 2 / frame.width, bottom / frame.height))
        thickest = max(2, round(min(image.shape[:2]) / 150))
        for track, path in list(paths.items()):
            path.points = [point for point in path.points if point[0] > frame.pts - SECONDS]
            if path.points:
                _draw(image, path, frame.pts, thickest)
            else:
                del paths[track]


def _draw(image: Image, path: _Path, now: float, thickest: int) -> None:
    """A line that grows from the oldest point to the newest."""
    points_P3 = np.array(path.points)
    size = np.array((image.shape[1], image.shape[0]))
    pixels_P2 = np.rint(points_P3[:, 1:] * size * (1 << _BITS)).astype(np.int32)
    starts = np.searchsorted(points_P3[:, 0], now - SECONDS * np.arange(_PARTS, 0, -1) / _PARTS)
    for part, (start, end) in enumerate(pairwise([*starts.tolist(), len(points_P3)])):
        line = pixels_P2[max(0, start - 1) : end]
        thickness = max(1, round(thickest * (part + 1) / _PARTS))
        cv2.polylines(image, [line], False, path.colour, thickness, cv2.LINE_AA, _BITS)
