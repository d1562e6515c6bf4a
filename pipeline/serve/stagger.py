"""Keeps cameras that were started together from being looked at together."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.types import Frame

Gate = Callable[[Frame], Frame]


class Staggered:
    """A gate that looks at the first frame of its camera and begins anew `phase` frames later.

    Cameras whose gates look at every n-th frame, and have the phases 0, 1, 2 … n - 1, do not look in the same instant.

    Args:
        make: a new gate.
    """

    def __init__(self, make: Callable[[], Gate], phase: int) -> None:
        self._make = make
        self._gate = make()
        self._left = phase

    def __call__(self, frame: Frame) -> Frame:
        if self._left == 0:
            self._gate = self._make()
        self._left -= 1
        return self._gate(frame)
