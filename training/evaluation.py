"""What an evaluation found out: the values behind report and `metrics.json`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval, paired_difference
from training.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Calibration:
    """`temperature`: to divide the network's logits by; `factor`: the part of it that the reported scores lack.
    `ece` and `log_loss` are those of the reported pictures with this temperature.
    """

    temperature: float
    factor: float
    fitted_on: str
    stored: bool
    ece: float
    log_loss_before: float
    log_loss: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One model. `scores_NC`: probabilities float32 [N, C], in the order of `Evaluation.classes`."""

    name: str
    path: Path
    how: str
    scores_NC: NDArray[np.float32]
    metrics: Metrics
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same pictures. Differences are second minus first; those of scores without their sign."""

    agreement: float
    disagreements: int
    only_first_right: int
    only_second_right: int
    accuracy_difference: float
    interval: Interval
    mean_difference: float
    largest_difference: float


def compare(first: Evaluated, second: Evaluated, labels_N: NDArray[np.int64]) -> Comparison:
    """Two models on pictures of the true classes int64 [N]."""
    first_N, second_N = first.scores_NC.argmax(1), second.scores_NC.argmax(1)
    first_right_N, second_right_N = first_N == labels_N, second_N == labels_N
    difference_NC = np.abs(first.scores_NC - second.scores_NC)
    return Comparison(
        agreement=float((first_N == second_N).mean()),
        disagreements=int((first_N != second_N).sum()),
        only_first_right=int((first_right_N & ~second_right_N).sum()),
        only_second_right=int((second_right_N & ~first_right_N).sum()),
        accuracy_difference=second.metrics.accuracy - first.metrics.accuracy,
        interval=paired_difference(first_right_N, second_right_N),
        mean_difference=float(difference_NC.mean()),
        largest_difference=float(difference_NC.max()),
    )


@dataclass(frozen=True, slots=True)
class Skipped:
    """A picture that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that the report shows. `paths` and `labels_N` are those of the pictures that every model read,
    `trained_on` is how many of these a model was trained on.
    """

    data: Path
    slice: str | None
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels_N: NDArray[np.int64]
    models: tuple[Evaluated, ...]
    comparison: Comparison | None
    skipped: tuple[Skipped, ...]
    trained_on: int
    version: str

    def short(self, path: Path) -> str:
        """The path below the data set."""
        return shorten_path(path, self.data)

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`: the first model's values at top level, those of another below `second`."""
        first, *others = ({"model": str(model.path), **_plain(model)} for model in self.models)
        values = {"data": str(self.data), **first}
        values["skipped"] = [asdict(each) for each in self.skipped]
        values["trained_on"] = self.trained_on
        if self.comparison:
            values |= {"second": others[0], "comparison": asdict(self.comparison)}
        return values

    def dump(self) -> str:
        """The text of `metrics.json`."""
        return dump(self.to_json())


def shorten_path(path: Path, data: Path) -> str:
    """The path below the data set, as long as it lies there."""
    data, path = (Path(os.path.abspath(each)) for each in (data, path))
    root = next(folder for folder in (data, *data.parents) if os.path.isdir(folder))
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def dump(values: dict[str, Any]) -> str:
    """JSON with a line for each key: readable, and small even with a confusion matrix of 1000 classes."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _plain(model: Evaluated) -> dict[str, Any]:
    calibration = asdict(model.calibration)
    return {**model.metrics.to_json(), "temperature": calibration.pop("temperature"), "calibration": calibration}
