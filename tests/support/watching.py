"""Frames with what was seen in them, and events, for the tests of `pipeline.serve`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np

from pipeline.serve.ids import new_id
from pipeline.serve.types import Event
from pipeline.types import Annotated, Classification, Counts, Detections, Frame, Image, Redacted, Results

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NAMES = ("person", "car", "dog")
WIDTH, HEIGHT = 200, 100

Seen = tuple[str, float, tuple[float, float, float, float], int]
"""Label, score, box in pixels of a frame of 200 x 100, and track; 0: none yet."""


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def shown(
    pts: float | None, *seen: Seen, tracked: bool = False, counts: Counts | None = None, image: Image | None = None
) -> Annotated:
    """A frame of 200 x 100 pixels in which a detector saw this, best first."""
    best = sorted(seen, key=lambda each: -each[1])
    found = Detections(
        np.array([box for _, _, box, _ in best], np.float32).reshape(-1, 4),
        np.array([NAMES.index(label) for label, *_ in best], np.int64),
        np.array([score for _, score, _, _ in best], np.float32),
        NAMES,
        np.array([track for *_, track in best], np.int64) if tracked else None,
    )
    return _annotated(pts, found, counts, image)


def classified(pts: float, **scores: float) -> Annotated:
    """A frame that a classifier took for this, best first."""
    best = sorted(scores, key=lambda name: -scores[name])
    labels_K = np.array([NAMES.index(name) for name in best], np.int64)
    return _annotated(pts, Classification(labels_K, np.array([scores[name] for name in best], np.float32), NAMES))


def _annotated(
    pts: float | None, results: Results, counts: Counts | None = None, image: Image | None = None
) -> Annotated:
    if image is None:
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return Annotated(Redacted(Frame(image, "yard", 0, pts), results, counts), image)


def event(
    seconds: float = 0.0,
    lasted: float | None = 2.0,
    *,
    label: str = "person",
    camera: str = "yard",
    rule: str = "seen",
    zones: Sequence[str] = (),
) -> Event:
    """One that began `seconds` after `NOW`."""
    start = after(seconds)
    end = None if lasted is None else start + timedelta(seconds=lasted)
    path = ((0.0, 0.2, 0.5), (1.0, 0.4, 0.5))
    return Event(
        *(new_id(start), camera, rule, label, 0.875, start, start, end),
        box=(0.1, 0.2, 0.3, 0.4),
        path=path,
        zones=tuple(zones),
    )


def count_frames(path: Path) -> int:
    """How many frames can be decoded from a video."""
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))
