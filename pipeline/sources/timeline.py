"""Presentation times that start near 0 and always grow, made from what decoders and cameras report."""

from __future__ import annotations

import time

_JUMP = 1.0
_STEP = 0.001


class FileTime:
    """Time stamps of a file: as stored, mended only where they are missing or go back.

    Args:
        gap: seconds between two frames, used where the file has no time stamps (a raw H.264 stream).
    """

    def __init__(self, gap: float) -> None:
        self.last = float("-inf")
        self._gap = gap
        self._shift = 0.0

    def stamp(self, seconds: float) -> float:
        """The time of the next frame, whose decoder says `seconds` from the start of the stream."""
        pts = seconds + self._shift
        if pts <= self.last:
            mended = self.last + self._gap
            if seconds and self.last - pts > _JUMP:  # joined recordings: the second one starts anew
                self._shift += mended - pts
            pts = mended
        self.last = pts
        return pts


class LiveTime:
    """Time stamps of a live source: the stream's own where it has them, set to the clock at each connection."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._last = -_STEP
        self._shift: float | None = None

    def reconnected(self) -> None:
        """The stream's own time starts anew with the next frame."""
        self._shift = None

    def stamp(self, seconds: float | None) -> float:
        """The time of the frame that has just arrived, and carries `seconds` on the stream's own clock (None: none)."""
        now = time.monotonic()
        self._start = now if self._start is None else self._start
        clock = max(now - self._start, self._last + _STEP)
        if seconds is None:
            pts = clock
        else:
            if self._shift is None or seconds + self._shift <= self._last:
                self._shift = clock - seconds
            pts = seconds + self._shift
        self._last = pts
        return pts
