"""The values that travel from source to sink.

Shape legend, used as a suffix of array names throughout the project:

    B   frames in a batch          H, W   height and width in pixels     3   blue, green, red
    N   boxes of one frame         K      best results kept              4   x1, y1, x2, y2
    C   classes of the model

Boxes are float32 xyxy: (x1, y1) is the upper left corner and (x2, y2) the lower right one, in pixels of the frame,
where the first pixel spans 0 to 1.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""uint8 [H, W, 3], BGR as OpenCV gives it."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a source knows about itself before its first frame.

    `time_base` is the unit of its time stamps in seconds (None: unknown), `frames` and `seconds` the length it claims
    (None: unknown or endless), `audio` the file whose sound belongs to the pictures, `files` those that it reads.
    """

    live: bool = False
    still: bool = False
    time_base: Fraction | None = None
    frames: int | None = None
    seconds: float | None = None
    audio: Path | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source.

    Args:
        image: uint8 [H, W, 3], BGR, upright (rotation metadata applied).
        source: the name that records carry: the path or URL without credentials; for a folder or a glob, the image's.
        index: counts from 0 in `source`; a live source counts the frames it dropped, too.
        pts: presentation time in seconds from the start of the source; None for images.
        stream: which source of the run this is, counted from 0 in the order they were given.
        born: when the frame came out of the decoder, in seconds of `time.perf_counter`.
    """

    image: Image
    source: str
    index: int
    pts: float | None
    stream: int = 0
    born: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 [H, W, 3], not {self.image.dtype} {list(self.image.shape)}")

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The best classes of one frame, best first.

    Args:
        labels_K: int64 [K], indices into `names`.
        scores_K: float32 [K], probabilities.
        names: the name of every class of the model.
    """

    labels_K: NDArray[np.int64]
    scores_K: NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels_K)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects of one frame, best first.

    Args:
        boxes_N4: float32 [N, 4], xyxy in pixels of the frame.
        labels_N: int64 [N], indices into `names`.
        scores_N: float32 [N], 0 to 1.
        names: the name of every class of the model.
        tracks_N: int64 [N], which object of its source each is, counted from 1, 0 of one that is not known yet; None:
            the run does not track.
    """

    boxes_N4: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    scores_N: NDArray[np.float32]
    names: tuple[str, ...]
    tracks_N: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels_N)

    def where(self, keep_N: NDArray[np.bool_]) -> Detections:
        """The detections for which `keep_N` (bool [N]) holds."""
        tracks_N = None if self.tracks_N is None else self.tracks_N[keep_N]
        return Detections(self.boxes_N4[keep_N], self.labels_N[keep_N], self.scores_N[keep_N], self.names, tracks_N)


Results: TypeAlias = Classification | Detections


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """A frame and what the model saw in it. Nothing of it may leave the process before `redact` has passed it.

    Args:
        results: what the run shows.
        hide_N4: float32 [N, 4], xyxy in pixels of the frame: all that has to be hidden, whatever is shown, overlapping
            boxes not suppressed; None: the run hides nothing.
    """

    frame: Frame
    results: Results
    hide_N4: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Redacted:
    """A frame that may be shown: made by `redact.py` alone, a lint rule and a test keep it so."""

    frame: Frame
    results: Results


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """The one type that sinks take: a redacted frame and the picture to show, with the results drawn.

    Args:
        redacted: what the picture was made from; `redacted.frame` tells source, index and time.
        image: uint8 [H, W, 3], BGR, the size of the frame.
    """

    redacted: Redacted
    image: Image

    @property
    def frame(self) -> Frame:
        return self.redacted.frame

    @property
    def results(self) -> Results:
        return self.redacted.results
