"""The samples of a run: every image with the number of its class, in train, val and test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from training.findings import plural, shorten
from training.layouts import Layout, list_folders
from training.listing import SPLITS, Entry, Listing, Split, name_in
from training.splits import apply_split, complete_splits, pick_split, write_split
from training.tables import list_table

if TYPE_CHECKING:
    from training.recipe import DataSpec

_MATTERS_TO_TRAINING = ("one_class", "empty_class", "missing_class", "unknown_class")


@dataclass(frozen=True, slots=True)
class Sample:
    """An image. `group`: its value of the slice, None where there is none."""

    path: Path
    label: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """A data set, split. Immutable; the order is that of the data set, natural and the same everywhere.

    Args:
        fingerprint: SHA-256 over the sorted names, classes and sizes of the files.
        root: what the names in a split file are relative to.
        notes: what the user should be told, a line each.
    """

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    fingerprint: str
    root: Path = Path()
    notes: tuple[str, ...] = ()

    def write_split(self, file: Path) -> None:
        """Writes down which image is in which split: `path,label,split`, for `read_samples` to use again.

        Raises:
            SinkError: the file cannot be written.
        """
        parts: tuple[tuple[Split, tuple[Sample, ...]], ...] = (
            ("train", self.train),
            ("val", self.val),
            ("test", self.test),
        )
        rows = [(name_in(self.root, s.path), self.classes[s.label], split) for split, samples in parts for s in samples]
        write_split(file, rows)


def list_data(path: Path, layout: Layout = "auto", slice: str | int | None = None) -> Listing:
    """Lists the data set at `path`, a folder or a CSV.

    Args:
        slice: what images are grouped by: a column of the CSV, or the number of a folder level below the class.

    Raises:
        ConfigError: there is none, or it is not what `layout` says.
    """
    if not os.path.exists(path):
        raise ConfigError(f"{path} does not exist: check the path")
    if os.path.isfile(path):
        if path.suffix.lower() != ".csv":
            raise ConfigError(f"{path} is neither a folder nor a .csv file")
        if layout not in ("auto", "csv"):
            raise ConfigError(f"{path} is a CSV, the layout {layout!r} needs a folder")
        return list_table(path, None if slice is None else str(slice))
    if layout == "csv":
        raise ConfigError(f"{path} is a folder, the layout 'csv' needs the path of a .csv file")
    if slice is not None and (not str(slice).isdecimal() or int(slice) < 1):
        raise ConfigError(f"slice {slice!r} is no folder level: give 1 for the folder right below the class")
    return list_folders(path, layout, None if slice is None else int(slice))


def read_samples(spec: DataSpec, split: Path | None = None) -> Samples:
    """Reads the data set that a recipe names.

    Args:
        split: a file that `Samples.write_split` made; its split is used again.

    Raises:
        ConfigError: there is no data set, it cannot be trained on, or it is not the one that `split` was made from.
    """
    listing = list_data(spec.path, spec.layout, spec.slice)
    for finding in listing.findings:
        if finding.severity == "error":
            raise ConfigError(finding.message)
    notes = [finding.message for finding in listing.findings]
    if split is None:
        splits, short = complete_splits(listing, spec.val_fraction, spec.test_fraction, spec.seed)
        notes += short
    else:
        splits = apply_split(listing, split)
    samples = _number(listing.entries, listing.classes, listing.root)
    train, val, test = (
        tuple(sample for sample, one in zip(samples, splits, strict=True) if one == wanted)
        for wanted in ("train", "val", "test")
    )
    if not train:
        raise ConfigError(f"{spec.path} has no picture to train on: all are in val or test; correct the split")
    return Samples(listing.classes, train, val, test, fingerprint(listing), listing.root, tuple(notes))


def read_split(
    path: Path,
    classes: Sequence[str] | None = None,
    *,
    layout: Layout = "auto",
    slice: str | int | None = None,
    split: Path | None = None,
) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
    """Reads what a model is to be evaluated on.

    Args:
        path: class folders (`photos/val`), a CSV, or a data set and the name of its split: `labels.csv/test`, or
            `photos/val` where a run has cut val from train.
        classes: the model's; None: those found.
        slice: see `list_data`.
        split: the run's split file; where `path` names a split that does not lie there, it says what is in it.

    Returns:
        The classes and the samples, numbered by them.

    Raises:
        ConfigError: nothing is there, or a label is none of `classes`.
    """
    listing, wanted = _list_split(path, layout, slice)
    for finding in listing.findings:
        if finding.severity == "error" and finding.kind not in _MATTERS_TO_TRAINING:
            raise ConfigError(finding.message)
    entries = listing.entries
    if wanted is not None:
        entries = tuple(entries[place] for place in pick_split(listing, wanted, path, split))
    elif len(listing.given) > 1:
        named = " or ".join(str(path / name) for name in listing.given)
        raise ConfigError(f"{path} has several splits: give {named}")
    known = listing.classes if classes is None else tuple(classes)
    return known, _number(entries, known, path)


def _list_split(path: Path, layout: Layout, slice: str | int | None) -> tuple[Listing, Split | None]:
    wanted = SPLITS.get(path.name.lower())
    if os.path.exists(path) or wanted is None or not os.path.exists(path.parent):
        return list_data(path, layout if os.path.isfile(path) or layout == "csv" else "auto", slice), None
    return list_data(path.parent, layout, slice), wanted


def _number(entries: Sequence[Entry], classes: Sequence[str], where: Path) -> tuple[Sample, ...]:
    numbers = {label: number for number, label in enumerate(classes)}
    unknown = next((entry.label for entry in entries if entry.label not in numbers), None)
    if unknown is not None:
        near = get_close_matches(unknown, classes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they are: {shorten(classes, 10)}"
        count = plural(len(classes), "class", "classes")
        raise ConfigError(f"the label {unknown!r} of {where} is none of the model's {count}; {hint}")
    return tuple(Sample(entry.path, numbers[entry.label], entry.group) for entry in entries)


def fingerprint(listing: Listing) -> str:
    """SHA-256 over the sorted names, classes and sizes of the files: another data set has another one."""
    lines = sorted(f"{listing.name(e.path)}\0{e.label}\0{_size(e.path)}\n" for e in listing.entries)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    """In bytes; -1 of a link that leads nowhere: such a picture is skipped and counted as others that are broken."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
