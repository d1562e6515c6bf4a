"""What kind of mistake each wrong box is, after TIDE (Bolya et al. 2020, https://arxiv.org/abs/2008.08115)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.matching import MATCH_IOU, NOTHING, overlaps

Kind = Literal["missed", "duplicate", "localisation", "class", "background"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEAR_IOU = 0.1


@dataclass(frozen=True, slots=True)
class Mistake:
    """In a picture (its place among all), with a found box, an object or both (their places in the picture).

    `weight`: how bad it is among those of its kind: the score of the found box, or the area of a missed object.
    """

    kind: Kind
    picture: int
    found: int | None
    truth: int | None
    weight: float


def find_mistakes(
    picture: int, truth: AnnotatedImage, found: Detections, matched_N: NDArray[np.int64]
) -> Iterator[Mistake]:
    """Each detection that found nothing has one kind, the first that fits; IoU is its largest with the objects meant.

    - `localisation`: an object of its class, IoU from 0.1 to less than 0.5;
    - `class`: an object of another class, IoU of 0.5 and more;
    - `duplicate`: an object of its class that a better detection has found, IoU of 0.5 and more;
    - `background`: all others. TIDE tells those near an object of another class apart ("both").

    An object that was not found is `missed`, unless a box of the first two kinds was meant for it.

    Args:
        found: what is reported, best first. `matched_N`: what `match` says of it.
    """
    real = np.flatnonzero(~truth.crowd_N)
    overlap_NM = overlaps(found.boxes_N4, truth.boxes_N4[real], truth.crowd_N[real])
    same_NM = found.labels_N[:, None] == truth.labels_N[real]
    meant: set[int | None] = set()
    for n in np.flatnonzero(matched_N == NOTHING).tolist():
        kind, m = _judge(np.where(same_NM[n], overlap_NM[n], 0), np.where(same_NM[n], 0, overlap_NM[n]))
        place = None if m is None else int(real[m])
        meant.add(place)
        yield Mistake(kind, picture, n, place, float(found.scores_N[n]))
    for m in np.setdiff1d(real, matched_N).tolist():
        if m not in meant:
            yield Mistake("missed", picture, None, m, float(truth.area_N[m]))


def _judge(same_M: NDArray[np.float64], other_M: NDArray[np.float64]) -> tuple[Kind, int | None]:
    """The kind, and the object meant, by the overlaps with objects of the same class and of others."""
    if NEAR_IOU <= same_M.max(initial=0) < MATCH_IOU:
        return "localisation", int(same_M.argmax())
    if other_M.max(initial=0) >= MATCH_IOU:
        return "class", int(other_M.argmax())
    if same_M.max(initial=0) >= MATCH_IOU:
        return "duplicate", int(same_M.argmax())
    return "background", None
