"""What an evaluation of detectors found out: the values behind report and `metrics.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.evaluation import Skipped, dump, shorten_path
from training.intervals import Interval
from training.intervals_boxes import average_difference, difference_interval
from training.metrics_boxes import BoxMetrics


@dataclass(frozen=True, slots=True)
class Protocol:
    """How boxes were taken for COCO's average precisions.

    Args:
        score: the lowest score.
        boxes: how many of a picture count, those with the highest scores.
        iou: above which boxes of a class are one object; None: the graph has seen to that.
        stream_iou: the same for all other values, which are those of a stream.
        tiles: columns and rows that pictures were cut into for all values, as in 2x2; None: they were not.
    """

    score: float
    boxes: int
    iou: float | None
    stream_iou: float | None
    tiles: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedBoxes:
    """One detector. `found`: what a stream could show of each picture, in its pixels, numbered by the evaluation's
    labels.
    """

    name: str
    path: Path
    how: str
    protocol: Protocol
    found: tuple[Detections, ...]
    metrics: BoxMetrics


@dataclass(frozen=True, slots=True)
class BoxComparison:
    """Two detectors on the same pictures; differences are second minus first. `interval`: that of the F1."""

    map_difference: float
    map_interval: Interval
    f1_difference: float
    interval: Interval


def compare_boxes(first: BoxMetrics, second: BoxMetrics, seed: int = 0) -> BoxComparison:
    """Two detectors, each at its own threshold, by pairs: picture by picture."""
    map_difference = (second.average.map or 0) - (first.average.map or 0)
    return BoxComparison(
        map_difference=map_difference,
        map_interval=average_difference(map_difference, first.drawn_R3, second.drawn_R3),
        f1_difference=second.point.f1 - first.point.f1,
        interval=difference_interval(first.counts_N3, second.counts_N3, seed),
    )


@dataclass(frozen=True, slots=True, eq=False)
class BoxEvaluation:
    """Everything that the report shows. `images` are the pictures that every model read, `trained_on` is how many of
    these a model was trained on. `cut` boxes of the data set were cut at the edge of their picture, and those
    `left_out` have no area in it.
    """

    data: Path
    labels: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    models: tuple[EvaluatedBoxes, ...]
    comparison: BoxComparison | None
    skipped: tuple[Skipped, ...]
    trained_on: int
    cut: int
    left_out: int
    version: str

    def short(self, path: Path) -> str:
        """The path below the data set."""
        return shorten_path(path, self.data)

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`: the first model's values at top level, those of another below `second`."""
        first, *others = map(_plain, self.models)
        values = {"data": str(self.data), **first}
        values |= {"skipped": [asdict(each) for each in self.skipped], "trained_on": self.trained_on}
        values |= {"cut": self.cut, "left_out": self.left_out}
        if self.comparison:
            values |= {"second": others[0], "comparison": asdict(self.comparison)}
        return values

    def dump(self) -> str:
        """The text of `metrics.json`."""
        return dump(self.to_json())


def _plain(model: EvaluatedBoxes) -> dict[str, Any]:
    return {"model": str(model.path), **model.metrics.to_json(), "protocol": asdict(model.protocol)}
