"""Hides what must not be seen, and decides what may be shown. Nothing leaves the process but through here."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.terms import RedactStyle as Style
from pipeline.types import Detections, Frame, Image, Recognised, Redacted

_LOG = logging.getLogger(__name__)

_MARGIN = 0.1
_LEAST_MARGIN = 2.0
_CELLS = 8
_LEAST_CELL = 4
_REASONS_LOGGED = 20


class Redactor:
    """Makes every `Redacted` there is: hides the boxes of some classes, then keeps the results that were asked for.

    What is hidden does not depend on what is shown. Given all that the detector found, it hides a person of score 0.4
    even where only cars of at least 0.9 are shown.

    Args:
        hide: label ids of the classes whose boxes are made unrecognisable.
        style: `blur` and `pixelate` leave at most eight patches of colour along the longer side, `fill` leaves black.
        show: label ids of the classes that are shown; None: all. Classifications are shown whole.
        threshold: the lowest score of a detection that is shown.

    Attributes:
        withheld: how many frames were kept back because redaction failed.

    Raises:
        ConfigError: there is no such style.
    """

    def __init__(
        self,
        hide: Collection[int] = (),
        style: Style = "blur",
        show: Collection[int] | None = None,
        threshold: float = 0.0,
    ) -> None:
        if style not in get_args(Style):
            raise ConfigError(f"there is no redaction style '{style}'; choose one of {', '.join(get_args(Style))}")
        self.withheld = 0
        self._hide = sorted(hide)
        self._style = style
        self._show = None if show is None else sorted(show)
        self._threshold = threshold
        self._reasons: set[str] = set()

    def __call__(self, recognised: Recognised) -> Redacted | None:
        """Redacts `recognised.frame.image`, in place where it can be written, in a copy elsewhere.

        Returns: the frame and the results to show; None where redaction failed and the frame must be dropped. Why is
            logged, each reason once.

        Raises:
            ConfigError: classes are to be hidden, but the model is a classifier and finds no boxes.
        """
        frame, results = recognised.frame, recognised.results
        if not isinstance(results, Detections):
            if self._hide:
                raise ConfigError("'redact' needs the boxes of a detector, but this model is a classifier")
            return Redacted(frame, results)
        if self._hide:
            try:
                frame = self._hide_boxes(frame, results)
            except Exception as error:  # whatever went wrong, the frame must not leave
                self._withhold(error)
                return None
        return Redacted(frame, self._choose(results))

    def _hide_boxes(self, frame: Frame, found: Detections) -> Frame:
        if not len(found.boxes_N4) == len(found.labels_N) == len(found.scores_N):
            raise ValueError("the boxes, labels and scores of the frame differ in number")
        if not ((found.labels_N >= 0) & (found.labels_N < len(found.names))).all():
            raise ValueError("a detection is of no known class")
        hidden_N = np.isin(found.labels_N, self._hide)
        if not hidden_N.any():
            return frame
        regions = _regions(found.boxes_N4[hidden_N], frame.height, frame.width)
        if not frame.image.flags.writeable:
            frame = replace(frame, image=frame.image.copy())
        for left, top, right, bottom in regions:
            if left < right and top < bottom:
                _obscure(frame.image[top:bottom, left:right], self._style)
        return frame

    def _choose(self, found: Detections) -> Detections:
        keep_N = found.scores_N >= self._threshold
        if self._show is not None:
            keep_N &= np.isin(found.labels_N, self._show)
        return found if keep_N.all() else found.where(keep_N)

    def _withhold(self, error: Exception) -> None:
        self.withheld += 1
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


def _obscure(area: Image, style: Style) -> None:
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
