"""Train, validation and test: cut by lot where the data set brings no split, written down, and read again."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.sinks.partial import partial_path, writing
from training.findings import plural, shorten
from training.listing import Listing, Split
from training.tables import read_rows


def complete_splits(
    listing: Listing, val_fraction: float, test_fraction: float, seed: int
) -> tuple[list[Split], list[str]]:
    """The split of every entry: the given one, and for those given no other than train, a cut by lot.

    A split that the data set brings is kept whole. One that it lacks is cut from the rest, class by class.
    Every class keeps at least one image in train, then gets one in val, then one in test.

    Returns:
        The splits, in the order of the entries, and what the user should know: the classes too small to be cut.
    """
    if val_fraction + test_fraction >= 1:
        raise ConfigError(
            f"val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on"
        )
    splits: list[Split] = [entry.split or "train" for entry in listing.entries]
    shares: dict[Split, float] = {"val": val_fraction, "test": test_fraction}
    wanted = {split: share for split, share in shares.items() if share and split not in listing.given}
    by_class: dict[str, list[int]] = {label: [] for label in listing.classes}
    for index, (entry, split) in enumerate(zip(listing.entries, splits, strict=True)):
        if split == "train":
            by_class[entry.label].append(index)
    rng = np.random.default_rng(seed)
    short: dict[Split, list[str]] = {split: [] for split in wanted}
    for label, indices in by_class.items():
        drawn = iter(rng.permutation(indices))
        for split, count in _count(len(indices), wanted).items():
            for index in islice(drawn, count):
                splits[index] = split
            short[split] += [] if count else [label]
    return splits, [
        f"{plural(len(labels), 'class is', 'classes are')} too small to have an image in {split}: {shorten(labels)}"
        for split, labels in short.items()
        if labels
    ]


def _count(images: int, shares: dict[Split, float]) -> dict[Split, int]:
    """How many of a class go to each split: at least one, while one is left for train."""
    counts: dict[Split, int] = {}
    for place, (split, share) in enumerate(shares.items(), 1):
        room = max(images - 1 - sum(counts.values()), 0)
        kept = len(shares) - place  # one for each split that follows
        counts[split] = min(math.floor(images * share + 0.5) or 1, max(room - kept, min(room, 1)))
    return counts


def write_split(file: Path, rows: Sequence[tuple[str, str, Split]]) -> None:
    """Writes `path,label,split`; the file appears when it is whole.

    Raises:
        SinkError: it cannot be written.
    """
    partial = partial_path(file)
    with writing(file):
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("path", "label", "split"))
            writer.writerows(rows)
        os.replace(partial, file)


def apply_split(listing: Listing, file: Path) -> list[Split]:
    """The splits that `file`, made by `write_split`, gives to the entries of `listing`.

    Raises:
        ConfigError: the data set is not the one that was split: files are gone, new, or changed their class or split.
    """
    rows = {row.name: row for row in read_rows(file, exact=True)}
    names = [listing.name(entry.path) for entry in listing.entries]
    there = set(names)
    gone, new = [name for name in rows if name not in there], [name for name in names if name not in rows]
    moved = [
        name
        for name, entry in zip(names, listing.entries, strict=True)
        if name in rows and (rows[name].label != entry.label or entry.split not in (None, "train", rows[name].split))
    ]
    changes = [
        f"{plural(len(which), 'file is', 'files are')} {what} ({shorten(which)})"
        for what, which in (("gone", gone), ("new", new), ("in another class or split", moved))
        if which
    ]
    if changes:
        raise ConfigError(f"{listing.root} is not what {file} was made from: {'; '.join(changes)}; begin a new run")
    splits = [rows[name].split for name in names]
    if None in splits:
        raise ConfigError(f"{file} has no column 'split'; give a split.csv that a run wrote")
    return [split for split in splits if split is not None]


def pick_split(listing: Listing, wanted: Split, path: Path, file: Path | None) -> list[int]:
    """The places of the entries in a split that the data set brings or, failing that, a run wrote into `file`.

    Args:
        path: what was asked for, for messages: the data set and the name of the split.

    Raises:
        ConfigError: neither knows such a split, nothing is in it, or `file` was not made from this data set.
    """
    splits: Sequence[Split | None] = [entry.split for entry in listing.entries]
    if wanted not in listing.given:
        if file is None:
            raise ConfigError(
                f"{path} does not exist, and {path.parent} brings no split {wanted!r}: leave it out, or give the "
                "split.csv of a run that cut it"
            )
        splits = apply_split(listing, file)
    places = [place for place, split in enumerate(splits) if split == wanted]
    if not places:
        raise ConfigError(f"{file} puts no image into {wanted}")
    return places
