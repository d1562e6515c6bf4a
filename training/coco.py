"""What the boxes of a detector are worth: COCO's mean average precision, by the evaluator faster-coco-eval."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from pipeline.types import Detections
from training.annotated import AnnotatedImage

MAX_DETECTIONS = 100
IOUS = np.linspace(0.5, 0.95, 10)
"""float64 [T], COCO's thresholds of the intersection over union."""
RECALLS = np.linspace(0, 1, 101)
"""float64 [R], where COCO reads the precision off a curve."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What the evaluator made of one class: of D boxes, best first, in N pictures at the T thresholds `IOUS`.

    Args:
        pictures_D: int64 [D], the place of the picture that each box is of.
        right_TD: bool [T, D], which boxes found an object.
        counted_TD: bool [T, D], which boxes count; those in a crowd do not.
        objects_N: int64 [N], how many objects there are to find in each picture.
    """

    pictures_D: NDArray[np.int64]
    right_TD: NDArray[np.bool_]
    counted_TD: NDArray[np.bool_]
    objects_N: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionMetrics:
    """COCO's average precisions, 0 to 1; None where there was nothing to find.

    Args:
        map: mean over the classes and over the thresholds `IOUS` of the intersection over union (IoU), 0.50 to 0.95.
        map50, map75: at IoU 0.50 and 0.75.
        by_size: as `map`, of `small` objects (area up to 32² pixels), `medium` and `large` (from 96²).
        per_class: as `map`, for each label.
        curves50: precision float64 [R] at `RECALLS` and IoU 0.50, of each label that there was something to find of.
        images, boxes: how many pictures there were, and how many objects to find in them.
        judged_CN: what the evaluator made of each picture, for each class that occurs in the truth.
    """

    map: float | None
    map50: float | None
    map75: float | None
    by_size: Mapping[str, float | None]
    per_class: Mapping[str, float | None]
    curves50: Mapping[str, NDArray[np.float64]]
    images: int
    boxes: int
    judged_CN: NDArray[np.object_]

    def matches(self) -> tuple[Matches, ...]:
        """Of each class that occurs in the truth; what the average precisions follow from. Read anew with each call."""
        return tuple(map(_read_matches, self.judged_CN))


def average_precision(
    truth: Sequence[AnnotatedImage],
    found: Sequence[Detections],
    labels: Sequence[str],
    max_detections: int = MAX_DETECTIONS,
) -> DetectionMetrics:
    """Judges what was found in pictures by what is in them.

    Args:
        found: of each picture, in the order of `truth`, boxes in pixels of that picture. For the whole of the curve,
            they have to go down to a low score, such as 0.001.
        labels: what both number their classes by. No two that occur in `truth` may be the same.
        max_detections: how many boxes of a class count in a picture, those with the highest scores. COCO's figures are
            made with 100.

    Raises:
        ValueError: numbers of pictures that differ, a class without a label, or boxes and scores that are not finite.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} pictures, but detections of {len(found)}")
    for each in found:
        if not (np.isfinite(each.boxes_N4).all() and np.isfinite(each.scores_N).all()):
            raise ValueError("boxes and scores of detections must be finite")
    if any(each.labels_N.size and not 0 <= each.labels_N.min() <= each.labels_N.max() < len(labels) for each in found):
        raise ValueError(f"detections of a class that is none of the {len(labels)} labels")
    wanted = np.unique(np.concatenate([np.empty(0, np.int64), *(image.labels_N for image in truth)]))
    precision, sizes, judged_CN = _evaluate(truth, found, wanted.tolist(), max_detections)
    overall = precision[..., sizes.index("all")]
    per_class: dict[str, float | None] = dict.fromkeys(labels)
    per_class |= {labels[label]: _mean(overall[..., k]) for k, label in enumerate(wanted.tolist())}
    (at50_RC,) = overall[np.isclose(IOUS, 0.5)]
    curves50 = {labels[label]: at50_RC[:, k] for k, label in enumerate(wanted.tolist()) if at50_RC[0, k] > -1}
    return DetectionMetrics(
        map=_mean(overall),
        map50=_mean(at50_RC),
        map75=_mean(overall[np.isclose(IOUS, 0.75)]),
        by_size={size: _mean(precision[..., i]) for i, size in enumerate(sizes) if size != "all"},
        per_class=per_class,
        curves50=curves50,
        images=len(truth),
        boxes=sum(int((~image.crowd_N).sum()) for image in truth),
        judged_CN=judged_CN,
    )


def _evaluate(
    truth: Sequence[AnnotatedImage], found: Sequence[Detections], wanted: list[int], max_detections: int
) -> tuple[NDArray[np.float64], list[str], NDArray[np.object_]]:
    """Precision [T, R, C, A] for T thresholds of the IoU, R recalls, C classes (those of `wanted`) and A sizes of
    objects, -1 where there is none; the names of the sizes; what the evaluator made of
    each class in each picture [C, N].
    """
    objects = [
        {"image_id": i, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for i, image in enumerate(truth)
        for label, box, area, crowd in _rows(image.labels_N, image.boxes_N4, image.area_N, image.crowd_N)
    ]
    known = set(wanted)
    detections = [
        {"image_id": i, "category_id": label, "bbox": box, "area": box[2] * box[3], "score": score}
        for i, each in enumerate(found)
        for label, box, score in _rows(each.labels_N, each.boxes_N4, each.scores_N)
        if label in known
    ]
    evaluator = COCOeval_faster(
        _index(objects, len(truth), wanted),
        _index(detections, len(truth), wanted),
        "bbox",
        print_function=_LOG.debug,
        separate_eval=True,
    )
    parameters = evaluator.params
    parameters.iouThrs, parameters.recThrs, parameters.maxDets = IOUS, RECALLS, [max_detections]
    sizes = list(parameters.areaRngLbl)
    if not wanted:
        return np.empty((len(IOUS), len(RECALLS), 0, len(sizes))), sizes, np.empty((0, len(truth)), np.object_)
    evaluator.evaluate()
    evaluator.accumulate()
    judged_CAN = np.array(evaluator._evalImgs_cpp).reshape(len(wanted), len(sizes), len(truth))
    return evaluator.eval["precision"][..., 0], sizes, judged_CAN[:, sizes.index("all")]


def _read_matches(judged_N: NDArray[np.object_]) -> Matches:
    """Of one class. What the evaluator holds of a picture can only be read as it would be pickled."""
    found, _, scores, crowds, ignored, _ = zip(*(each.__getstate__() for each in judged_N), strict=True)
    boxes_N = np.array([len(each) for each in scores])
    pictures_D = np.repeat(np.arange(len(judged_N)), boxes_N)
    order_D = np.argsort(-np.fromiter(chain.from_iterable(scores), np.float64), kind="stable")
    before_D = (boxes_N.cumsum() - boxes_N)[pictures_D]  # each picture has its boxes T times in a row
    places_TD = (
        np.arange(len(order_D)) + (len(IOUS) - 1) * before_D + np.arange(len(IOUS))[:, None] * boxes_N[pictures_D]
    )
    matched_TD, ignored_TD = (
        np.fromiter(map(bool, chain.from_iterable(each)), np.bool_)[places_TD[:, order_D]] for each in (found, ignored)
    )
    return Matches(
        pictures_D=pictures_D[order_D],
        right_TD=matched_TD & ~ignored_TD,
        counted_TD=~ignored_TD,
        objects_N=np.array([len(each) - sum(each) for each in crowds]),
    )


def _rows(labels_N: NDArray[np.int64], boxes_N4: NDArray[np.float32], *more: NDArray[Any]) -> Iterable[tuple[Any, ...]]:
    """Label, box (x, y, width, height) and whatever comes with it, as numbers of Python."""
    xywh_N4 = boxes_N4.astype(np.float64)
    xywh_N4[:, 2:] -= xywh_N4[:, :2]
    return zip(labels_N.tolist(), xywh_N4.tolist(), *(each.tolist() for each in more), strict=True)


def _index(annotations: list[dict[str, Any]], images: int, wanted: list[int]) -> COCO:
    """COCO's own form. Ids count from 1: the evaluator takes 0 for 'not matched'."""
    for number, each in enumerate(annotations, 1):
        each["id"] = number
    return COCO(
        {
            "images": [{"id": i} for i in range(images)],
            "annotations": annotations,
            "categories": [{"id": label} for label in wanted],
        }
    )


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Over all that there was to find."""
    there = precision[precision > -1]
    return float(there.mean()) if there.size else None
