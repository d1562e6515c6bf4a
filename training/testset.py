"""The pictures that models are judged by: which they are, and whether they are new to the models."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, OnsightError
from training.box_layouts import find_boxes
from training.listing import SPLITS
from training.predict import AnySubject, BoxSubject, Subject
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


def find_split(data: Path, split: str | Path | None, subjects: Sequence[AnySubject]) -> tuple[Path, Path | None]:
    """What the models are judged by, the data set and the name of its split if one is named, and the split file that
    says what is in it where the data set does not.

    Args:
        split: the name of a split, or a run's split file; without one, that beside a model is taken if there is one.

    Raises:
        ConfigError: there is no such split or file, or it has no use.
    """
    part = data.name.lower() in SPLITS
    if split is not None and str(split).lower() not in SPLITS:
        if not os.path.isfile(split):
            raise ConfigError(f"the split {str(split)!r} is no file, and none of train, val and test")
        if not part or (isinstance(subjects[0], BoxSubject) and find_boxes(data)):
            raise ConfigError(
                f"{data} needs no split file: leave {split} out, or name what a run cut, as in photos/val"
            )
        return data, Path(split)
    if split is not None:
        if part and not os.path.exists(data):
            raise ConfigError(f"{data} names a split already: leave the split {str(split)!r} out")
        data = data / split
    files = (subject.path.with_name("split.csv") for subject in subjects)
    return data, next((file for file in files if os.path.isfile(file)), None)


def find_known(subjects: Sequence[AnySubject]) -> frozenset[str]:
    """Absolute paths of the pictures that a model has been trained on: they prove nothing.

    Raises:
        ConfigError: what a run has written down of them is broken.
    """
    return frozenset[str]().union(*(subject.trained_on() for subject in subjects))


def count_known(known: frozenset[str], paths: Iterable[Path]) -> int:
    """How many of the pictures are among the `known`."""
    return sum(os.path.abspath(path) in known for path in paths) if known else 0


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
