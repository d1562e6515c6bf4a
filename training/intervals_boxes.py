"""How far precision, recall and F1 of boxes can be trusted: pictures are resampled, for boxes of one go together.

Counts int64 [N, 3] say of each picture how many boxes are shown, how many of them are right, and how many objects
there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval, bootstrap_sums, wilson


def count_intervals(counts_N3: NDArray[np.int64], seed: int = 0) -> dict[str, Interval]:
    """Of `precision`, `recall` and `f1`. What is right throughout, or wrong, is so in all resamples: Wilson's then."""

    def measure(sums_R3: NDArray[np.int64]) -> NDArray[np.float64]:
        shown_R, right_R, objects_R = sums_R3.T
        shares = right_R / np.maximum(shown_R, 1), right_R / np.maximum(objects_R, 1)
        return np.stack([*shares, _f1(sums_R3)], 1)

    intervals = dict(zip(("precision", "recall", "f1"), bootstrap_sums(counts_N3, measure, seed), strict=True))
    shown, right, objects = counts_N3.sum(0).tolist()
    for name, n, wrong in (
        ("precision", shown, shown - right),
        ("recall", objects, objects - right),
        ("f1", objects, shown + objects - 2 * right),
    ):
        if n and (not right or not wrong):
            intervals[name] = wilson(right, n)
    return intervals


def difference_interval(first_N3: NDArray[np.int64], second_N3: NDArray[np.int64], seed: int = 0) -> Interval:
    """Of the second F1 minus the first, both judged on the same pictures."""

    def measure(sums_R6: NDArray[np.int64]) -> NDArray[np.float64]:
        return (_f1(sums_R6[:, 3:]) - _f1(sums_R6[:, :3]))[:, None]

    (interval,) = bootstrap_sums(np.concatenate([first_N3, second_N3], 1), measure, seed)
    return interval


def _f1(sums_R3: NDArray[np.int64]) -> NDArray[np.float64]:
    shown_R, right_R, objects_R = sums_R3.T
    return 2 * right_R / np.maximum(shown_R + objects_R, 1)
