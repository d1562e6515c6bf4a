"""A data set as it lies there: images with the labels, and perhaps splits, that its folders or its CSV give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.findings import Finding, error, shorten, warning

Split = Literal["train", "val", "test"]

SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as the data set gives it. `split`: None where it gives none; `group`: the value to slice by."""

    path: Path
    label: str
    split: Split | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A data set as it lies there. `root`: what names are relative to; `findings`: what is wrong with the layout."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def given(self) -> tuple[Split, ...]:
        """The splits that the data set brings."""
        there = {entry.split for entry in self.entries}
        return tuple(split for split in ("train", "val", "test") if split in there)

    def name(self, path: Path) -> str:
        """The name of a file relative to the data set, with forward slashes."""
        return name_in(self.root, path)


def name_in(root: Path, path: Path) -> str:
    """The name of a file relative to `root`, or its whole path where it lies elsewhere; with forward slashes."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def finish_listing(
    root: Path, entries: Sequence[Entry], classes: Sequence[str], findings: Sequence[Finding]
) -> Listing:
    """A listing, with what is wrong with its classes added to the findings."""
    return Listing(root, tuple(entries), tuple(classes), (*findings, *_judge_classes(root, entries, classes)))


def _judge_classes(root: Path, entries: Sequence[Entry], classes: Sequence[str]) -> Iterator[Finding]:
    if len(classes) == 1:
        yield error("one_class", f"{root} has one class only, {classes[0]!r}: a classifier needs two or more")
    there = {split: {entry.label for entry in entries if entry.split == split} for split in ("train", "val", "test")}
    if not there["train"]:
        return
    for split in ("val", "test"):
        unknown = [label for label in classes if label in there[split] - there["train"]]
        if unknown:
            yield error("unknown_class", f"{root}: {split} has classes that train has not: {shorten(unknown)}")
        missing = [label for label in classes if there[split] and label in there["train"] - there[split]]
        if missing:
            tell = error if split == "val" else warning
            yield tell("missing_class", f"{root}: {split} has no images of {shorten(missing)}, which train has")
