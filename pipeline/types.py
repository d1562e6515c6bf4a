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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import compress
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""uint8 [H, W, 3], BGR as OpenCV gives it."""

Look: TypeAlias = Literal["anew", "ahead", "same"]
"""What a frame's results are made from, in a run that does not look at every frame: `anew`, the model looks at it;
`ahead`, the results of the last look, moved on with their tracks; `same`, those results as they are, for nothing moved.
"""


class OnDevice(Protocol):
    """A picture on a GPU, uint8 [H, W, 3], BGR, without gaps, that DLPack can lend: such as a CUDA tensor."""

    def __dlpack__(self, *, stream: Any = None) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


class Surface(OnDevice, Protocol):
    """A picture that its hardware decoder has left on the GPU.

    Attributes:
        shape: of the image that it stands for, (H, W, 3).
    """

    shape: tuple[int, int, int]

    def download(self) -> Image:
        """uint8 [H, W, 3], BGR, in host memory; the same one each time."""


Frames: TypeAlias = Image | Sequence[OnDevice]
"""uint8 [B, H, W, 3], BGR; or B pictures of one size on a GPU."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a source knows about itself before its first frame.

    `time_base` is the unit of its time stamps in seconds (None: unknown), `frames` and `seconds` the length it claims
    (None: unknown or endless), `audio` the file whose sound belongs to the pictures, `files` those that it reads,
    `decoder` what decodes its video: `cpu` or `nvdec` (None: it is no video).
    """

    live: bool = False
    still: bool = False
    time_base: Fraction | None = None
    frames: int | None = None
    seconds: float | None = None
    audio: Path | None = None
    files: tuple[Path, ...] = ()
    decoder: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source.

    Args:
        picture: uint8 [H, W, 3], BGR, upright (rotation metadata applied), or a surface on the GPU.
        source: the name that records carry: the path or URL without credentials; for a folder or a glob, the image's.
        index: counts from 0 in `source`; a live source counts the frames it dropped, too.
        pts: presentation time in seconds from the start of the source; None for images.
        stream: which source of the run this is, counted from 0 in the order they were given.
        born: when the frame came out of the decoder, in seconds of `time.perf_counter`.
        look: None where the run looks at every frame.
    """

    picture: Image | Surface
    source: str
    index: int
    pts: float | None
    stream: int = 0
    born: float = field(default_factory=time.perf_counter)
    look: Look | None = None

    def __post_init__(self) -> None:
        image = self.picture
        if isinstance(image, np.ndarray) and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8):
            raise ValueError(f"a frame must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")

    @property
    def image(self) -> Image:
        """uint8 [H, W, 3], BGR, upright, in host memory; of a surface, downloaded when it is first asked for."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.download()

    @property
    def on_device(self) -> OnDevice | None:
        """The picture on the GPU; None where it is not there, or has been masked or cut on the host since."""
        return None if isinstance(self.picture, np.ndarray) else self.picture

    def editable(self) -> Frame:
        """The frame, or a copy where it cannot be written. Whoever hides something in its `image` leaves no picture
        with it, on the GPU or elsewhere, in which that can be seen.
        """
        image = self.image if self.image.flags.writeable else self.image.copy()
        return self if image is self.picture else replace(self, picture=image)

    @property
    def height(self) -> int:
        return int(self.picture.shape[0])

    @property
    def width(self) -> int:
        return int(self.picture.shape[1])

    @property
    def looked(self) -> bool:
        """Whether the model looks at it."""
        return self.look in (None, "anew")


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
        then_N: what a second model made of each object, None of one that it does not look at; None: the run has none.
    """

    boxes_N4: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    scores_N: NDArray[np.float32]
    names: tuple[str, ...]
    tracks_N: NDArray[np.int64] | None = None
    then_N: tuple[Classification | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels_N)

    def where(self, keep_N: NDArray[np.bool_]) -> Detections:
        """The detections for which `keep_N` (bool [N]) holds."""
        boxes_N4, labels_N, scores_N = self.boxes_N4[keep_N], self.labels_N[keep_N], self.scores_N[keep_N]
        tracks_N = None if self.tracks_N is None else self.tracks_N[keep_N]
        then_N = None if self.then_N is None else tuple(compress(self.then_N, keep_N))
        return Detections(boxes_N4, labels_N, scores_N, self.names, tracks_N, then_N)


Results: TypeAlias = Classification | Detections


@dataclass(frozen=True, slots=True)
class ZoneEvent:
    """What an object did at a zone or a line.

    Args:
        kind: `enter`, `leave` or `lost` (not seen any more since it was inside) of a zone; `in` or `out` over a line.
        place: the name of the zone or the line.
        track: the number of the object, as in `Detections.tracks_N`.
        label: its class: over a line as it was known then, in a zone as it was when it entered.
        pts: when, in seconds; may lie before the frame that tells it.
        dwell: how long it was inside, in seconds; None unless it has left.
    """

    kind: str
    place: str
    track: int
    label: str
    pts: float
    dwell: float | None = None

    def to_json(self) -> dict[str, Any]:
        where = "line" if self.kind in ("in", "out") else "zone"
        event = {"event": self.kind, where: self.place, "track": self.track, "label": self.label}
        event["pts"] = round(self.pts, 6)
        return event if self.dwell is None else {**event, "dwell": round(self.dwell, 3)}


@dataclass(frozen=True, slots=True)
class ZoneCount:
    """Who is in a zone, and who was. Numbers are by class, of everything since the source began. Each visit is booked
    under the class that the object had when it entered: for every class, entered = left + inside.

    Args:
        points: the corners, x and y as fractions of the frame's width and height.
        entered, left: how many have come and gone; those that vanished inside have gone, too.
        stayed: how long those that have left were inside, in seconds and in sum.
        labels: the tracks that are inside now, and the class that each had when it entered.
        dwell: for how long these have been inside, in seconds.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    entered: Mapping[str, int]
    left: Mapping[str, int]
    stayed: Mapping[str, float]
    labels: Mapping[int, str]
    dwell: Mapping[int, float]

    @property
    def inside(self) -> Counter[str]:
        """How many are inside now."""
        return Counter(self.labels.values())

    @property
    def mean_dwell(self) -> float | None:
        """How long those that have left were inside on average, in seconds; None: none has left."""
        left = sum(self.left.values())
        return sum(self.stayed.values()) / left if left else None

    def to_json(self) -> dict[str, Any]:
        mean = self.mean_dwell
        return {
            "inside": dict(self.inside),
            "entered": dict(self.entered),
            "left": dict(self.left),
            "dwell": {str(track): round(seconds, 3) for track, seconds in self.dwell.items()},
            "mean_dwell": None if mean is None else round(mean, 3),
        }


@dataclass(frozen=True, slots=True)
class LineCount:
    """How many objects have crossed a line, by class: `inward` from the right to the left of someone who walks from
    its first point to its second, `outward` the other way. `points` as in `ZoneCount`.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    inward: Mapping[str, int]
    outward: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"in": dict(self.inward), "out": dict(self.outward)}


@dataclass(frozen=True, slots=True)
class Counts:
    """The zones and lines of a frame's source after the frame, and what happened in it."""

    zones: tuple[ZoneCount, ...]
    lines: tuple[LineCount, ...]
    events: tuple[ZoneEvent, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The keys that zones and lines add to a record."""
        return {
            "zones": {zone.name: zone.to_json() for zone in self.zones},
            "lines": {line.name: line.to_json() for line in self.lines},
            "events": [event.to_json() for event in self.events],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """A frame and what the model saw in it. Nothing of it may leave the process before `redact` has passed it.

    Args:
        results: what the run shows.
        hide_N4: float32 [N, 4], xyxy in pixels of the frame: all that has to be hidden, whatever is shown, overlapping
            boxes not suppressed; None: the run hides nothing.
        counts: of zones and lines; None: the run has none for this source.
    """

    frame: Frame
    results: Results
    hide_N4: NDArray[np.float32] | None = None
    counts: Counts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Redacted:
    """A frame that may be shown: made by `redact.py` alone, a lint rule and a test keep it so."""

    frame: Frame
    results: Results
    counts: Counts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """The one type that sinks take: a redacted frame and the picture to show, with the results drawn.

    Args:
        redacted: what the picture was made from; `redacted.frame` tells source, index and time.
        drawn: uint8 [H, W, 3], BGR, the size of the frame; None: nothing is drawn.
    """

    redacted: Redacted
    drawn: Image | None = None

    @property
    def image(self) -> Image:
        """What to show: uint8 [H, W, 3], BGR."""
        return self.redacted.frame.image if self.drawn is None else self.drawn

    @property
    def frame(self) -> Frame:
        return self.redacted.frame

    @property
    def results(self) -> Results:
        return self.redacted.results

    @property
    def counts(self) -> Counts | None:
        return self.redacted.counts
