"""The report of an evaluation of detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.page import render_page
from training import plots, plots_boxes
from training.evaluation_boxes import BoxEvaluation, EvaluatedBoxes
from training.intervals import LEVEL, RESAMPLES
from training.matching import MATCH_IOU
from training.mistakes import NEAR_IOU, Kind
from training.report import confusions
from training.sheet_boxes import BoxCard, show_worst

SHEET = 10
_TEMPLATE = Path(__file__).parent / "templates" / "report_boxes.html.j2"
BACKGROUND = "background"
_KINDS: dict[Kind, tuple[str, str]] = {
    "missed": ("Missed", "an object that no box was meant for"),
    "localisation": ("Localisation", f"an object of this class is there, but overlaps by less than {MATCH_IOU:g}"),
    "class": ("Class", "an object is there, but it is another"),
    "duplicate": ("Duplicate", "another box has found the object already"),
    "background": ("Background", "no object of this class is near"),
}
_SIZES = {"small": "up to 32² pixels", "medium": "32² to 96² pixels", "large": "from 96² pixels on"}
_NAMED = 20


@dataclass(frozen=True, slots=True)
class MistakeSheet:
    """The mistakes of one kind, and the worst of them."""

    title: str
    meaning: str
    count: int
    cards: tuple[BoxCard, ...]


def render_boxes(evaluation: BoxEvaluation) -> str:
    """The whole page."""
    metrics = [model.metrics for model in evaluation.models]
    classes = [*evaluation.labels, BACKGROUND]
    rows = [[m.per_class[c] for m in metrics] for c, each in enumerate(metrics[0].per_class) if each.n]
    rows.sort(key=lambda row: row[0].map or 0)
    return render_page(
        _TEMPLATE,
        {
            "evaluation": evaluation,
            "models": evaluation.models,
            "several": len(metrics) > 1,
            "average": metrics[0].average,
            "classes": len(evaluation.labels),
            "absent": [each.label for each in metrics[0].per_class if not each.n],
            "named": _NAMED,
            "lettered": plots.LETTERED,
            "pooled": plots.pooled_classes(len(classes)),
            "level": LEVEL,
            "resamples": RESAMPLES,
            "match_iou": MATCH_IOU,
            "near_iou": NEAR_IOU,
            "sizes": _SIZES,
            "rows": rows,
            "figures": [
                {
                    "precision_recall": plots_boxes.plot_precision_recall(m.average),
                    "thresholds": plots_boxes.plot_thresholds(m.curve, m.point, m.best),
                    "confusion": plots.plot_confusion(m.confusion, classes),
                }
                for m in metrics
            ],
            "confusions": [confusions(m.confusion, classes) for m in metrics],
            "sheets": [list(_sheets(evaluation, model)) for model in evaluation.models],
        },
    )


def _sheets(evaluation: BoxEvaluation, model: EvaluatedBoxes) -> Iterator[MistakeSheet]:
    metrics = model.metrics
    for kind, (title, meaning) in _KINDS.items():
        mistakes = [mistake for mistake in metrics.mistakes if mistake.kind == kind]
        threshold = metrics.point.threshold
        cards = show_worst(mistakes, evaluation.images, model.found, evaluation.labels, threshold, SHEET)
        yield MistakeSheet(title, meaning, len(mistakes), tuple(cards))
