"""What each score, taken as a threshold for boxes, would give: precision, recall, F1, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Point:
    """What the `n` boxes with a score of at least `threshold` are worth; without a box, precision is 0."""

    threshold: float
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCurve:
    """Counts [T] at each score that occurs, the highest first.

    Args:
        scores: float32 [T].
        right: int64 [T], how many of the boxes with at least this score found an object.
        n: int64 [T], how many boxes that are.
        objects: how many there are to find.
    """

    scores: NDArray[np.float32]
    right: NDArray[np.int64]
    n: NDArray[np.int64]
    objects: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """Float64 [T]."""
        return self.right / self.n

    @property
    def recall(self) -> NDArray[np.float64]:
        """Float64 [T]; 0 without objects."""
        return self.right / max(self.objects, 1)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Float64 [T], the harmonic mean of both."""
        return 2 * self.right / (self.n + self.objects)

    def at(self, threshold: float) -> Point:
        """The boxes from this score on."""
        reaching = int((self.scores >= threshold).sum())
        return self._point(reaching - 1, threshold) if reaching else Point(threshold, 0.0, 0.0, 0.0, 0)

    def best(self) -> Point | None:
        """The threshold with the highest F1, of several the highest; None if no box is right."""
        return self._point(int(self.f1.argmax())) if self.right.any() else None

    def reaching(self, precision: float) -> Point | None:
        """The lowest threshold with at least this precision; None if no score has it."""
        reaching = np.flatnonzero(self.precision >= precision)
        return self._point(int(reaching[-1])) if len(reaching) else None

    def _point(self, t: int, threshold: float | None = None) -> Point:
        return Point(
            float(self.scores[t]) if threshold is None else threshold,
            float(self.precision[t]),
            float(self.recall[t]),
            float(self.f1[t]),
            int(self.n[t]),
        )


def threshold_curve(right_N: NDArray[np.bool_], scores_N: NDArray[np.float32], objects: int) -> ThresholdCurve:
    """The curve of N boxes, of which those of `right_N` found one of the `objects`."""
    order = np.argsort(-scores_N, kind="stable")
    scores_N = scores_N[order]
    last_N = np.append(scores_N[1:] != scores_N[:-1], np.ones(min(len(order), 1), np.bool_))  # of equal scores
    n_N = np.arange(1, len(order) + 1)
    return ThresholdCurve(scores_N[last_N], np.cumsum(right_N[order])[last_N], n_N[last_N], objects)
