"""Plots as SVG text for a page with a light and a dark face: their colours are the page's own variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from training.calibration import reliability
from training.curves import pr_curve, thin
from training.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")

# Colours that stand for variables of the page, and are replaced by them.
_INK, _MUTED, _LINE, _ACCENT, _SECOND = (f"#01010{i}" for i in range(5))
_VARIABLES = {_INK: "ink", _MUTED: "muted", _LINE: "line", _ACCENT: "accent", _SECOND: "second"}
_SHADE = (59, 110, 245)  # of the confusion matrix; it is a picture and knows no variables
LETTERED = 20  # classes up to which a matrix has numbers and names
_CELLS = 120  # a side of a matrix
_CURVES = 100  # classes up to which each has its curve
_WORST = 5

_STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def _plot(draw: Callable[Concatenate[Axes, P], None], size: tuple[float, float]) -> Callable[P, str]:
    """`draw` with axes of its own, `size` inches large; what it drew comes back as SVG."""

    @wraps(draw)
    def plot(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with mpl.rc_context({**_STYLE, "svg.hashsalt": draw.__name__}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has it
            figure = Figure(figsize=size, layout="constrained")
            figure.patch.set_alpha(0)
            axes = figure.add_subplot()
            axes.patch.set_alpha(0)
            draw(axes, *args, **kwargs)
            text = StringIO()
            FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
        return _inline(text.getvalue())

    return plot


def _inline(svg: str) -> str:
    """`svg` without its XML head, scaled by the page and in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*pt" height="[^"]*pt"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r'height="[^"]*pt" (viewBox="[^"]*") width="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r' id="\w+_\d+"', "", svg)  # nothing refers to them, and a page holds several plots
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel=x, ylabel=y, aspect="equal")


def _reliability(axes: Axes, confidence_N: NDArray, correct_N: NDArray, after_N: NDArray) -> None:
    n, confidence, accuracy = reliability(confidence_N, correct_N)
    width = 1 / len(n)
    centres = (np.arange(len(n)) + 0.5) * width
    axes.bar(centres, accuracy, width * 0.92, color=_ACCENT, alpha=0.85, label="accuracy")
    axes.bar(centres, n / n.sum(), width * 0.3, color=_INK, alpha=0.55, label="share of the pictures")
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    there = n > 0
    axes.plot(confidence[there], accuracy[there], "o", color=_ACCENT, markersize=3.5)
    n, confidence, accuracy = reliability(after_N, correct_N)
    there = n > 0
    axes.plot(confidence[there], accuracy[there], "-o", color=_SECOND, markersize=4, label="after temperature")
    _square(axes, "confidence", "accuracy")
    axes.figure.legend(loc="outside upper left", ncols=2)


def _curves(axes: Axes, scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], metrics: Metrics) -> None:
    present = [c for c, each in enumerate(metrics.per_class) if each.n]
    worst = sorted(present, key=lambda c: metrics.per_class[c].average_precision)[:_WORST]
    for c in present if len(present) <= _CURVES else []:
        if c not in worst:
            axes.step(*_curve(scores_NC, labels_N, c), where="post", color=_MUTED, alpha=0.4, linewidth=0.8)
    lines = [
        axes.step(*_curve(scores_NC, labels_N, c), where="post", color=_ACCENT, alpha=1 - 0.16 * i)[0]
        for i, c in enumerate(worst)
    ]
    axes.axhline(metrics.wanted, color=_SECOND, linewidth=1, linestyle=(0, (4, 3)))
    _square(axes, "recall", "precision")
    title = "average precision" if len(present) <= _WORST else "lowest average precision"
    shown = [metrics.per_class[c] for c in worst]
    names = [f"{_short(each.label)}  {each.average_precision:.3f}" for each in shown]  # a label may begin with _
    axes.legend(lines, names, loc="lower left", title=title, alignment="left")


def _curve(scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], c: int) -> tuple[NDArray, NDArray]:
    curve = pr_curve(labels_N == c, scores_NC[:, c])
    return thin(curve.recall, curve.precision)


def _coverage(axes: Axes, confidence_N: NDArray, correct_N: NDArray, metrics: Metrics) -> None:
    order = np.argsort(-confidence_N, kind="stable")
    kept = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence_N[order]) != 0, True)  # pictures with equal scores are kept together
    share, right = (kept / len(order))[last], (np.cumsum(correct_N[order]) / kept)[last]
    axes.plot(*thin(share, right), color=_ACCENT)
    axes.axhline(metrics.wanted, color=_SECOND, linewidth=1, linestyle=(0, (4, 3)))
    if found := metrics.threshold:
        x = found.n / metrics.n
        axes.plot([x], [found.precision], "o", color=_SECOND, markersize=6)
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
    places, names = range(len(classes)), [_short(name) for name in classes]
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    size = 12 if len(classes) <= 8 else 8.5
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = "white" if share[row, column] > 0.5 else _INK
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=size)


def pooled_classes(classes: int) -> int:
    """How many neighbouring classes a row or column of the confusion matrix stands for, that it can be seen."""
    return -(-classes // _CELLS)


def _pool(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.arange(0, len(confusion), pooled_classes(len(confusion)))
    return np.add.reduceat(np.add.reduceat(confusion, starts, axis=0), starts, axis=1)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"


plot_reliability = _plot(_reliability, (4.6, 4.4))
plot_curves = _plot(_curves, (4.6, 4.4))
plot_coverage = _plot(_coverage, (4.6, 4.4))
plot_confusion = _plot(_confusion, (7.2, 6.8))
