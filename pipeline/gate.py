"""Decides which frames the model looks at, to save its work where little is to be learned from the next look."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.types import Frame, Image, Look, Recognised, Results

LONGEST_TRACKED = 0.4
"""Seconds after a look from which on the next frame is looked at in any case, where objects are tracked. A track that
is not found for a second is lost: at ten frames a second and more, one look may miss it."""

LONGEST_STILL = 2.0
"""The same, for frames in which nothing moves, where they are not."""

MOTION = 0.0005
"""The share of the picture from which on a change is motion: at 1280 x 720, that of 21 x 21 pixels."""

_ROUNDING = 0.001  # seconds: what times of frames are told with may lack so much of a whole
_SKETCH = 160  # pixels, about: the longer side of the picture in which motion is looked for
_BLUR = (5, 5)
_CHANGED = 15  # grey levels: more than sensors and encoders leave of noise in a blurred picture
_CUT = 0.5  # of the picture: if so much has changed, it is another scene


class Gate:
    """Marks each frame with what its results are made from. Give it the frames of a source in order.

    Args:
        every: the model looks at one frame in so many.
        motion: the share of the picture, 0 to 1, that has to have changed since the last look, or the results of that
            look stay; None: whether anything moves is not asked.
        track: objects are tracked.
    """

    def __init__(self, every: int = 1, motion: float | None = None, *, track: bool = False) -> None:
        still = math.inf if motion is None else LONGEST_STILL
        longest = LONGEST_TRACKED if track else still
        self._sources: defaultdict[int, _SourceGate] = defaultdict(lambda: _SourceGate(every, motion, longest))

    def __call__(self, frame: Frame) -> Frame:
        """The same frame with `look`.

        Raises:
            ValueError: the frame has no time.
        """
        if frame.pts is None:
            raise ValueError("only frames at a known time may follow from a look at another")
        return replace(frame, look=self._sources[frame.stream](frame, frame.pts))


class _SourceGate:
    """The gate of one source: what it keeps is of the last look."""

    def __init__(self, every: int, motion: float | None, longest: float) -> None:
        self._every, self._motion, self._longest = every, motion, longest
        self._shape: tuple[int, ...] = ()
        self._pts = -math.inf
        self._sketch: NDArray[np.uint8] | None = None
        self._frames = 0  # since then

    def __call__(self, frame: Frame, pts: float) -> Look:
        sketch = None if self._motion is None else _sketch(frame.image)
        self._frames += 1
        shape = (frame.height, frame.width)
        look = self._decide(shape, pts, sketch)
        if look == "anew":
            self._shape, self._pts, self._sketch, self._frames = shape, pts, sketch, 0
        return look

    def _decide(self, shape: tuple[int, ...], pts: float, sketch: NDArray[np.uint8] | None) -> Look:
        if shape != self._shape or not 0 <= pts - self._pts < self._longest - _ROUNDING:
            return "anew"
        if sketch is not None and self._sketch is not None and self._motion is not None:
            changed = _changed(sketch, self._sketch)
            if changed < self._motion:
                return "same"
            if changed > _CUT:
                return "anew"
        return "ahead" if self._frames < self._every else "anew"


def _sketch(image: Image) -> NDArray[np.uint8]:
    """A small grey picture, blurred, so that noise does not look like motion."""
    step = max(1, max(image.shape[:2]) // _SKETCH)
    return cv2.GaussianBlur(cv2.cvtColor(image[::step, ::step], cv2.COLOR_BGR2GRAY), _BLUR, 0)  # type: ignore[return-value]


def _changed(sketch: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """The share of pixels in which they differ."""
    return np.count_nonzero(cv2.absdiff(sketch, before) > _CHANGED) / sketch.size


class Repeater:
    """Gives frames at which the model did not look the results of the last one of their source at which it did.

    A stage of the journey, for runs that do not track (a `Tracker` does more). Give it every frame of a source, in
    order.
    """

    def __init__(self) -> None:
        self._last: dict[int, Results] = {}

    def __call__(self, recognised: Recognised) -> Recognised:
        frame = recognised.frame
        if frame.looked:
            self._last[frame.stream] = recognised.results
            return recognised
        return replace(recognised, results=self._last[frame.stream])
