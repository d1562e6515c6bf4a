"""A moving picture made from nothing, the same each time: for tests, benchmarks and a test camera."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from typing import cast
from urllib.parse import parse_qsl

import cv2
import numpy as np

from pipeline.errors import SourceError
from pipeline.types import Frame, Image, Media

PREFIX = "synthetic:"

_GRAMMAR = "synthetic:[WIDTHxHEIGHT][@FPS][?frames=N&seed=N&live=1]"
_SPEC = re.compile(r"(?:(?P<width>\d+)x(?P<height>\d+))?(?:@(?P<fps>\d+(?:\.\d+)?))?(?:\?(?P<query>.+))?")
_LARGEST = 16384
_MARGIN = 64
_BOXES = 4


class Synthetic:
    """A patterned background that drifts, with a few coloured boxes that bounce over it.

    Args:
        width, height: pixels.
        fps: frames a second.
        frames: how many; None for ever.
        seed: another picture for another number.
        live: paced by the clock, and a live source to the run.
    """

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        fps: Fraction = Fraction(30),
        *,
        frames: int | None = None,
        seed: int = 0,
        live: bool = False,
        name: str = PREFIX,
        stream: int = 0,
    ) -> None:
        self.name = name
        self.stream = stream
        seconds = None if frames is None else float(frames / fps)
        self.media = Media(live=live, time_base=1 / fps, frames=frames, seconds=seconds)
        self._size, self._fps, self._seed = (width, height), fps, seed

    def close(self) -> None:
        """Nothing is open."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See `Source.frames`."""
        painter = _Painter(*self._size, self._seed)
        started = time.monotonic()
        for index in count() if self.media.frames is None else range(self.media.frames):
            pts = float(index / self._fps)
            if self.media.live:
                stop.wait(max(0.0, started + pts - time.monotonic()))
            if stop.is_set():
                return
            yield Frame(painter.paint(index), self.name, index, pts, self.stream)


def open_synthetic(spec: str, stream: int = 0) -> Synthetic:
    """Makes a source from a text like `synthetic:1920x1080@30?frames=300&live=1`. Every part may be left out.

    Keys: `frames` (how many; for ever if absent), `seed` (another picture), `live` (1: paced by the clock).

    Raises:
        SourceError: the text does not follow the grammar.
    """
    match = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if match is None:
        raise SourceError(f"{spec} is not understood: write it as {_GRAMMAR}")
    width, height = int(match["width"] or 1280), int(match["height"] or 720)
    fps = Fraction(match["fps"] or 30)
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST and 0 < fps <= 1000):
        raise SourceError(f"{spec} is out of range: width and height go from 1 to {_LARGEST}, FPS goes up to 1000")
    keys = _parse_query(spec, match["query"] or "")
    live = bool(keys.pop("live", 0))
    return Synthetic(
        width, height, fps, frames=keys.get("frames"), seed=keys.get("seed", 0), live=live, name=spec, stream=stream
    )


def _parse_query(spec: str, query: str) -> dict[str, int]:
    keys: dict[str, int] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in ("frames", "seed", "live"):
            raise SourceError(f"{spec} has an unknown key '{key}': write it as {_GRAMMAR}")
        if not value.isdecimal() or (key == "live" and value not in "01") or (key == "frames" and int(value) == 0):
            raise SourceError(f"{spec} has no usable value for '{key}': write it as {_GRAMMAR}")
        keys[key] = int(value)
    return keys


class _Painter:
    """Paints frame number `index` of the picture: a view that drifts over a larger background, and boxes."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._width, self._height = width, height
        coarse = random.integers(40, 216, ((height + _MARGIN) // 16 + 2, (width + _MARGIN) // 16 + 2, 3), np.uint8)
        self._background = cv2.resize(coarse, (width + _MARGIN, height + _MARGIN), interpolation=cv2.INTER_LINEAR)
        self._colours = random.integers(0, 256, (_BOXES, 3)).tolist()
        self._sizes = (random.uniform(0.08, 0.25, (_BOXES, 2)) * (width, height)).astype(int) + 1
        self._steps = random.integers(1, 9, (_BOXES, 2))

    def paint(self, index: int) -> Image:
        x, y = _bounce(index, _MARGIN), _bounce(index // 2, _MARGIN)
        image = self._background[y : y + self._height, x : x + self._width].copy()
        for colour, (width, height), (step_x, step_y) in zip(self._colours, self._sizes, self._steps, strict=True):
            left = _bounce(index * int(step_x), max(1, self._width - int(width)))
            top = _bounce(index * int(step_y), max(1, self._height - int(height)))
            cv2.rectangle(image, (left, top), (left + int(width) - 1, top + int(height) - 1), colour, cv2.FILLED)
        return cast(Image, image)


def _bounce(position: int, room: int) -> int:
    """There and back between 0 and `room`."""
    position %= 2 * room
    return min(position, 2 * room - position)
