"""Is a detection data set worth training on: every image decoded and compared, and every box looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from training.box_layouts import need_boxes
from training.box_listing import BoxEntry, BoxLayout, BoxListing
from training.check import DISTANCE, Report, Watch, compare, count_splits, worst_first
from training.examine import examine_all
from training.findings import Finding
from training.judge import Picture, judge_files
from training.judge_boxes import Scene, judge_boxes, judge_classes
from training.listing import Split
from training.splits import apply_split


def check_boxes(
    path: Path,
    *,
    layout: BoxLayout | Literal["auto"] = "auto",
    split: Path | None = None,
    distance: int = DISTANCE,
    watch: Watch | None = None,
) -> Report:
    """Examines every image and every box of the detection data at `path`, on all cores.

    Args:
        split, distance, watch: see `check_data`.

    Raises:
        ConfigError: there is no data set of that layout.
    """
    listing = need_boxes(path, layout).read()
    entries = listing.entries
    splits: Sequence[Split | None] = [entry.split for entry in entries]
    if split is not None:
        splits = apply_split(listing.by_rarest(), split)
    facts = examine_all([entry.path for entry in entries])
    pictures = [
        Picture(listing.name(entry.path), "", part, None, fact)
        for entry, part, fact in zip(entries, splits, watch(facts, len(entries)) if watch else facts, strict=True)
    ]
    counts = _count_boxes(listing.classes, entries, splits)
    return Report(
        path=path,
        splits=count_splits(pictures),
        counts=counts,
        slices={},
        findings=worst_first(_judge(listing, pictures, counts, distance)),
        boxes=sum(len(entry.labels) for entry in entries),
    )


def _judge(
    listing: BoxListing, pictures: Sequence[Picture], counts: dict[str, dict[str, int]], distance: int
) -> list[Finding]:
    scenes = [
        Scene(picture.name, entry, picture.facts)
        for picture, entry in zip(pictures, listing.entries, strict=True)
        if not picture.facts.fault
    ]
    return [
        *listing.findings,
        *(finding for finding in judge_files(pictures) if finding.kind != "shape"),  # nothing is cropped
        *compare(pictures, distance),
        *judge_boxes(scenes),
        *judge_classes(counts),
    ]


def _count_boxes(
    classes: Sequence[str], entries: Sequence[BoxEntry], splits: Sequence[Split | None]
) -> dict[str, dict[str, int]]:
    counts = {name: Counter[str]() for name in classes}
    for entry, split in zip(entries, splits, strict=True):
        for label in entry.labels:
            counts[label][split or "all"] += 1
    return {name: dict(numbers) for name, numbers in counts.items()}
