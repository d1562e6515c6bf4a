"""The plots of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.svg import ACCENT, INK, MUTED, SECOND, label_square, plot_of, shorten_name
from training.coco import RECALLS, DetectionMetrics
from training.curves import thin
from training.thresholds import Point, ThresholdCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = 100  # classes up to which each has its curve
_WORST = 4


def _precision_recall(axes: Axes, average: DetectionMetrics) -> None:
    curves = sorted(average.curves50.items(), key=lambda item: float(item[1].mean()))
    for _, curve in curves[_WORST:_CURVES]:
        axes.plot(RECALLS, curve, color=MUTED, alpha=0.3, linewidth=0.7)
    lines = [
        axes.plot(RECALLS, curve, color=ACCENT, alpha=1 - 0.2 * i, linewidth=1)[0]
        for i, (_, curve) in enumerate(curves[:_WORST])
    ]
    names = [f"{shorten_name(name)}  {curve.mean():.3f}" for name, curve in curves[:_WORST]]
    if len(curves) > 1:
        mean = np.mean([curve for _, curve in curves], axis=0)
        lines.insert(0, axes.plot(RECALLS, mean, color=SECOND, linewidth=2.4)[0])
        names.insert(0, f"mean of all classes  {mean.mean():.3f}")
    label_square(axes, "recall", "precision")
    axes.figure.legend(lines, names, loc="outside upper left", ncols=2, title="AP50", alignment="left")


def _thresholds(axes: Axes, curve: ThresholdCurve, asked: Point, best: Point | None) -> None:
    for values, name, colour, width in (
        (curve.precision, "precision", MUTED, 1.2),
        (curve.recall, "recall", INK, 1.2),
        (curve.f1, "F1", ACCENT, 2.2),
    ):
        axes.plot(*thin(curve.scores, values), color=colour, linewidth=width, label=name)
    axes.axvline(asked.threshold, color=SECOND, linewidth=1, linestyle=(0, (4, 3)), label=f"at {asked.threshold:.3g}")
    if best:
        label = f"best, {best.f1:.3f} at {best.threshold:.3f}"
        axes.plot([best.threshold], [best.f1], "o", color=SECOND, markersize=6, label=label)
    label_square(axes, "threshold", "")
    axes.figure.legend(loc="outside upper left", ncols=3)


plot_precision_recall = plot_of(_precision_recall, (4.6, 4.8))
plot_thresholds = plot_of(_thresholds, (4.6, 4.8))
