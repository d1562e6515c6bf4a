"""The way that something took, in few points."""

from __future__ import annotations

MOST_POINTS = 100

_FIRST_STEP = 0.5  # seconds from one point to the next; doubles whenever there are too many


class Trail:
    """Where something was, in at most `MOST_POINTS` points of equal distance in time, and the last one."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float, float]] = []
        self._last: tuple[float, float, float] | None = None
        self._step = _FIRST_STEP

    def add(self, seconds: float, x: float, y: float) -> bool:
        """Whether it has become a point to keep."""
        self._last = (round(seconds, 3), round(x, 4), round(y, 4))
        if self._points and seconds - self._points[-1][0] < self._step:
            return False
        self._points.append(self._last)
        if len(self._points) == MOST_POINTS:
            self._points = self._points[::2]
            self._step *= 2
        return True

    @property
    def points(self) -> tuple[tuple[float, float, float], ...]:
        """Seconds since the start, x and y as fractions of the frame."""
        return (*self._points, *(() if self._last is None or self._last == self._points[-1] else (self._last,)))
