"""What the scores of a classifier are worth: pure functions of arrays, N pictures, C classes.

Averages go over the classes that the data has pictures of: a model of 1000 classes can be judged on 10 of them.
Intervals are 95 % bootstrap intervals. Those of a group's accuracy are Wilson's, which hold for a handful of pictures;
so are those of all values where every picture is right, or none, and of the F1 of a class without a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from training.calibration import scores_error
from training.curves import Threshold, find_threshold, first_reaching, pr_curve
from training.intervals import Interval, bootstrap, wilson

NO_GROUP = "(none)"


@dataclass(frozen=True, slots=True)
class Averages:
    """Over classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against all others. Of a class without pictures (`n` 0) all values are 0."""

    label: str
    n: int
    predicted: int
    precision: float
    recall: float
    f1: float
    f1_interval: Interval
    average_precision: float
    threshold: Threshold | None


@dataclass(frozen=True, slots=True)
class SliceMetrics:
    """The pictures of one group. `below`: the interval of its accuracy lies wholly below that of all other pictures."""

    slice: str
    n: int
    accuracy: float
    accuracy_interval: Interval
    f1: float
    f1_interval: Interval
    below: bool


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of one model on one set of pictures. `precision`, `recall` and `f1` are macro values.

    `confusion` counts pictures: a row for each true class, a column for each predicted one. `slices` is None where the
    pictures belong to no groups, worst first otherwise. `wanted` is the precision that the thresholds reach; a
    threshold is None where no score reaches it.
    """

    n: int
    accuracy: float
    top5: float
    precision: float
    recall: float
    f1: float
    weighted: Averages
    ece: float
    intervals: dict[str, Interval]
    wanted: float
    threshold: Threshold | None
    per_class: tuple[ClassMetrics, ...]
    slices: tuple[SliceMetrics, ...] | None
    confusion: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """The keys of `metrics.json`."""
        values = asdict(self)
        wanted, threshold = values.pop("wanted"), values.pop("threshold")
        values["thresholds"] = {"precision": wanted, "overall": threshold}
        values["confusion"] = values.pop("confusion").tolist()
        return values


def evaluate_scores(
    scores_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    classes: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    precision: float = 0.95,
    seed: int = 0,
) -> Metrics:
    """What probabilities float32 [N, C] are worth for pictures of the true classes int64 [N], N at least 1.

    Args:
        classes: the C names.
        groups: to which group each of the N pictures belongs, if to any.
        precision: what the thresholds have to reach.
        seed: of the resampling.
    """
    n, predicted_N = len(labels_N), scores_NC.argmax(1)
    hits_N = in_top(scores_NC, labels_N, 5)
    confusion = confusion_matrix(labels_N, predicted_N, labels=range(len(classes)))
    resampled = bootstrap(labels_N, predicted_N, hits_N, len(classes), seed)
    macro = _averages(labels_N, predicted_N, "macro")
    correct_N = predicted_N == labels_N
    return Metrics(
        n=n,
        accuracy=float(correct_N.mean()),
        top5=float(hits_N.mean()),
        **asdict(macro),
        weighted=_averages(labels_N, predicted_N, "weighted"),
        ece=scores_error(scores_NC, labels_N),
        intervals=resampled.overall,
        wanted=precision,
        threshold=find_threshold(correct_N, scores_NC.max(1), precision),
        per_class=tuple(_per_class(scores_NC, labels_N, confusion, classes, resampled.f1_per_class, precision)),
        slices=None if groups is None else _slices(groups, labels_N, predicted_N, hits_N, len(classes), seed),
        confusion=confusion,
    )


def in_top(scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Whether (bool [N]) the true class is among the k best, equal scores in the order of the classes."""
    rows_N = np.arange(len(labels_N))
    true_N1 = scores_NC[rows_N, labels_N][:, None]
    before_NC = np.arange(scores_NC.shape[1]) < labels_N[:, None]
    ahead_N = (scores_NC > true_N1).sum(1) + ((scores_NC == true_N1) & before_NC).sum(1)
    return np.asarray(ahead_N < k)


def _averages(labels_N: NDArray, predicted_N: NDArray, average: str) -> Averages:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels_N, predicted_N, labels=np.unique(labels_N), average=average, zero_division=0
    )
    return Averages(float(precision), float(recall), float(f1))


def _per_class(
    scores_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    confusion: NDArray[np.int64],
    classes: Sequence[str],
    intervals_C2: NDArray[np.float64],
    wanted: float,
) -> list[ClassMetrics]:
    n_C, predicted_C, right_C = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    precision_C, recall_C = right_C / np.maximum(predicted_C, 1), right_C / np.maximum(n_C, 1)
    f1_C = 2 * right_C / np.maximum(n_C + predicted_C, 1)
    counted = (each_C.tolist() for each_C in (n_C, predicted_C, precision_C, recall_C, f1_C))
    found = []
    rows = zip(classes, *counted, intervals_C2.tolist(), strict=True)
    for c, (label, n, predicted, precision, recall, f1, (low, high)) in enumerate(rows):
        average_precision, threshold = 0.0, None
        if n_C[c]:
            curve = pr_curve(labels_N == c, scores_NC[:, c])
            average_precision = curve.average_precision
            threshold = first_reaching(curve, scores_NC[:, c], wanted)
        found.append(
            ClassMetrics(label, n, predicted, precision, recall, f1, (low, high), average_precision, threshold)
        )
    return found


def _slices(
    groups: Sequence[str | None],
    labels_N: NDArray[np.int64],
    predicted_N: NDArray[np.int64],
    hits_N: NDArray[np.bool_],
    classes: int,
    seed: int,
) -> tuple[SliceMetrics, ...]:
    names, group_N = np.unique([NO_GROUP if group is None else group for group in groups], return_inverse=True)
    right, total = int((labels_N == predicted_N).sum()), len(labels_N)
    found = []
    for g, name in enumerate(names):
        inside = group_N == g
        labels, predicted = labels_N[inside], predicted_N[inside]
        n, correct = len(labels), int((labels == predicted).sum())
        interval = wilson(correct, n)
        below = n < total and interval[1] < wilson(right - correct, total - n)[0]
        f1_interval = bootstrap(labels, predicted, hits_N[inside], classes, seed).overall["f1"]
        f1 = _averages(labels, predicted, "macro").f1
        found.append(SliceMetrics(str(name), n, correct / n, interval, f1, f1_interval, below))
    return tuple(sorted(found, key=lambda each: (each.accuracy, -each.n)))
