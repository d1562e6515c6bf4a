"""The plots of classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.svg import ACCENT, INK, MUTED, SECOND, label_square, plot_of, shorten_name
from training.calibration import reliability
from training.curves import pr_curve, thin
from training.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHADE = (59, 110, 245)  # of the confusion matrix; it is a picture and knows no variables
LETTERED = 20  # classes up to which a matrix has numbers and names
_CELLS = 120  # a side of a matrix
_CURVES = 100  # classes up to which each has its curve
_WORST = 5


def _reliability(axes: Axes, confidence_N: NDArray, correct_N: NDArray, after_N: NDArray) -> None:
    n, confidence, accuracy = reliability(confidence_N, correct_N)
    width = 1 / len(n)
    centres = (np.arange(len(n)) + 0.5) * width
    axes.bar(centres, accuracy, width * 0.92, color=ACCENT, alpha=0.85, label="accuracy")
    axes.bar(centres, n / n.sum(), width * 0.3, color=INK, alpha=0.55, label="share of the pictures")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    there = n > 0
    axes.plot(confidence[there], accuracy[there], "o", color=ACCENT, markersize=3.5)
    n, confidence, accuracy = reliability(after_N, correct_N)
    there = n > 0
    axes.plot(confidence[there], accuracy[there], "-o", color=SECOND, markersize=4, label="after temperature")
    label_square(axes, "confidence", "accuracy")
    axes.figure.legend(loc="outside upper left", ncols=2)


def _curves(axes: Axes, scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], metrics: Metrics) -> None:
    present = [c for c, each in enumerate(metrics.per_class) if each.n]
    worst = sorted(present, key=lambda c: metrics.per_class[c].average_precision)[:_WORST]
    for c in present if len(present) <= _CURVES else []:
        if c not in worst:
            axes.step(*_curve(scores_NC, labels_N, c), where="post", color=MUTED, alpha=0.4, linewidth=0.8)
    lines = [
        axes.step(*_curve(scores_NC, labels_N, c), where="post", color=ACCENT, alpha=1 - 0.16 * i)[0]
        for i, c in enumerate(worst)
    ]
    axes.axhline(metrics.wanted, color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
    label_square(axes, "recall", "precision")
    title = "average precision" if len(present) <= _WORST else "lowest average precision"
    shown = [metrics.per_class[c] for c in worst]
    names = [f"{shorten_name(each.label)}  {each.average_precision:.3f}" for each in shown]  # a label may begin with _
    axes.legend(lines, names, loc="lower left", title=title, alignment="left")


def _curve(scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], c: int) -> tuple[NDArray, NDArray]:
    curve = pr_curve(labels_N == c, scores_NC[:, c])
    return thin(curve.recall, curve.precision)


def _coverage(axes: Axes, confidence_N: NDArray, correct_N: NDArray, metrics: Metrics) -> None:
    order = np.argsort(-confidence_N, kind="stable")
    kept = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence_N[order]) != 0, True)  # pictures with equal scores are kept together
    share, right = (kept / len(order))[last], (np.cumsum(correct_N[order]) / kept)[last]
    axes.plot(*thin(share, right), color=ACCENT)
    axes.axhline(metrics.wanted, color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
    if found := metrics.threshold:
        x = found.n / metrics.n
        axes.plot([x], [found.precision], "o", color=SECOND, markersize=6)
        side = "right" if x > 0.5 else "left"
        axes.annotate(f"score ≥ {found.score:.3f}", (x, found.precision), (0, -14), textcoords="offset points", ha=side)
    lowest = min(float(right.min()), metrics.wanted, metrics.accuracy)
    axes.set(
        xlim=(0, 1.01),
        ylim=(max(lowest - 0.05, 0), 1.005),
        xlabel="share of pictures answered",
        ylabel="share of answers that are right",
    )


def _confusion(axes: Axes, confusion: NDArray[np.int64], classes: Sequence[str]) -> None:
    counts = _pool(confusion)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    picture = np.zeros((*share.shape, 4), np.uint8)
    picture[..., :3] = _SHADE
    lettered = len(classes) <= LETTERED
    picture[..., 3] = np.round(255 * (share if lettered else np.sqrt(share)))
    end = len(counts) * pooled_classes(len(classes)) - 0.5
    axes.imshow(picture, interpolation="none", extent=(-0.5, end, end, -0.5))
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if not lettered:
        return
    places, names = range(len(classes)), [shorten_name(name) for name in classes]
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    size = 12 if len(classes) <= 8 else 8.5
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = "white" if share[row, column] > 0.5 else INK
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=size)


def pooled_classes(classes: int) -> int:
    """How many neighbouring classes a row or column of the confusion matrix stands for, that it can be seen."""
    return -(-classes // _CELLS)


def _pool(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.arange(0, len(confusion), pooled_classes(len(confusion)))
    return np.add.reduceat(np.add.reduceat(confusion, starts, axis=0), starts, axis=1)


plot_reliability = plot_of(_reliability, (4.6, 4.4))
plot_curves = plot_of(_curves, (4.6, 4.4))
plot_coverage = plot_of(_coverage, (4.6, 4.4))
plot_confusion = plot_of(_confusion, (7.2, 6.8))
