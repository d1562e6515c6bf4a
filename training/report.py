"""The report of an evaluation of classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.page import floor_of, picture_url, render_page
from pipeline.sources.images import read_image
from training import plots
from training.calibration import apply_temperature
from training.intervals import LEVEL

if TYPE_CHECKING:
    from training.evaluation import Evaluated, Evaluation

SHEET = 28
_TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
_CONFUSIONS = 20
_THUMBNAIL = 192  # pixels of the longer side
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Card:
    """A picture of a sheet: what it shows, and what each model (`said`: name, class, score, right) saw in it."""

    image: str
    file: str
    truth: str
    said: tuple[tuple[str, str, float, bool], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` pictures of `truth`, which are `share` of them, were taken for `said`."""

    truth: str
    said: str
    count: int
    share: float


def render(evaluation: Evaluation) -> str:
    """The whole page."""
    return render_page(_TEMPLATE, _context(evaluation))


def confusions(confusion_CC: NDArray[np.int64], classes: Sequence[str], most: int = _CONFUSIONS) -> list[Confusion]:
    """The mistakes made most often, most frequent first."""
    wrong = confusion_CC.copy()
    np.fill_diagonal(wrong, 0)
    support = confusion_CC.sum(1)
    best = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(best, wrong.shape), strict=True)
    return [
        Confusion(classes[t], classes[p], int(wrong[t, p]), float(wrong[t, p] / support[t]))
        for t, p in pairs
        if wrong[t, p]
    ]


def _context(evaluation: Evaluation) -> dict[str, Any]:
    first = evaluation.models[0].metrics
    metrics = [model.metrics for model in evaluation.models]
    groups = [
        [next(each for each in m.slices or () if each.slice == worst.slice) for m in metrics]
        for worst in first.slices or ()
    ]
    rows = [[m.per_class[c] for m in metrics] for c, each in enumerate(first.per_class) if each.n]
    rows.sort(key=lambda row: row[0].f1)
    return {
        "evaluation": evaluation,
        "models": evaluation.models,
        "several": len(metrics) > 1,
        "n": first.n,
        "classes": len(first.per_class),
        "absent": [each.label for each in first.per_class if not each.n],
        "named": _NAMED,
        "lettered": plots.LETTERED,
        "pooled": plots.pooled_classes(len(first.per_class)),
        "sliced_by": _sliced_by(evaluation.slice),
        "level": LEVEL,
        "rows": rows,
        "row_floor": floor_of(each.f1_interval[0] for row in rows for each in row),
        "slices": groups,
        "slice_floor": floor_of(each.accuracy_interval[0] for found in groups for each in found),
        "figures": [_figures(model, evaluation) for model in evaluation.models],
        "confusions": [confusions(m.confusion, evaluation.classes) for m in metrics],
        "mistakes": [list(_mistakes(evaluation, model)) for model in evaluation.models],
        "disagreements": list(_disagreements(evaluation)) if len(metrics) > 1 else [],
    }


def _figures(model: Evaluated, evaluation: Evaluation) -> dict[str, str]:
    scores_NC, labels_N = model.scores_NC, evaluation.labels_N
    confidence_N, correct_N = scores_NC.max(1), scores_NC.argmax(1) == labels_N
    after_N = apply_temperature(scores_NC, model.calibration.factor).max(1)
    return {
        "reliability": plots.plot_reliability(confidence_N, correct_N, after_N),
        "curves": plots.plot_curves(scores_NC, labels_N, model.metrics),
        "coverage": plots.plot_coverage(confidence_N, correct_N, model.metrics),
        "confusion": plots.plot_confusion(model.metrics.confusion, evaluation.classes),
    }


def _mistakes(evaluation: Evaluation, model: Evaluated) -> Iterator[Card]:
    confidence_N = model.scores_NC.max(1)
    wrong = np.flatnonzero(model.scores_NC.argmax(1) != evaluation.labels_N)
    for i in wrong[np.argsort(-confidence_N[wrong], kind="stable")][:SHEET]:
        yield _card(evaluation, int(i), [model])


def _disagreements(evaluation: Evaluation) -> Iterator[Card]:
    """Where two models see different classes, the one that is surest of it first."""
    scores_MNC = np.stack([model.scores_NC for model in evaluation.models])
    first_N, second_N = scores_MNC.argmax(2)
    apart = np.flatnonzero(first_N != second_N)
    sure = scores_MNC.max(2).max(0)[apart]
    for i in apart[np.argsort(-sure, kind="stable")][:SHEET]:
        yield _card(evaluation, int(i), evaluation.models)


def _card(evaluation: Evaluation, i: int, models: Sequence[Evaluated]) -> Card:
    truth = int(evaluation.labels_N[i])
    said = []
    for model in models:
        best = int(model.scores_NC[i].argmax())
        said.append((model.name, evaluation.classes[best], float(model.scores_NC[i, best]), best == truth))
    path = evaluation.paths[i]
    return Card(_thumbnail(path), evaluation.short(path), evaluation.classes[truth], tuple(said))


def _thumbnail(path: Path) -> str:
    """The picture, small, as a data URL."""
    image = read_image(path)
    scale = _THUMBNAIL / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(round(side * scale), 1) for side in image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return picture_url(image)


def _sliced_by(slice: str | None) -> str:
    return f"folder level {slice} below the class" if slice and slice.isdecimal() else f"the column {slice}"
