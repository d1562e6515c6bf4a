"""A heat map: for how long there were objects where, laid over the picture of the scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SinkError
from pipeline.sinks.partial import check_file, finish, partial_path, writing
from pipeline.types import Annotated, Detections, Frame, Image

_CELLS = 256  # of the grid, on its longer side
_SPREAD = 0.02  # of the grid's shorter side: the standard deviation of the spot that an object leaves
_LONGEST = 1.0  # seconds that an object is taken to have been where it is, when frames are missing
_BETWEEN = 1.0  # seconds from one frame of the background to the next
_DIMMED = 0.6
_OPAQUE = 0.8
_FADED = 0.1  # of the highest value: below it the colour gives way to the picture


class HeatmapSink:
    """Writes one PNG when it is closed: how many seconds objects spent at each place, blurred, in colour over a grey
    picture, with a scale below.

    An object is at the middle of its box's lower edge. The picture is the mean of a frame a second, in which what moves
    fades: like every picture that reaches a sink, it is redacted.

    Args:
        path: a file called *.png.

    Raises:
        SinkError: the file cannot be made.
    """

    draws = False

    def __init__(self, path: str | Path) -> None:
        self._path = check_file(path, (".png",))
        self._background: _Background | None = None
        self._seconds_GG = np.zeros((0, 0), np.float32)
        self._before: float | None = None
        self._closed = False

    def write(self, item: Annotated) -> None:
        frame, pts = item.frame, item.frame.pts or 0.0
        if self._background is None:
            scale = min(1.0, _CELLS / max(frame.height, frame.width))
            self._seconds_GG = np.zeros((round(frame.height * scale) or 1, round(frame.width * scale) or 1), np.float32)
            self._background = _Background(frame)
        self._background.add(frame.image, pts)
        passed = 0.0 if self._before is None else min(max(0.0, pts - self._before), _LONGEST)
        self._before = pts
        if isinstance(item.results, Detections):
            self._add(item.results.boxes_N4, frame, passed)

    def close(self, whole: bool = True) -> None:
        if self._closed or self._background is None:
            return
        self._closed = True
        try:
            with writing(self._path):
                picture = paint(self._background.mean(), self._seconds_GG)
                partial_path(self._path).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
                if whole:
                    finish(self._path)
        except SinkError:
            if whole:
                raise

    def _add(self, boxes_N4: NDArray[np.float32], frame: Frame, seconds: float) -> None:
        rows, columns = self._seconds_GG.shape
        x_N = (boxes_N4[:, 0] + boxes_N4[:, 2]) / 2 / frame.width * columns
        y_N = boxes_N4[:, 3] / frame.height * rows
        cells = (y_N.astype(int).clip(0, rows - 1), x_N.astype(int).clip(0, columns - 1))
        np.add.at(self._seconds_GG, cells, seconds)


class _Background:
    """The mean of a frame every `_BETWEEN` seconds, in the size of the first."""

    def __init__(self, first: Frame) -> None:
        self._sum_HW3 = np.zeros((first.height, first.width, 3), np.float32)
        self._count = 0
        self._due = -np.inf

    def add(self, image: Image, pts: float) -> None:
        if pts < self._due:
            return
        height, width = self._sum_HW3.shape[:2]
        if image.shape[:2] != (height, width):
            cv2.accumulate(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), self._sum_HW3)
        else:
            cv2.accumulate(image, self._sum_HW3)
        self._count += 1
        self._due = pts + _BETWEEN

    def mean(self) -> Image:
        return (self._sum_HW3 / self._count).round().astype(np.uint8)


def paint(background: Image, seconds_GG: NDArray[np.float32]) -> Image:
    """The heat map: `background` (uint8 [H, W, 3]) in grey under the colours, and a scale below it.

    Args:
        seconds_GG: float32, the seconds spent in each cell of a grid over the picture.
    """
    height, width = background.shape[:2]
    spread_GG = spread(seconds_GG)
    highest = float(spread_GG.max())
    level_HW = np.asarray(cv2.resize(spread_GG / (highest or 1.0), (width, height)), np.float32)
    alpha_HW1 = _OPAQUE * np.minimum(1, level_HW / _FADED)[..., None]
    grey = cv2.cvtColor(cv2.cvtColor(background, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    mixed_HW3 = (1 - alpha_HW1) * _DIMMED * grey + alpha_HW1 * _coloured(level_HW)
    return np.vstack((mixed_HW3.round().astype(np.uint8), _scale(width, highest)))


def spread(seconds_GG: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blurs so that who stands still leaves a spot as high as the seconds that he stands there."""
    sigma = max(0.5, _SPREAD * min(seconds_GG.shape))
    blurred_GG = cv2.GaussianBlur(seconds_GG, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred_GG * (2 * np.pi * sigma**2), np.float32)


def _coloured(level_HW: NDArray[np.float32]) -> Image:
    return np.asarray(cv2.applyColorMap((level_HW * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO), np.uint8)


def _scale(width: int, highest: float) -> Image:
    """A black strip with the colours from 0 to `highest`, and what they mean."""
    size = max(10, width // 48)
    font = cv2.FontFace("sans")
    strip = np.zeros((3 * size, width, 3), np.uint8)
    texts = ("0", f"{highest:.3g} seconds at a place")
    widths = [cv2.getTextSize((0, 0), text, (0, 0), font, size)[2] for text in texts]
    left, right = 2 * size + widths[0], width - 2 * size - widths[1]
    for text, x in zip(texts, (size, right + size), strict=True):
        cv2.putText(strip, text, (x, 2 * size - size // 6), (255, 255, 255), font, size)
    if right > left:
        colours = _coloured(np.linspace(0, 1, right - left, dtype=np.float32)[None])
        strip[size : 2 * size, left:right] = colours
    return strip
