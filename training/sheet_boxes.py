"""Pictures of mistakes: a part of each, with the boxes that are there and those that were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.page import picture_url
from pipeline.palette import BLACK, Colour
from pipeline.sources.images import read_image
from pipeline.types import Detections, Image
from training.annotated import AnnotatedImage
from training.matching import overlaps
from training.mistakes import Mistake

TRUTH: Colour = (245, 110, 59)
FOUND: Colour = (43, 98, 226)
_SIDE = 320  # pixels of a card
_ROOM = 2.0  # sides of the boxes meant that are shown
_LEAST = 0.2  # of the picture's shorter side
_DASH = 9


@dataclass(frozen=True, slots=True)
class BoxCard:
    """What was there and what was found, as far as a mistake means any; `iou`: how far both overlap."""

    image: str
    picture: int
    truth: str | None
    found: str | None
    score: float | None
    iou: float | None


def show_worst(
    mistakes: Sequence[Mistake],
    images: Sequence[AnnotatedImage],
    found: Sequence[Detections],
    labels: Sequence[str],
    threshold: float,
    most: int,
) -> Iterator[BoxCard]:
    """The worst mistakes, at most `most`: the largest objects missed, the surest wrong boxes."""
    for mistake in sorted(mistakes, key=lambda each: -each.weight)[:most]:
        truth, seen = images[mistake.picture], found[mistake.picture]
        seen = seen.where(seen.scores_N >= threshold)
        n, m = ([] if place is None else [place] for place in (mistake.found, mistake.truth))
        iou = overlaps(seen.boxes_N4[n], truth.boxes_N4[m], truth.crowd_N[m])
        yield BoxCard(
            image=picture_url(draw_mistake(read_image(truth.path), truth.boxes_N4, seen.boxes_N4, m, n)),
            picture=mistake.picture,
            truth=labels[truth.labels_N[m[0]]] if m else None,
            found=labels[seen.labels_N[n[0]]] if n else None,
            score=float(seen.scores_N[n[0]]) if n else None,
            iou=float(iou[0, 0]) if iou.size else None,
        )


def draw_mistake(
    image: Image, truth_M4: NDArray[np.float32], found_N4: NDArray[np.float32], meant: list[int], wrong: list[int]
) -> Image:
    """The surroundings of some boxes, at most 320 pixels wide and high, uint8 [H, W, 3].

    Objects are drawn with solid lines, what was found with dashed ones; those of `meant` and `wrong` (places in
    `truth_M4` and `found_N4`) are thick and decide what is shown.
    """
    x1, y1, x2, y2 = _surroundings(np.concatenate([truth_M4[meant], found_N4[wrong]]), *image.shape[:2])
    scale = _SIDE / max(x2 - x1, y2 - y1)
    size = max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = np.ascontiguousarray(cv2.resize(image[y1:y2, x1:x2], size, interpolation=how), np.uint8)
    for boxes, thick, colour, dashed in ((truth_M4, meant, TRUTH, False), (found_N4, wrong, FOUND, True)):
        corners = ((boxes - np.array([x1, y1, x1, y1])) * scale).round().astype(int)
        for i in sorted(range(len(boxes)), key=thick.__contains__):
            _draw(part, corners[i].tolist(), colour, 3 if i in thick else 1, dashed=dashed)
    return part


def _surroundings(boxes: NDArray[np.float32], height: int, width: int) -> tuple[int, int, int, int]:
    """A square around all boxes, moved and cut so that it lies in the picture: x1, y1, x2, y2."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = max(_ROOM * float((high - low).max()), _LEAST * min(height, width), 1.0)
    corners = []
    for centre, pixels in zip(((low + high) / 2).tolist(), (width, height), strict=True):
        length = min(round(side) or 1, pixels)
        start = min(max(round(centre - length / 2), 0), pixels - length)
        corners.append((start, start + length))
    (x1, x2), (y1, y2) = corners
    return x1, y1, x2, y2


def _draw(image: Image, box: list[int], colour: Colour, thickness: int, *, dashed: bool) -> None:
    x1, y1, x2, y2 = box
    if thickness > 1:
        cv2.rectangle(image, (x1, y1), (x2, y2), BLACK, thickness + 2)
    if not dashed:
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thickness)
        return
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
        stops = np.linspace(start, end, max(length // _DASH, 2) // 2 * 2).round().astype(int).tolist()
        for one, other in zip(stops[::2], stops[1::2], strict=True):
            cv2.line(image, one, other, colour, thickness)
