"""The pictures that models are judged by: which they are, and whether they are new to the models."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, OnsightError
from training.listing import SPLITS
from training.predict import Subject
from training.samples import Sample, read_split


def read_pictures(data: Path, first: Subject, slice: str | None, split: Path | None) -> tuple[Sample, ...]:
    """The pictures of `data`, numbered by the classes of the `first` model; see `read_split`."""
    _, samples = read_split(data, first.classes, slice=slice, split=split)
    if not samples:
        raise ConfigError(f"{data} holds no pictures: give another folder or CSV")
    twice = {label for label, count in Counter(first.classes).items() if count > 1}
    if used := twice & {first.classes[sample.label] for sample in samples}:
        raise ConfigError(f"{first.path} has several classes called {min(used)!r}: they cannot be told apart by name")
    return samples


def find_split(subjects: Sequence[Subject]) -> Path | None:
    """The split that a run wrote down beside one of the models."""
    files = (subject.path.with_name("split.csv") for subject in subjects)
    return next((file for file in files if os.path.isfile(file)), None)


def count_trained_on(subjects: Sequence[Subject], samples: Sequence[Sample]) -> int:
    """How many of the samples a model has been trained on: they prove nothing."""
    known = frozenset[str]().union(*(subject.trained_on() for subject in subjects))
    return sum(os.path.abspath(sample.path) in known for sample in samples) if known else 0


def read_other_split(data: Path, split: Path | None, classes: Sequence[str]) -> tuple[Path, tuple[Sample, ...]] | None:
    """Validation pictures, or test pictures where validation is reported; never those that were trained on."""
    reported = SPLITS.get(data.name.lower())
    if reported is None:
        return None
    where = data.with_name("test" if reported == "val" else "val")
    try:
        _, samples = read_split(where, classes, split=split)
    except OnsightError:
        return None
    return (where, samples) if samples else None


def labels_of(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """The true classes, int64 [N]."""
    return np.array([sample.label for sample in samples], np.int64)
