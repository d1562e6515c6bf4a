"""Frames per second and latency, for the status line of the overlay."""

from __future__ import annotations

import time
from collections import deque

from pipeline.types import Frame


class Meter:
    """Measures over the last `window` seconds."""

    def __init__(self, window: float = 1.0) -> None:
        self._window = window
        self._times: deque[float] = deque()

    def tick(self, frame: Frame) -> str:
        """Counts `frame` and says how fast frames come and how old this one is, from decoder to drawing."""
        now = time.perf_counter()
        self._times.append(now)
        while len(self._times) > 2 and now - self._times[0] > self._window:
            self._times.popleft()
        span = now - self._times[0]
        rate = (len(self._times) - 1) / span if span > 0 else 0.0
        return f"{rate:.0f} fps  {(now - frame.born) * 1000:.0f} ms"
