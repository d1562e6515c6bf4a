"""How far a measured value can be trusted: 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

LEVEL = 0.95
RESAMPLES = 1000
MEASURES = ("accuracy", "top5", "precision", "recall", "f1", "weighted_f1")

_OF_ANSWERS = tuple(name for name in MEASURES if name != "top5")
_NORMAL = 1.959963984540054  # the standard normal distribution has LEVEL of its mass within ± this
_AT_ONCE = 10_000_000  # counts drawn in one go, to bound the memory

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Resampled:
    """`overall`: an interval for each measure; `f1_per_class` float64 [C, 2]."""

    overall: dict[str, Interval]
    f1_per_class: NDArray[np.float64]


def wilson(right: int, n: int) -> Interval:
    """Wilson's score interval of the share right ÷ n; sound for small n and for shares of 0 and 1, too."""
    share, spread = right / n, _NORMAL**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _NORMAL / (1 + spread) * (share * (1 - share) / n + spread / (4 * n)) ** 0.5
    return (0.0 if right == 0 else centre - half, 1.0 if right == n else centre + half)


def bootstrap(
    labels_N: NDArray[np.int64],
    predicted_N: NDArray[np.int64],
    hits_N: NDArray[np.bool_],
    classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Intervals of accuracy, top-5 accuracy (`hits_N`), macro precision, recall and F1, weighted F1, F1 of each class.

    Pictures of the same true class, prediction and hit are alike to these measures. So a resample of N pictures is one
    multinomial draw over these kinds, of which there are far fewer than pictures. What is 0 or 1 throughout has
    Wilson's interval.
    """
    keys = np.stack([labels_N, predicted_N, hits_N.astype(np.int64)])
    kinds_3K, counts_K = np.unique(keys, axis=1, return_counts=True)
    measured = _measure(counts_K[None], kinds_3K, classes)
    random, n = np.random.default_rng(seed), len(labels_N)
    drawn: list[tuple[NDArray, NDArray]] = []
    step = max(_AT_ONCE // max(len(counts_K), classes), 1)
    for start in range(0, resamples, step):
        counts_RK = random.multinomial(n, counts_K / n, size=min(step, resamples - start))
        drawn.append(_measure(counts_RK, kinds_3K, classes))
    bounds_M2, f1_C2 = (around(measured[i][0], np.concatenate([each[i] for each in drawn])).clip(0, 1) for i in (0, 1))
    overall = {name: (float(low), float(high)) for name, (low, high) in zip(MEASURES, bounds_M2, strict=True)}
    # Resamples of what is right throughout, or wrong, cannot differ, however few pictures there are.
    correct_N = labels_N == predicted_N
    for names, right_N in ((_OF_ANSWERS, correct_N), (("top5",), hits_N)):
        if right_N.all() or not right_N.any():
            overall |= dict.fromkeys(names, wilson(int(right_N.sum()), n))
    n_C, f1_C = np.bincount(labels_N, minlength=classes), measured[1][0]
    for c in np.flatnonzero((n_C > 0) & np.isin(f1_C, (0, 1))):
        low, high = wilson(int(f1_C[c] * n_C[c]), int(n_C[c]))
        f1_C2[c] = min(f1_C2[c, 0], low), max(f1_C2[c, 1], high)
    return Resampled(overall, f1_C2)


def _measure(counts_RK: NDArray, kinds_3K: NDArray, classes: int) -> tuple[NDArray, NDArray]:
    """`MEASURES` [R, 6] and the F1 of each class [R, C] of R samples that hold so many pictures of each kind."""
    true_K, predicted_K, hit_K = kinds_3K
    kinds, rows = len(true_K), np.arange(len(true_K))
    of_true, of_predicted = (
        csr_array((np.ones(kinds), (rows, column_K)), shape=(kinds, classes)) for column_K in (true_K, predicted_K)
    )
    right_RK = counts_RK * (true_K == predicted_K)
    support_RC, predicted_RC, right_RC = counts_RK @ of_true, counts_RK @ of_predicted, right_RK @ of_true
    precision_RC, recall_RC = right_RC / np.maximum(predicted_RC, 1), right_RC / np.maximum(support_RC, 1)
    f1_RC = 2 * right_RC / np.maximum(support_RC + predicted_RC, 1)
    there_RC, n_R = support_RC > 0, counts_RK.sum(1)
    macro = [(each_RC * there_RC).sum(1) / there_RC.sum(1) for each_RC in (precision_RC, recall_RC, f1_RC)]
    weighted_R = (f1_RC * support_RC).sum(1) / n_R
    values = [right_RK.sum(1) / n_R, (counts_RK * hit_K).sum(1) / n_R, *macro, weighted_R]
    return np.stack(values, 1), f1_RC.astype(np.float32)


def around(point_M: NDArray, drawn_RM: NDArray) -> NDArray[np.float64]:
    """Intervals [M, 2]: the percentiles of what was drawn, moved so that its mean is what was measured. Without that,
    the macro F1 of a few pictures a class lies outside its own interval: resamples lack rare mistakes.
    """
    bounds_2M = np.quantile(drawn_RM, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) + (point_M - drawn_RM.mean(0))
    return np.asarray(bounds_2M.T, np.float64)


def paired_difference(
    first_N: NDArray[np.bool_], second_N: NDArray[np.bool_], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Bootstrap interval of accuracy(second) - accuracy(first), both judged on the same pictures."""
    n = len(first_N)
    won, lost = int((second_N & ~first_N).sum()), int((first_N & ~second_N).sum())
    drawn = np.random.default_rng(seed).multinomial(n, np.array([won, lost, n - won - lost]) / n, size=resamples)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_sums(
    counts_NM: NDArray[np.int64],
    measure: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Interval]:
    """Bootstrap intervals of V values that follow from sums over N pictures.

    Args:
        counts_NM: M counts of each picture.
        measure: makes values [R, V] of sums [R, M].
    """
    kinds_KM, times_K = np.unique(counts_NM, axis=0, return_counts=True)
    random, n = np.random.default_rng(seed), len(counts_NM)
    step = max(_AT_ONCE // len(times_K), 1)
    drawn_RV = np.concatenate(
        [
            measure(random.multinomial(n, times_K / n, size=min(step, resamples - start)) @ kinds_KM)
            for start in range(0, resamples, step)
        ]
    )
    low_V, high_V = np.quantile(drawn_RV, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return list(zip(low_V.tolist(), high_V.tolist(), strict=True))
