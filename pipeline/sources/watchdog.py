"""Notices pictures that come, but show nothing: frozen ones, and those of one colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Image

_EVERY = 0.5  # seconds between two looks
_SAMPLES = 128  # of the longer side
_SAME = 0.1  # grey levels: the mean difference of two pictures of one frozen scene, coded anew; noise alone is more
_PLAIN = 3.0  # grey levels: the standard deviation of a picture with the lens covered, noise included
_DARK = 40.0  # grey levels


class Watchdog:
    """Looks at a few pixels of a camera's pictures, twice a second.

    Args:
        frozen: seconds after which a picture that does not change is wrong; 0: never.
        plain: seconds after which a picture of one colour, as of a covered lens, is wrong; 0: never.
    """

    def __init__(self, frozen: float, plain: float) -> None:
        self._frozen, self._plain = frozen, plain
        self._due = float("-inf")
        self._before: NDArray[np.int16] | None = None
        self._same_since = 0.0
        self._plain_since: float | None = None
        self._trouble: str | None = None

    def look(self, image: Image, now: float) -> str | None:
        """What is wrong with the pictures; None: nothing.

        Args:
            image: uint8 [H, W, 3].
            now: in seconds, on a clock that never goes back.
        """
        if now >= self._due:
            self._due = now + _EVERY
            step = max(1, max(image.shape) // _SAMPLES)
            self._trouble = self._judge(image[::step, ::step].astype(np.int16), now)
        return self._trouble

    def _judge(self, sample_HW3: NDArray[np.int16], now: float) -> str | None:
        before = self._before
        if before is None or before.shape != sample_HW3.shape or abs(sample_HW3 - before).mean() > _SAME:
            self._before, self._same_since = sample_HW3, now
        if sample_HW3.std(axis=(0, 1)).max() > _PLAIN:
            self._plain_since = None
        elif self._plain_since is None:
            self._plain_since = now
        if self._plain and self._plain_since is not None and now - self._plain_since >= self._plain:
            colour = "black" if sample_HW3.mean() < _DARK else "of one colour"
            return f"the picture has been {colour} for more than {self._plain:g} s"
        if self._frozen and now - self._same_since >= self._frozen:
            return f"the picture has not changed for more than {self._frozen:g} s"
        return None
