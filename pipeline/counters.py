"""What one zone and one line of a source count.

Boxes tremble, also those of things that stand still. An object counts as inside a zone as soon as its anchor is, and
as outside only when it is clearly so; it has crossed a line only when it is clearly on the other side. What is clear
is measured against the size of its box.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.types import LineCount, ZoneCount, ZoneEvent
from pipeline.zones import Anchor, Place

_CLEAR = 0.05  # of the size of a box, the square root of its area: further behind an edge than boxes tremble


@dataclass(frozen=True, slots=True)
class Tracked:
    """One tracked object of a frame of `width` x `height` pixels. `box` is xyxy in pixels."""

    track: int
    label_id: int
    label: str
    box: tuple[float, float, float, float]
    width: int
    height: int

    def anchor(self, kind: Anchor) -> tuple[float, float]:
        """As fractions of the frame's width and height, so that the frame may change its size."""
        left, top, right, bottom = self.box
        y = bottom if kind == "bottom_center" else (top + bottom) / 2
        return (left + right) / 2 / self.width, y / self.height

    @property
    def clear(self) -> float:
        """The distance in pixels from which on it is clearly behind an edge."""
        left, top, right, bottom = self.box
        return _CLEAR * math.sqrt(max(0.0, right - left) * max(0.0, bottom - top))

    def is_of(self, place: Place) -> bool:
        return place.classes is None or self.label_id in place.classes


@dataclass(slots=True)
class _Stay:
    """An object in a zone: its class when it entered, since when it is there, and when it was last seen."""

    label: str
    since: float
    seen: float

    @property
    def dwell(self) -> float:
        return self.seen - self.since


class ZoneCounter:
    """One zone of one source. Its classes are asked for on entering; who is in stays in, as what it came."""

    def __init__(self, zone: Place, lost_after: float) -> None:
        self._zone = zone
        self._lost_after = lost_after
        self._points_V2 = np.array(zone.points)
        self._stays: dict[int, _Stay] = {}
        self._entered: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._stayed: defaultdict[str, float] = defaultdict(float)  # seconds of all that have left

    def update(self, objects: Sequence[Tracked], pts: float) -> Iterator[ZoneEvent]:
        for each in objects:
            depth = self._depth(each)
            stay = self._stays.get(each.track)
            if stay is None:
                if depth >= 0 and each.is_of(self._zone):
                    self._stays[each.track] = _Stay(each.label, pts, pts)
                    self._entered[each.label] += 1
                    yield ZoneEvent("enter", self._zone.name, each.track, each.label, pts)
                continue
            stay.seen = pts
            if depth < -each.clear:
                yield self._end(each.track, "leave")
        for track, stay in list(self._stays.items()):
            if pts - stay.seen > self._lost_after:
                yield self._end(track, "lost")

    def count(self, pts: float) -> ZoneCount:
        return ZoneCount(
            self._zone.name,
            self._zone.points,
            self._entered.copy(),
            self._left.copy(),
            dict(self._stayed),
            {track: stay.label for track, stay in self._stays.items()},
            {track: pts - stay.since for track, stay in self._stays.items()},
        )

    def _end(self, track: int, kind: str) -> ZoneEvent:
        stay = self._stays.pop(track)
        self._left[stay.label] += 1
        self._stayed[stay.label] += stay.dwell
        return ZoneEvent(kind, self._zone.name, track, stay.label, stay.seen, stay.dwell)

    def _depth(self, each: Tracked) -> float:
        """Pixels from the anchor to the nearest edge, negative outside."""
        size = np.array((each.width, each.height))
        x, y = each.anchor(self._zone.anchor) * size
        return cv2.pointPolygonTest((self._points_V2 * size).astype(np.float32), (x, y), measureDist=True)


@dataclass(slots=True)
class _Path:
    """How an object came here, as seen from a line.

    Args:
        seen: when it was last seen.
        along: where it was then along the line: 0 at the first point, 1 at the second.
        left: how far to the left of the line it was then, in pixels; negative on the right.
        near: the side it was last on: 1 is left, -1 right, 0: it has only been on the line.
        clear: the side it was last clearly on, in the beginning that on which it was first seen.
        crossed: when it last changed sides; None: not between the ends of the line, or never.
    """

    seen: float
    along: float
    left: float
    near: int
    clear: int
    crossed: float | None = None


class LineCounter:
    """One line of one source. Its classes are asked for when an object has crossed."""

    def __init__(self, line: Place, lost_after: float) -> None:
        self._line = line
        self._lost_after = lost_after
        self._paths: dict[int, _Path] = {}
        self._in: Counter[str] = Counter()
        self._out: Counter[str] = Counter()

    def update(self, objects: Sequence[Tracked], pts: float) -> Iterator[ZoneEvent]:
        for each in objects:
            crossed = self._follow(each, pts)
            if crossed is None or not each.is_of(self._line):
                continue
            inward = self._paths[each.track].clear > 0
            (self._in if inward else self._out)[each.label] += 1
            yield ZoneEvent("in" if inward else "out", self._line.name, each.track, each.label, crossed)
        self._paths = {track: path for track, path in self._paths.items() if pts - path.seen <= self._lost_after}

    def count(self) -> LineCount:
        return LineCount(self._line.name, self._line.points, self._in.copy(), self._out.copy())

    def _follow(self, each: Tracked, pts: float) -> float | None:
        """Goes on with the object's path. Returns when it crossed the line, if that has become clear now."""
        along, left = self._measure(each)
        side = int(np.sign(left))
        path = self._paths.get(each.track)
        if path is None or path.near == 0:
            self._paths[each.track] = _Path(pts, along, left, side, side)
            return None
        if side == -path.near:
            part = path.left / (path.left - left)  # of the way from there to here, up to the line
            between = 0 <= path.along + part * (along - path.along) <= 1
            path.crossed = path.seen + part * (pts - path.seen) if between else None
            path.near = side
        path.seen, path.along, path.left = pts, along, left
        if path.near == path.clear or abs(left) < each.clear:
            return None
        path.clear = path.near
        return path.crossed

    def _measure(self, each: Tracked) -> tuple[float, float]:
        """`along` and `left` of a `_Path`."""
        size = np.array((each.width, each.height))
        start, end = np.array(self._line.points) * size
        (dx, dy), (x, y) = end - start, each.anchor(self._line.anchor) * size - start
        length = math.hypot(dx, dy)
        return float(dx * x + dy * y) / length**2, float(dy * x - dx * y) / length
