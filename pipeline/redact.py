"""Hides what must not be seen, and decides what may be shown. Nothing leaves the process but through here."""

from __future__ import annotations

import logging

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.terms import RedactStyle
from pipeline.types import Frame, Image, Recognised, Redacted  # noqa: TID251

_LOG = logging.getLogger(__name__)

_MARGIN = 0.1
_LEAST_MARGIN = 2.0
_CELLS = 8
_LEAST_CELL = 4
_REASONS_LOGGED = 20


class Redactor:
    """Makes every `Redacted` there is, after it has hidden the boxes of `Recognised.hide_N4`.

    Args:
        hide: the run has something to hide; a frame that then does not say what is withheld.
        style: `blur` and `pixelate` leave up to eight patches of mean colour on the longer side, `fill` leaves black.
    """

    def __init__(self, hide: bool, style: RedactStyle = "blur") -> None:
        self._hide = hide
        self._style = style
        self._reasons: set[str] = set()

    def __call__(self, recognised: Recognised) -> Redacted | None:
        """Redacts `recognised.frame.image`, in place where it can be written, in a copy elsewhere.

        Returns: the frame and the results to show; None where redaction failed and the frame must be dropped. Why is
            logged, each reason once.
        """
        frame = recognised.frame
        if self._hide:
            try:
                frame = self._hide_boxes(frame, recognised.hide_N4)
            except Exception as error:
                self._tell(error)
                return None
        return Redacted(frame, recognised.results, recognised.counts)

    def _hide_boxes(self, frame: Frame, boxes_N4: NDArray[np.float32] | None) -> Frame:
        if boxes_N4 is None:
            raise ValueError("the frame does not say what to hide")
        if not len(boxes_N4):
            return frame
        regions = _regions(boxes_N4, frame.height, frame.width)
        frame = frame.editable()
        for left, top, right, bottom in regions:
            if left < right and top < bottom:
                _obscure(frame.image[top:bottom, left:right], self._style)
        return frame

    def _tell(self, error: Exception) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if reason not in self._reasons and len(self._reasons) < _REASONS_LOGGED:
            self._reasons.add(reason)
            _LOG.error("redaction failed, frames are withheld: %s", reason)


def _regions(boxes_N4: NDArray[np.float32], height: int, width: int) -> list[list[int]]:
    """Columns and rows (x1, y1, x2, y2; x2 and y2 exclusive) to hide: the boxes with a margin, cut at the frame."""
    if not np.isfinite(boxes_N4).all():
        raise ValueError("a box to hide is not finite")
    ends_2N2 = np.sort(boxes_N4.astype(np.float64).reshape(len(boxes_N4), 2, 2), axis=1).swapaxes(0, 1)
    margin_N2 = np.maximum(_MARGIN * (ends_2N2[1] - ends_2N2[0]), _LEAST_MARGIN)
    first_N2 = np.floor(ends_2N2[0] - margin_N2)
    last_N2 = np.ceil(ends_2N2[1] + margin_N2)
    cut_N4 = np.hstack((first_N2, last_N2)).clip(0, (width, height) * 2)
    return cut_N4.astype(int).tolist()  # type: ignore[no-any-return]


def _obscure(area: Image, style: RedactStyle) -> None:
    """Overwrites `area` (uint8 [H, W, 3], any strides) with what is left of it when all detail is gone."""
    if style == "fill":
        area[:] = 0
        return
    height, width = area.shape[:2]
    longer = max(height, width)
    cells = min(max(longer // _LEAST_CELL, 1), _CELLS)
    grid = max(1, round(width * cells / longer)), max(1, round(height * cells / longer))
    coarse = cv2.resize(area, grid, interpolation=cv2.INTER_AREA)
    if style == "blur":
        coarse = cv2.GaussianBlur(coarse, (3, 3), 0)
    area[:] = cv2.resize(
        coarse,
        (width, height),
        interpolation=cv2.INTER_LINEAR if style == "blur" else cv2.INTER_NEAREST,
    )
