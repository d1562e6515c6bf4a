"""Is a data set worth training on: every image decoded, and compared with all the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.duplicates import find_twins
from training.examine import Facts, examine_all
from training.findings import Finding
from training.judge import Picture, judge_balance, judge_files, judge_same, judge_slices, judge_twins
from training.layouts import Layout
from training.listing import Split
from training.samples import list_data
from training.splits import apply_split

DISTANCE = 8

_WORST_FIRST = (
    *("leak", "near_leak", "contradiction", "unreadable", "missing_file"),
    *("broken", "unknown_image", "unknown_category", "other_size", "outside_box"),
    *("one_class", "empty_class", "unknown_class", "missing_class"),
)
_SEVEREST = ("error", "warning", "note")

Watch = Callable[[Iterable[Facts], int], Iterable[Facts]]


@dataclass(frozen=True, slots=True)
class Report:
    """What `check_data` or `check_boxes` found, the worst first.

    Args:
        splits: images by split, the unreadable ones too; the split is `all` where the data set gives none.
        counts: images by class and by split; of detection data, boxes.
        slices: images by slice and by split.
        boxes: how many there are; None: a data set of a classifier.
    """

    path: Path
    splits: dict[str, int]
    counts: dict[str, dict[str, int]]
    slices: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]
    boxes: int | None = None

    @property
    def images(self) -> int:
        """How many there are, the unreadable ones too."""
        return sum(self.splits.values())

    @property
    def imbalance(self) -> float:
        """Images to train on, or boxes, of the largest class for one of the smallest."""
        sizes = training_sizes(self.counts).values()
        return max(sizes, default=0) / max(min(sizes, default=0), 1)

    def number(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "images": self.images,
            "splits": self.splits,
            **({} if self.boxes is None else {"boxes": self.boxes}),
            "classes": self.counts,
            "slices": self.slices,
            "imbalance": round(self.imbalance, 2),
            "errors": self.number("error"),
            "warnings": self.number("warning"),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_data(
    path: Path,
    *,
    layout: Layout = "auto",
    slice: str | int | None = None,
    split: Path | None = None,
    distance: int = DISTANCE,
    watch: Watch | None = None,
) -> Report:
    """Examines every image of the data set at `path`, on all cores.

    Args:
        slice: see `list_data`.
        split: a run's split file, where the data set brings no splits.
        distance: bits by which the hashes of nearly equal pictures may differ; 0: look for equal pictures only.
        watch: is given the facts as they come and how many there will be, and passes them on: a progress bar.

    Raises:
        ConfigError: there is no data set of that layout.
    """
    listing = list_data(path, layout, slice)
    splits: Sequence[Split | None] = [entry.split for entry in listing.entries]
    if split is not None:
        splits = apply_split(listing, split)
    missing = {name for finding in listing.findings if finding.kind == "missing_file" for (name,) in finding.files}
    parts = [
        (listing.name(entry.path), entry, part)
        for entry, part in zip(listing.entries, splits, strict=True)
        if listing.name(entry.path) not in missing
    ]
    facts = examine_all([entry.path for _, entry, _ in parts])
    pictures = [
        Picture(name, entry.label, part, entry.group, fact)
        for (name, entry, part), fact in zip(parts, watch(facts, len(parts)) if watch else facts, strict=True)
    ]
    counts = _count(pictures, listing.classes, lambda picture: picture.label)
    groups = sorted({picture.group for picture in pictures if picture.group is not None})
    slices = _count(pictures, groups, lambda picture: picture.group)
    findings = [
        *listing.findings,
        *judge_files(pictures),
        *compare(pictures, distance),
        *judge_balance(training_sizes(counts)),
        *judge_slices(slices),
    ]
    return Report(path, count_splits(pictures), counts, slices, worst_first(findings))


def training_sizes(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    """Images to train on, or boxes, by class: those in train, or all where nothing is split."""
    return {label: splits.get("train", splits.get("all", 0)) for label, splits in counts.items()}


def count_splits(pictures: Iterable[Picture]) -> dict[str, int]:
    """Pictures by split; `all` where nothing is split."""
    counts = Counter(picture.split or "all" for picture in pictures)
    return {split: counts[split] for split in ("all", "train", "val", "test") if split in counts}


def compare(pictures: Sequence[Picture], distance: int) -> list[Finding]:
    """Pictures that are the same, or nearly: their hashes differ in at most `distance` bits."""
    pictures = [picture for picture in pictures if not picture.facts.fault]
    findings = list(judge_same(pictures))
    once = list(
        {picture.facts.same_pixels: picture for picture in reversed(pictures) if not picture.facts.plain}.values()
    )
    once.reverse()
    if distance and once:
        splits, labels = (
            np.unique([str(mark) for mark in marks], return_inverse=True)[1]
            for marks in ([p.split for p in once], [p.label for p in once])
        )
        pairs_P2 = find_twins(
            np.array([picture.facts.looks for picture in once], np.uint64),
            np.stack([picture.facts.thumb_TT for picture in once if picture.facts.thumb_TT is not None]),
            np.stack([splits, labels], 1),
            distance,
        )
        findings += judge_twins(once, pairs_P2)
    return findings


def _count(
    pictures: Sequence[Picture], names: Sequence[str], key: Callable[[Picture], str | None]
) -> dict[str, dict[str, int]]:
    counts = {name: Counter[str]() for name in names}
    for picture in pictures:
        if (name := key(picture)) is not None:
            counts[name][picture.split or "all"] += 1
    return {name: dict(splits) for name, splits in counts.items()}


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By severity, and errors by their kind."""
    return tuple(sorted(findings, key=_rank))


def _rank(finding: Finding) -> tuple[int, int]:
    return (
        _SEVEREST.index(finding.severity),
        _WORST_FIRST.index(finding.kind) if finding.kind in _WORST_FIRST else len(_WORST_FIRST),
    )
