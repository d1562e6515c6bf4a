"""What the boxes of a detector are worth as a stream shows them: at a threshold, and at every other.

Precision, recall and F1 count boxes and objects of all classes together: a frequent class weighs more than a rare one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.coco import DetectionMetrics
from training.intervals import Interval
from training.intervals_boxes import average_intervals, count_intervals, resample_averages
from training.matching import CROWD, confuse, match
from training.mistakes import KINDS, Kind, Mistake, find_mistakes
from training.thresholds import Point, ThresholdCurve, threshold_curve


@dataclass(frozen=True, slots=True)
class ClassBoxes:
    """One class: `n` objects, `predicted` boxes at the threshold. Its average precisions are None without objects.

    `threshold`: the lowest that reaches the wanted precision; None if no score does.
    """

    label: str
    n: int
    predicted: int
    precision: float
    recall: float
    f1: float
    map: float | None
    map50: float | None
    threshold: Point | None


@dataclass(frozen=True, slots=True, eq=False)
class BoxMetrics:
    """Of one detector on one set of pictures.

    Args:
        average: COCO's average precisions.
        curve: of the boxes that a stream could show.
        point: at the threshold asked for.
        intervals: of `precision`, `recall` and `f1` at the threshold, and of `map`, `map50` and `map75` if there was
            something to find.
        best: at the threshold with the highest F1; None if nothing was found.
        wanted, reaching: a precision, and the lowest threshold that has it; None if no score does.
        per_class: in the order of the labels.
        confusion: int64 [C + 1, C + 1] at the threshold, a row for each true class; background comes last.
        mistakes: at the threshold, in the order of the pictures.
        counts_N3: int64 [N, 3], for each picture boxes at the threshold, right ones, and objects.
        drawn_R3: float64 [R, 3], `map`, `map50` and `map75` of resamples of the pictures.
    """

    average: DetectionMetrics
    curve: ThresholdCurve
    point: Point
    intervals: Mapping[str, Interval]
    best: Point | None
    wanted: float
    reaching: Point | None
    per_class: tuple[ClassBoxes, ...]
    confusion: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]
    counts_N3: NDArray[np.int64]
    drawn_R3: NDArray[np.float64]

    @property
    def errors(self) -> dict[Kind, int]:
        """How many mistakes there are of each kind."""
        counted = Counter(mistake.kind for mistake in self.mistakes)
        return {kind: counted[kind] for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        """The keys of `metrics.json`."""
        average, point = self.average, self.point
        return {
            "n": average.images,
            "objects": average.boxes,
            "map": average.map,
            "map50": average.map50,
            "map75": average.map75,
            "by_size": dict(average.by_size),
            "precision": point.precision,
            "recall": point.recall,
            "f1": point.f1,
            "threshold": point.threshold,
            "predicted": point.n,
            "intervals": dict(self.intervals),
            "best": self.best and asdict(self.best),
            "thresholds": {"precision": self.wanted, "overall": self.reaching and asdict(self.reaching)},
            "per_class": [asdict(each) for each in self.per_class],
            "confusion": self.confusion.tolist(),
            "errors": self.errors,
        }


def evaluate_boxes(
    truth: Sequence[AnnotatedImage],
    found: Sequence[Detections],
    labels: Sequence[str],
    average: DetectionMetrics,
    *,
    threshold: float,
    precision: float = 0.95,
    seed: int = 0,
) -> BoxMetrics:
    """What was found in N pictures, N at least 1, is worth.

    Args:
        found: of each picture, best first, in its pixels, down to a low score for the curve; overlaps suppressed as a
            stream does it.
        labels: what both number their classes by.
        average: COCO's part, which has rules of its own.
        threshold: from which score on boxes are shown.
        precision: what further thresholds have to reach.
        seed: of the resampling.
    """
    matched = [match(image, each) for image, each in zip(truth, found, strict=True)]
    curve, *per_class = _curves(truth, found, matched, len(labels))
    confusion = np.zeros((len(labels) + 1,) * 2, np.int64)
    mistakes, counts = list[Mistake](), list[tuple[int, int, int]]()
    for i, (image, each, matched_N) in enumerate(zip(truth, found, matched, strict=True)):
        shown_N = each.scores_N >= threshold
        shown, matched_N = each.where(shown_N), matched_N[shown_N]
        confusion += confuse(image, shown, matched_N, len(labels))
        mistakes += find_mistakes(i, image, shown, matched_N)
        counts.append((int((matched_N != CROWD).sum()), int((matched_N >= 0).sum()), int((~image.crowd_N).sum())))
    counts_N3, drawn_R3 = np.array(counts, np.int64), resample_averages(average, seed)
    return BoxMetrics(
        average=average,
        curve=curve,
        point=curve.at(threshold),
        intervals=average_intervals(average, drawn_R3) | count_intervals(counts_N3, seed),
        best=curve.best(),
        wanted=precision,
        reaching=curve.reaching(precision),
        per_class=tuple(
            _judge_class(label, each, average, threshold, precision)
            for label, each in zip(labels, per_class, strict=True)
        ),
        confusion=confusion,
        mistakes=tuple(mistakes),
        counts_N3=counts_N3,
        drawn_R3=drawn_R3,
    )


def best_point(truth: Sequence[AnnotatedImage], found: Sequence[Detections], classes: int) -> Point | None:
    """The threshold with the highest F1 of all that occur; None if no box is right. Arguments as `evaluate_boxes`."""
    matched = [match(image, each) for image, each in zip(truth, found, strict=True)]
    return next(_curves(truth, found, matched, classes)).best()


def _curves(
    truth: Sequence[AnnotatedImage], found: Sequence[Detections], matched: Sequence[NDArray[np.int64]], classes: int
) -> Iterator[ThresholdCurve]:
    """That of all classes, and then of each. What lies in a crowd counts neither way."""
    matched_N = np.concatenate(matched)
    counted_N = matched_N != CROWD
    right_N = matched_N[counted_N] >= 0
    scores_N = np.concatenate([each.scores_N for each in found])[counted_N]
    labels_N = np.concatenate([each.labels_N for each in found])[counted_N]
    objects_C = np.bincount(np.concatenate([image.labels_N[~image.crowd_N] for image in truth]), minlength=classes)
    yield threshold_curve(right_N, scores_N, int(objects_C.sum()))
    by_class = np.argsort(labels_N, kind="stable")
    ends = np.cumsum(np.bincount(labels_N, minlength=classes))[:-1]
    for objects, places in zip(objects_C.tolist(), np.split(by_class, ends), strict=True):
        yield threshold_curve(right_N[places], scores_N[places], objects)


def _judge_class(
    label: str, curve: ThresholdCurve, average: DetectionMetrics, threshold: float, precision: float
) -> ClassBoxes:
    point, at50 = curve.at(threshold), average.curves50.get(label)
    return ClassBoxes(
        label=label,
        n=curve.objects,
        predicted=point.n,
        precision=point.precision,
        recall=point.recall,
        f1=point.f1,
        map=average.per_class[label] if curve.objects else None,
        map50=float(at50.mean()) if at50 is not None and curve.objects else None,
        threshold=curve.reaching(precision),
    )
