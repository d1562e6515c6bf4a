"""How far the values of boxes can be trusted: pictures are resampled, for boxes of one go together.

Precision, recall and F1 follow from counts int64 [N, 3]: how many boxes of each picture are shown, how many of them are
right, and how many objects there are. COCO's average precisions have to be made anew of each of R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.coco import DetectionMetrics
from training.coco_weighted import AVERAGES, average_weighted, class_curves
from training.intervals import RESAMPLES, Interval, around, bootstrap_sums, wilson

_AT_ONCE = 250_000  # numbers held in one go, to bound the memory


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


def resample_averages(average: DetectionMetrics, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """`AVERAGES` [R, 3] of R resamples, the same of all detectors on the same pictures; not a number where a resample
    has no objects.
    """
    classes = [class_curves(each) for each in average.matches()]
    random, n = np.random.default_rng(seed), average.images
    longest = max((len(curve.pictures_P) for each in classes for curve in each.curves), default=0)
    step = max(_AT_ONCE // max(n, longest, 1), 1)
    drawn = list[NDArray[np.float64]]()
    for start in range(0, resamples, step):
        weights_RN = random.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - start))
        drawn.append(average_weighted(classes, np.ascontiguousarray(weights_RN.T, np.float64)))
    return np.concatenate(drawn)


def average_intervals(average: DetectionMetrics, drawn_R3: NDArray[np.float64]) -> dict[str, Interval]:
    """Of `AVERAGES`, around what was measured: resamples have higher ones. What is 0 or 1 is so in all resamples, and
    has Wilson's interval. Empty without objects.
    """
    measured = [value for value in (average.map, average.map50, average.map75) if value is not None]
    if not measured:
        return {}
    bounds_32 = around(np.array(measured), _known(drawn_R3)).clip(0, 1)
    return {
        name: wilson(int(value) * average.boxes, average.boxes) if value in (0, 1) else (low, high)
        for name, value, (low, high) in zip(AVERAGES, measured, bounds_32.tolist(), strict=True)
    }


def average_difference(difference: float, first_R3: NDArray[np.float64], second_R3: NDArray[np.float64]) -> Interval:
    """Around the measured `difference`, the second mAP minus the first; both in the same resamples."""
    ((low, high),) = around(np.array([difference]), _known(second_R3 - first_R3)[:, :1]).tolist()
    return low, high


def _known(drawn_R3: NDArray[np.float64]) -> NDArray[np.float64]:
    return drawn_R3[~np.isnan(drawn_R3).any(1)]


def _f1(sums_R3: NDArray[np.int64]) -> NDArray[np.float64]:
    shown_R, right_R, objects_R = sums_R3.T
    return 2 * right_R / np.maximum(shown_R + objects_R, 1)
