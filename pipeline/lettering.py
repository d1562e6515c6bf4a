"""Text as cached bitmaps: rendering costs far more than copying."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from pipeline.palette import Colour, ink_on
from pipeline.types import Image

_REGULAR = 400
_CACHED = 256  # names and scores in use stay; the numbers of tracks never come again, and would fill any room


def font_size(height: int, width: int) -> int:
    """The size of letters, in pixels, that is readable on a frame of this size."""
    return max(9, round(6 + min(height, width) / 64))


def line_height(size: int) -> int:
    """The height in pixels of a strip that holds letters of `size`, with a little air."""
    return round(1.5 * size)


class Lettering:
    """Renders short texts in the sans-serif font that OpenCV carries, any script; keeps the latest bitmaps.

    Use one in one thread.
    """

    def __init__(self) -> None:
        self._font = cv2.FontFace("sans")
        self.strip = lru_cache(_CACHED)(self._strip)
        self.width = lru_cache(_CACHED)(self._width)
        self.fit = lru_cache(_CACHED)(self._fit)

    def _strip(self, text: str, size: int, paper: Colour, weight: int = _REGULAR) -> Image:
        """`text` on a strip of the colour `paper`.

        Returns: uint8 [line_height(size), width, 3], read-only; the text touches its left and right edge.
        """
        height = line_height(size)
        strip = np.full((height, self.width(text, size, weight), 3), paper, np.uint8)
        baseline = round(height / 2 + 0.36 * size)
        cv2.putText(strip, _printable(text), (0, baseline), ink_on(paper), self._font, size, weight)
        strip.flags.writeable = False
        return strip

    def _width(self, text: str, size: int, weight: int = _REGULAR) -> int:
        """The width of `text` in pixels."""
        x, _, width, _ = cv2.getTextSize((0, 0), _printable(text), (0, 0), self._font, size, weight)
        return max(1, x + width)

    def _fit(self, text: str, size: int, width: int, weight: int = _REGULAR) -> str:
        """`text`, or as much of it as fits into `width` pixels, with an ellipsis.

        Synonyms after a comma, as ImageNet has them, go first.
        """
        head = text.split(",")[0]
        for whole in (text, head):
            if self._width(whole, size, weight) <= width:
                return whole
        shorter = (head[:end].rstrip() + "…" for end in range(min(len(head), width), 0, -1))
        return next((short for short in shorter if self._width(short, size, weight) <= width), "")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
