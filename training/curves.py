"""What each score, taken as a threshold, would give: precision, recall, and the threshold that a user wants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

_POINTS = 200  # of a curve that is drawn


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score from which on the wanted precision is reached.

    `precision` is what it really gives, `recall` the share of the right ones that it keeps, `n` how many predictions
    reach it. Overall, a prediction is the best class of a picture; for a class, every picture is one with its score.
    """

    score: float
    precision: float
    recall: float
    n: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall float64 [T + 1] of the scores [T], rising, as thresholds; the last point has recall 0."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float32]

    @property
    def average_precision(self) -> float:
        """The area under the curve, as steps."""
        return float(-(np.diff(self.recall) * self.precision[:-1]).sum())


def pr_curve(true_N: NDArray[np.bool_], scores_N: NDArray[np.float32]) -> Curve:
    """The curve of N predictions, of which those of `true_N` are right; one or more are."""
    return Curve(*precision_recall_curve(true_N, scores_N))


def find_threshold(true_N: NDArray[np.bool_], scores_N: NDArray[np.float32], precision: float) -> Threshold | None:
    """The lowest score from which on at least `precision` of the predictions are right; None if no score does it."""
    return first_reaching(pr_curve(true_N, scores_N), scores_N, precision) if true_N.any() else None


def first_reaching(curve: Curve, scores_N: NDArray[np.float32], wanted: float) -> Threshold | None:
    """`find_threshold` on a curve that is there already."""
    reaching = np.flatnonzero(curve.precision[:-1] >= wanted)
    if not len(reaching):
        return None
    first = reaching[0]
    score = curve.scores[first]
    n = int((scores_N >= score).sum())
    return Threshold(float(score), float(curve.precision[first]), float(curve.recall[first]), n)


def thin(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """About 200 of the points of a curve, evenly spaced in `x`, which rises or falls within 0..1.

    Of points that lie together the last one is kept: of those with equal recall, the one with the highest threshold.
    """
    keep = np.diff(np.round(x * _POINTS), append=np.inf) != 0
    return x[keep], y[keep]
