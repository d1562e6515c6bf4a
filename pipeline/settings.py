"""What a run wants of a model, checked against the model's contract."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pipeline.contract import ModelContract
from pipeline.errors import ConfigError

_LOW = 0.5  # of the threshold: boxes from there on may continue a track


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of a run where it made any, the contract's defaults elsewhere.

    `threshold`, `top_k`, `iou` and `classes` (label ids; None: all) say what is shown. `lowest` is the lowest score of
    the boxes that are kept: below `threshold` where they may continue a track. `hide` are the label ids to hide, from
    the score `hide_threshold` on; None: nothing is hidden.
    """

    threshold: float
    lowest: float
    top_k: int = 0
    iou: float | None = None
    classes: frozenset[int] | None = None
    hide: frozenset[int] | None = None
    hide_threshold: float = 0.0


def settle(
    contract: ModelContract,
    *,
    threshold: float | None = None,
    iou: float | None = None,
    top_k: int | None = None,
    classes: Sequence[str] = (),
    redact: Sequence[str] = (),
    track: bool = False,
) -> Settings:
    """Settings for a model.

    Raises:
        ConfigError: a label that the model does not know, or a choice that does not fit its task.
    """
    if contract.classifier is not None:
        asked = {"redact": bool(redact), "classes": bool(classes), "iou": iou is not None, "track": track}
        for name, given in asked.items():
            if given:
                raise ConfigError(f"'{name}' needs the boxes of a detector, but this model is a classifier")
        default = contract.classifier
        score = default.threshold if threshold is None else threshold
        return Settings(score, score, default.top_k if top_k is None else top_k)
    assert contract.detector is not None
    if top_k is not None:
        raise ConfigError("'top_k' is for classifiers, but this model is a detector; use 'threshold'")
    detector = contract.detector
    if iou is not None and not detector.nms:
        raise ConfigError("'iou' has no effect on this model: its graph leaves no overlapping boxes to suppress")
    score = detector.threshold if threshold is None else threshold
    lowest = _LOW * score if track else score
    return Settings(
        threshold=score,
        lowest=lowest,
        iou=(detector.iou if iou is None else iou) if detector.nms else None,
        classes=find_labels(classes, contract.labels) if classes else None,
        hide=find_labels(redact, contract.labels) if redact else None,
        hide_threshold=min(lowest, detector.threshold),
    )


def find_labels(names: Collection[str], labels: Sequence[str]) -> frozenset[int]:
    """The ids of the labels called `names`, whatever their case."""
    ids: set[int] = set()
    for name in names:
        found = {i for i, label in enumerate(labels) if label.casefold() == name.strip().casefold()}
        if not found:
            raise ConfigError(f"the model has no label '{name}'; {_suggest(name, labels)}")
        ids |= found
    return frozenset(ids)


def _suggest(name: str, labels: Sequence[str]) -> str:
    known = {label.casefold(): label for label in labels}
    if near := get_close_matches(name.casefold(), known, n=3, cutoff=0.5):
        return f"did you mean {' or '.join(known[label] for label in near)}?"
    shown = list(known.values())[:8]
    return f"it knows {', '.join(shown)}{', …' if len(known) > len(shown) else ''}"
