"""From the model's outputs for a batch to results in pixels of its frames: pure functions of arrays.

Rows of all frames of a batch lie behind one another (R: all, M: those kept), and are gone through together: in each
step through a larger array numpy lets go of Python's lock, for which the threads of a run then wait in turns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ContractError
from pipeline.preprocess import Geometry
from pipeline.types import Classification, Detections


def best_classes(
    scores_BC: NDArray[np.float32], names: tuple[str, ...], top_k: int, threshold: float | NDArray[np.float32]
) -> list[Classification]:
    """Of each frame the `top_k` classes with the highest probability, best first, that reach their threshold.

    Args:
        scores_BC: float32 [B, C], probabilities.
        threshold: the lowest score to keep; float32 [C]: that of each class.
    """
    keep_BC = (scores_BC >= threshold) & np.isfinite(scores_BC)
    if scores_BC.shape[1] > top_k:  # to find the lowest of the best costs less than to sort them all
        scores_BC = np.where(keep_BC, scores_BC, -np.inf)
        keep_BC &= scores_BC >= np.partition(scores_BC, -top_k)[:, -top_k, None]
    kept_M = np.flatnonzero(keep_BC)
    frames_M, labels_M = np.divmod(kept_M, scores_BC.shape[1])
    scores_M = scores_BC.ravel()[kept_M]
    best_M = np.lexsort((-scores_M, frames_M))  # of equal ones the lower label is first
    labels_M, scores_M = labels_M[best_M], scores_M[best_M]
    parts = _parts(kept_M, *scores_BC.shape)
    return [Classification(labels_M[part][:top_k], scores_M[part][:top_k], names) for part in parts]


def find_objects(
    boxes_BK4: NDArray[np.float32],
    scores_BK: NDArray[np.float32],
    labels_BK: NDArray[np.int64],
    geometries: Sequence[Geometry],
    names: tuple[str, ...],
    threshold: float | NDArray[np.float32],
    iou: float | None,
    classes: Collection[int] | None = None,
) -> list[Detections]:
    """The objects of each frame, best first, in pixels of the frame. A row that is not finite is no object.

    Args:
        boxes_BK4: float32 [B, K, 4], xyxy in pixels of the input tensor.
        scores_BK: float32 [B, K]; unused rows are 0.
        labels_BK: int64 [B, K]; unused rows are -1.
        geometries: where each of the B frames lies in the input tensor.
        threshold: the lowest score to keep; float32 [C]: that of each class.
        iou: overlapping boxes of one class are suppressed above this intersection over union; None: they already are.
        classes: the label ids to keep; None: all.

    Raises:
        ContractError: the model found a class for which it has no label.
    """
    boxes_R4, scores_R, labels_R = boxes_BK4.reshape(-1, 4), scores_BK.ravel(), labels_BK.ravel()
    if isinstance(threshold, np.ndarray):
        threshold = threshold.take(labels_R, mode="clip")  # a label too high is told below
    kept_M = np.flatnonzero((scores_R >= threshold) & np.isfinite(scores_R) & (labels_R >= 0))
    keep_M = np.isfinite(boxes_R4[kept_M]).all(1)
    if classes is not None:
        keep_M &= np.isin(labels_R[kept_M], list(classes))
    kept_M = kept_M[keep_M]
    boxes_M4, scores_M, labels_M = boxes_R4[kept_M], scores_R[kept_M], labels_R[kept_M]
    if (highest := labels_M.max(initial=-1)) >= len(names):
        raise ContractError(
            f"the model found class {highest}, but has {len(names)} labels: adopt it with all its labels"
        )
    return [
        _best_objects(boxes_M4[part], scores_M[part], labels_M[part], geometry, names, iou)
        for part, geometry in zip(_parts(kept_M, *scores_BK.shape), geometries, strict=True)
    ]


def find_hidden(
    boxes_BK4: NDArray[np.float32],
    scores_BK: NDArray[np.float32],
    labels_BK: NDArray[np.int64],
    geometries: Sequence[Geometry],
    classes: Collection[int],
    threshold: float,
) -> list[NDArray[np.float32]]:
    """Of each frame every box of `classes` from `threshold` on, float32 [N, 4] in pixels of the frame, to be hidden.

    Overlapping boxes stay: two people close together are two. A score that is not a number counts. A box that is not
    finite stays so, where clipping would move it to an edge: whoever hides it must see that something is wrong.
    Arguments as for `find_objects`.
    """
    kept_M = np.flatnonzero(~(scores_BK < threshold) & np.isin(labels_BK, list(classes)))
    boxes_M4 = boxes_BK4.reshape(-1, 4)[kept_M]
    parts = zip(_parts(kept_M, *scores_BK.shape), geometries, strict=True)
    return [_in_frame_or_not_finite(boxes_M4[part], geometry) for part, geometry in parts]


def _parts(kept_M: NDArray[np.intp], batch: int, size: int) -> list[slice]:
    """Which of the ascending indices into a flat [batch, size] belong to each frame."""
    ends = np.searchsorted(kept_M, size * np.arange(batch + 1)).tolist()
    return [slice(*each) for each in pairwise(ends)]


def _best_objects(
    boxes_N4: NDArray[np.float32],
    scores_N: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    geometry: Geometry,
    names: tuple[str, ...],
    iou: float | None,
) -> Detections:
    if iou is not None and len(scores_N) > 1:
        kept = _suppress(boxes_N4, scores_N, labels_N, iou)
    else:
        kept = np.argsort(-scores_N, kind="stable")
    return Detections(geometry.to_frame(boxes_N4[kept]), labels_N[kept], scores_N[kept], names)


def _in_frame_or_not_finite(boxes_N4: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    return np.where(np.isfinite(boxes_N4), geometry.to_frame(boxes_N4), np.float32(np.nan))


def _suppress(
    boxes_N4: NDArray[np.float32], scores_N: NDArray[np.float32], labels_N: NDArray[np.int64], iou: float
) -> NDArray[np.intp]:
    xywh_N4 = boxes_N4.copy()
    xywh_N4[:, 2:] -= boxes_N4[:, :2]
    # OpenCV keeps the classes apart by shifting each to the right of the one before: that needs a non-negative origin.
    xywh_N4[:, :2] -= xywh_N4[:, :2].min()
    # The scores are above the threshold already; below zero, no score is lost to rounding.
    kept = cv2.dnn.NMSBoxesBatched(xywh_N4, scores_N, labels_N.astype(np.int32), -1.0, iou)  # type: ignore[arg-type]
    return np.asarray(kept, dtype=np.intp)
