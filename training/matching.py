"""Which detection found which object, at one overlap, and what became of the others.

One picture has N detections, best first, and M objects; there are C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Detections
from training.annotated import AnnotatedImage

MATCH_IOU = 0.5
NOTHING, CROWD = -1, -2


def match(truth: AnnotatedImage, found: Detections, iou: float = MATCH_IOU) -> NDArray[np.int64]:
    """What each detection found, int64 [N]: the place of an object of its class, `NOTHING`, or part of a `CROWD`.

    The rule is COCO's: the detections, best first, take the free object that they overlap most. So those below any
    score change nothing for those above it.
    """
    overlap_NM = overlaps(found.boxes_N4, truth.boxes_N4, truth.crowd_N)
    overlap_NM[found.labels_N[:, None] != truth.labels_N] = 0
    return _assign(overlap_NM, truth.crowd_N, iou)


def confuse(
    truth: AnnotatedImage, found: Detections, matched_N: NDArray[np.int64], classes: int, iou: float = MATCH_IOU
) -> NDArray[np.int64]:
    """Counts int64 [C + 1, C + 1]: a row for each true class, a column for each found one, the last is background.

    What `match` has found is on the diagonal. Of the rest, detections take objects of other classes by the same rule;
    what is left then was found in the background, or missed. Nothing of a crowd counts.

    Args:
        matched_N: what `match` says of `found`.
    """
    right_N = matched_N >= 0
    lost = np.setdiff1d(np.flatnonzero(~truth.crowd_N), matched_N[right_N])
    rest = np.flatnonzero(matched_N == NOTHING)
    overlap = overlaps(found.boxes_N4[rest], truth.boxes_N4[lost], truth.crowd_N[lost])
    mistaken = _assign(overlap, truth.crowd_N[lost], iou)
    false, missed = mistaken == NOTHING, np.setdiff1d(np.arange(len(lost)), mistaken)
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts, (truth.labels_N[matched_N[right_N]], found.labels_N[right_N]), 1)
    np.add.at(counts, (truth.labels_N[lost[mistaken[~false]]], found.labels_N[rest[~false]]), 1)
    np.add.at(counts[classes], found.labels_N[rest[false]], 1)
    np.add.at(counts[:, classes], truth.labels_N[lost[missed]], 1)
    return counts


def overlaps(
    found_N4: NDArray[np.float32], truth_M4: NDArray[np.float32], crowd_M: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Intersection over union, float64 [N, M]; with a crowd, the part of the found box that lies in it, as in COCO."""
    found_N14, truth_M4 = found_N4[:, None].astype(np.float64), truth_M4.astype(np.float64)
    upper_left = np.maximum(found_N14[..., :2], truth_M4[:, :2])
    lower_right = np.minimum(found_N14[..., 2:], truth_M4[:, 2:])
    shared_NM = (lower_right - upper_left).clip(0).prod(-1)
    found_N1, truth_M = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (found_N14, truth_M4))
    union_NM = np.where(crowd_M, found_N1, found_N1 + truth_M - shared_NM)
    return np.divide(shared_NM, union_NM, out=np.zeros_like(shared_NM), where=union_NM > 0)


def _assign(overlap_NM: NDArray[np.float64], crowd_M: NDArray[np.bool_], iou: float) -> NDArray[np.int64]:
    matched_N = np.full(len(overlap_NM), NOTHING)
    reaching_NM = overlap_NM >= iou
    free_M = ~crowd_M
    for n in np.flatnonzero(reaching_NM.any(1)):
        if (reaching_NM[n] & free_M).any():
            matched_N[n] = np.where(free_M, overlap_NM[n], -1).argmax()
            free_M[matched_N[n]] = False
        elif (reaching_NM[n] & crowd_M).any():
            matched_N[n] = CROWD
    return matched_N
