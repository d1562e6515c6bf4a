"""How fast a camera's frames come, and how old they are when they are shown."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

WINDOW = 5.0
"""Seconds that are looked back."""


class Rate:
    """Frames of the last `WINDOW` seconds. `tick` is called by one thread, the figures by any."""

    def __init__(self) -> None:
        self._shown: deque[tuple[float, float]] = deque()  # when, and how old the frame was

    def tick(self, born: float) -> None:
        """A frame is shown now; `born` as in `Frame`."""
        now = time.perf_counter()
        self._shown.append((now, now - born))
        while self._shown[0][0] < now - WINDOW:
            self._shown.popleft()

    @property
    def fps(self) -> float:
        return len(self._recent()) / WINDOW

    @property
    def latency(self) -> float | None:
        """Seconds, the 99th percentile; None: no frame was shown."""
        ages = self._recent()
        return float(np.percentile(ages, 99)) if ages else None

    def _recent(self) -> list[float]:
        since = time.perf_counter() - WINDOW
        return [age for shown, age in self._shown.copy() if shown >= since]
