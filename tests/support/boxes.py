"""What is in a picture and what was found there, in a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.types import Detections
from training.annotated import AnnotatedImage

LABELS = ("person", "car", "dog")

Box = tuple[float, float, float, float]
BOX: Box = (10, 10, 110, 110)


def truth(*objects: tuple[Box, int], crowd: Sequence[int] = (), areas: Sequence[float] | None = None) -> AnnotatedImage:
    """A picture with boxes and their labels; `crowd`: which of them are crowds; `areas`: of the objects in them."""
    boxes_N4 = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    sizes_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    return AnnotatedImage(
        path=Path("a.png"),
        width=640,
        height=480,
        boxes_N4=boxes_N4,
        labels_N=np.array([label for _, label in objects], np.int64),
        crowd_N=np.isin(np.arange(len(objects)), list(crowd)),
        area_N=np.array(sizes_N2.prod(1) if areas is None else areas, np.float64),
    )


def found(*objects: tuple[Box, int, float]) -> Detections:
    """Boxes, their labels and scores."""
    return Detections(
        np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in objects], np.int64),
        np.array([score for _, _, score in objects], np.float32),
        LABELS,
    )


def moved(box: Box, x: float, y: float = 0) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y
