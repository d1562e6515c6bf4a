"""From the model's outputs to results in pixels of the frame: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ContractError
from pipeline.preprocess import Geometry
from pipeline.types import Classification, Detections


def best_classes(
    scores_C: NDArray[np.float32], names: tuple[str, ...], top_k: int, threshold: float | NDArray[np.float32]
) -> Classification:
    """The `top_k` classes with the highest probability, best first, of those that reach their threshold.

    Args:
        scores_C: float32 [C], probabilities.
        threshold: the lowest score to keep; float32 [C]: that of each class.
    """
    (labels_N,) = ((scores_C >= threshold) & np.isfinite(scores_C)).nonzero()
    if len(labels_N) > top_k:  # to find the lowest of the best costs less than to sort them all
        scores_N = scores_C[labels_N]
        labels_M = labels_N[scores_N >= np.partition(scores_N, -top_k)[-top_k]]
    else:
        labels_M = labels_N
    best_K = labels_M[np.argsort(-scores_C[labels_M], kind="stable")][:top_k]
    return Classification(best_K, scores_C[best_K], names)


def find_objects(
    boxes_K4: NDArray[np.float32],
    scores_K: NDArray[np.float32],
    labels_K: NDArray[np.int64],
    geometry: Geometry,
    names: tuple[str, ...],
    threshold: float | NDArray[np.float32],
    iou: float | None,
    classes: Collection[int] | None = None,
) -> Detections:
    """The objects of one frame, best first, in pixels of the frame. A row that is not finite is no object.

    Args:
        boxes_K4: float32 [K, 4], xyxy in pixels of the input tensor.
        scores_K: float32 [K]; unused rows are 0.
        labels_K: int64 [K]; unused rows are -1.
        geometry: where the frame lies in the input tensor.
        threshold: the lowest score to keep; float32 [C]: that of each class.
        iou: overlapping boxes of one class are suppressed above this intersection over union; None: they already are.
        classes: the label ids to keep; None: all.

    Raises:
        ContractError: the model found a class for which it has no label.
    """
    finite_K = np.isfinite(scores_K) & np.isfinite(boxes_K4).all(1)
    if isinstance(threshold, np.ndarray):
        threshold = threshold.take(labels_K, mode="clip")  # a label too high is told below
    keep_K = finite_K & (scores_K >= threshold) & (labels_K >= 0)
    if classes is not None:
        keep_K &= np.isin(labels_K, list(classes))
    boxes_N4, scores_N, labels_N = boxes_K4[keep_K], scores_K[keep_K], labels_K[keep_K]
    if (highest := labels_N.max(initial=-1)) >= len(names):
        raise ContractError(
            f"the model found class {highest}, but has {len(names)} labels: adopt it with all its labels"
        )
    if iou is not None and len(scores_N) > 1:
        kept = _suppress(boxes_N4, scores_N, labels_N, iou)
    else:
        kept = np.argsort(-scores_N, kind="stable")
    return Detections(geometry.to_frame(boxes_N4[kept]), labels_N[kept], scores_N[kept], names)


def find_hidden(
    boxes_K4: NDArray[np.float32],
    scores_K: NDArray[np.float32],
    labels_K: NDArray[np.int64],
    geometry: Geometry,
    classes: Collection[int],
    threshold: float,
) -> NDArray[np.float32]:
    """Every box of `classes` from `threshold` on, float32 [N, 4] in pixels of the frame, to be hidden.

    Overlapping boxes stay: two people close together are two. A score that is not a number counts. A box that is not
    finite stays so, where clipping would move it to an edge: whoever hides it must see that something is wrong.
    Arguments as for `find_objects`.
    """
    boxes_N4 = boxes_K4[~(scores_K < threshold) & np.isin(labels_K, list(classes))]
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
