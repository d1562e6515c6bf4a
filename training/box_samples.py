"""The pictures with boxes that a run works with, in train, val and test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from training.annotated import AnnotatedImage, AnnotatedSplits, read_splits
from training.findings import plural, shorten
from training.recipe import DataSpec


@dataclass(frozen=True, slots=True, eq=False)
class BoxSamples:
    """A detection data set, split; the order is that of the data set.

    Args:
        fingerprint: SHA-256 over the names and sizes of the files, their boxes and classes.
        notes: what the user should be told, a line each.
    """

    classes: tuple[str, ...]
    train: tuple[AnnotatedImage, ...]
    val: tuple[AnnotatedImage, ...]
    test: tuple[AnnotatedImage, ...]
    fingerprint: str
    notes: tuple[str, ...]
    splits: AnnotatedSplits

    def write_split(self, file: Path) -> None:
        """Writes down which picture is in which split, for `read_box_samples` to use again.

        Raises:
            SinkError: the file cannot be written.
        """
        self.splits.write_split(file)


def read_box_samples(spec: DataSpec, split: Path | None = None) -> BoxSamples:
    """Reads the detection data set that a recipe names.

    Args:
        split: a file that `BoxSamples.write_split` made; its split is used again.

    Raises:
        ConfigError: there is no data set, it cannot be trained on, or it is not the one that `split` was made from.
        SourceError: pictures that it names are missing.
    """
    found = read_splits(
        spec.path,
        val_fraction=spec.val_fraction,
        test_fraction=spec.test_fraction,
        seed=spec.seed,
        split=split,
    )
    train, val, test = (found.sets[name].images for name in ("train", "val", "test"))
    if not train:
        raise ConfigError(f"{spec.path} has no picture to train on: all are in val or test; correct the split")
    _check_classes(spec.path, train, found.labels)
    return BoxSamples(found.labels, train, val, test, _fingerprint((*train, *val, *test)), found.notes, found)


def _check_classes(path: Path, train: Iterable[AnnotatedImage], classes: tuple[str, ...]) -> None:
    counts_C = np.zeros(len(classes), np.int64)
    for image in train:
        np.add.at(counts_C, image.labels_N[~image.crowd_N], 1)
    if not counts_C.any():
        raise ConfigError(f"the training pictures of {path} have no boxes: there is nothing to learn")
    if empty := [name for name, count in zip(classes, counts_C, strict=True) if not count]:
        which = f"{plural(len(empty), 'class', 'classes')} without boxes to train on ({shorten(empty)})"
        raise ConfigError(f"{path} has {which}: add some, or take the class out of the data set")


def _fingerprint(images: Iterable[AnnotatedImage]) -> str:
    lines = sorted(
        f"{image.path.name}\0{_size(image.path)}\0{image.boxes_N4.tolist()}{image.labels_N.tolist()}"
        f"{image.crowd_N.tolist()}\n"
        for image in images
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    """In bytes; -1 of a link that leads nowhere."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
