"""What an evaluation found out: the values behind report and `metrics.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval
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
        root = next((folder for folder in (self.data, *self.data.parents) if folder.is_dir()), self.data)
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

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
        """`to_json` with a line for each key: readable, and small even with a confusion matrix of 1000 classes."""
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in self.to_json().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"


def _plain(model: Evaluated) -> dict[str, Any]:
    calibration = asdict(model.calibration)
    return {**model.metrics.to_json(), "temperature": calibration.pop("temperature"), "calibration": calibration}
