"""What a run wants of a model, checked against the model's contract."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import ModelContract
from pipeline.errors import ConfigError

_LOW = 0.5  # of the threshold: boxes from there on may continue a track
_HIDE = 0.25  # boxes to hide count from there on at the latest: what is best to show may miss what is to be hidden


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """The choices of a run where it made any, the contract's defaults elsewhere.

    `thresholds_C` (float32 [C], the lowest score of each class), `top_k`, `iou` and `classes` (label ids; None: all)
    say what is shown. `lowest_C` (float32 [C], lowest scores) and `kept` (label ids; None: all) say what is kept of the
    model's boxes: where the run tracks, lower scores too, which may continue a track, and all classes, since the track
    has the last word on them. `hide` are the label ids to hide, from the score `hide_threshold` on; None: nothing is
    hidden. `tiles` are the columns and rows that a frame is cut into; None: it is looked at as a whole only.
    """

    thresholds_C: NDArray[np.float32]
    lowest_C: NDArray[np.float32]
    top_k: int = 0
    iou: float | None = None
    classes: frozenset[int] | None = None
    kept: frozenset[int] | None = None
    hide: frozenset[int] | None = None
    hide_threshold: float = 0.0
    tiles: tuple[int, int] | None = None


def settle(
    contract: ModelContract,
    *,
    threshold: float | None = None,
    class_thresholds: Mapping[str, float] | None = None,
    iou: float | None = None,
    top_k: int | None = None,
    classes: Sequence[str] = (),
    redact: Sequence[str] = (),
    track: bool = False,
    tiles: tuple[int, int] | None = None,
) -> Settings:
    """Settings for a model.

    Args:
        class_thresholds: the lowest scores of classes, by their names; of the others it is `threshold`.
        tiles: columns and rows; (1, 1) is as good as None.

    Raises:
        ConfigError: a label that the model does not know, or a choice that does not fit its task.
    """
    default = contract.classifier or contract.detector
    assert default is not None
    score = default.threshold if threshold is None else threshold
    thresholds_C = _thresholds(score, class_thresholds or {}, contract.labels)
    tiles = None if tiles == (1, 1) else tiles
    if contract.classifier is not None:
        asked = {
            "redact": bool(redact),
            "classes": bool(classes),
            "iou": iou is not None,
            "track": track,
            "tiles": tiles is not None,
        }
        for name, given in asked.items():
            if given:
                raise ConfigError(f"'{name}' needs the boxes of a detector, but this model is a classifier")
        return Settings(thresholds_C, thresholds_C, contract.classifier.top_k if top_k is None else top_k)
    assert contract.detector is not None
    if top_k is not None:
        raise ConfigError("'top_k' is for classifiers, but this model is a detector; use 'threshold'")
    detector = contract.detector
    if iou is not None and not detector.nms:
        raise ConfigError("'iou' has no effect on this model: its graph leaves no overlapping boxes to suppress")
    lowest_C = _LOW * thresholds_C if track else thresholds_C
    shown = find_labels(classes, contract.labels) if classes else None
    return Settings(
        thresholds_C,
        lowest_C,
        iou=(detector.iou if iou is None else iou) if detector.nms else None,
        classes=shown,
        kept=None if track else shown,
        hide=find_labels(redact, contract.labels) if redact else None,
        hide_threshold=min(float(lowest_C.min()), detector.threshold, _HIDE),
        tiles=tiles,
    )


def _thresholds(score: float, own: Mapping[str, float], labels: Sequence[str]) -> NDArray[np.float32]:
    """float32 [C]: those in `own`, `score` for the other classes."""
    thresholds_C = np.full(len(labels), score, np.float32)
    seen: set[int] = set()
    for name, value in own.items():
        ids = find_labels([name], labels)
        if ids & seen:
            raise ConfigError(f"'class_thresholds' has two scores for '{labels[min(ids)]}'; give it one")
        seen |= ids
        thresholds_C[list(ids)] = value
    return thresholds_C


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
