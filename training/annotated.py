"""Annotated pictures: the boxes of a data set, numbered by a model's labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from training.box_edges import cut_at_edge, tell_cut
from training.box_layouts import find_boxes, need_boxes
from training.box_listing import BoxEntry
from training.box_refusals import read_usable
from training.findings import plural, shorten
from training.listing import SPLITS, Split
from training.splits import apply_split, complete_splits, pick_split, write_split


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """A picture and the N objects in it.

    Args:
        width, height: in pixels, as the data set says or, where it does not, as the file has them, upright.
        boxes_N4: float32 [N, 4], xyxy in pixels of the picture, in which they lie.
        labels_N: int64 [N], indices into the labels.
        crowd_N: bool [N], whether a box need not be found, and what is found in it is no mistake: a crowd of COCO, what
            is difficult in VOC.
        area_N: float64 [N], square pixels of the object itself where the data set knows them, of its box elsewhere;
            cut at the edge of the picture by the share that its box is.
    """

    path: Path
    width: int
    height: int
    boxes_N4: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    crowd_N: NDArray[np.bool_]
    area_N: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedSet:
    """Annotated pictures in the order of their data set.

    Args:
        file: what was read: a JSON, a YAML, or a folder.
        labels: what `labels_N` of the pictures counts in.
        dropped: how many boxes without any area in their picture were left out.
        cut: how many boxes reached out of their picture and were cut at its edge.
    """

    file: Path
    labels: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    dropped: int = 0
    cut: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedSplits:
    """A detection data set, split.

    Args:
        labels: the names of its classes.
        sets: a set for each of train, val and test; it may be empty.
        rows: which picture is where, for `write_split`.
        notes: what the user should be told, a line each.
    """

    labels: tuple[str, ...]
    sets: Mapping[Split, AnnotatedSet]
    rows: tuple[tuple[str, str, Split], ...]
    notes: tuple[str, ...]

    def write_split(self, file: Path) -> None:
        """Writes down which picture is in which split, for `read_splits` to use again; see `splits.write_split`."""
        write_split(file, self.rows)


def read_annotated(data: Path, labels: tuple[str, ...], split: Path | None = None) -> AnnotatedSet:
    """Reads a data set without splits, or one split of a data set, in any layout of docs/data.md.

    Classes are matched to `labels` by name, their numbers do not matter. A class without boxes need not be known, and
    labels without a class are fine.

    Args:
        data: `instances.json`, its folder, or a data set and the name of its split: `bccd/test`.
        labels: the model's.
        split: a run's split file; where `data` names a split that the data set does not bring, it says what is in it.

    Raises:
        ConfigError: there is no such data set, or one that is broken, has no boxes or does not fit the labels; or a
            picture has another size than its annotation states.
        SourceError: pictures that it names are missing, or cannot be read where only they know their size.
    """
    found, wanted = find_boxes(data), SPLITS.get(data.name.lower())
    around = find_boxes(data.parent) if found is None and wanted and not os.path.exists(data) else None
    source = found or around or need_boxes(data)
    if around is None and len(source.splits) > 1:
        raise ConfigError(
            f"{data} has several splits: give {' or '.join(str(data / split) for split in source.splits)}"
        )
    listing = read_usable(source)
    entries: Sequence[BoxEntry] = listing.entries
    if around is not None and wanted:
        entries = [entries[place] for place in pick_split(listing.by_rarest(), wanted, data, split)]
    numbered = _number(listing.file, entries, labels)
    _refuse_empty(listing.file if around is None else data, [numbered])
    return numbered


def read_splits(
    path: Path,
    *,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    split: Path | None = None,
) -> AnnotatedSplits:
    """Reads a data set to train on.

    A split that it lacks is cut by lot, and every picture counts there for the rarest class in it: see
    `complete_splits`, also for the arguments.

    Args:
        split: a file that `AnnotatedSplits.write_split` made; its split is used again.

    Raises:
        ConfigError, SourceError: as `read_annotated`, or the data set is not the one that `split` was made from.
    """
    listing = read_usable(need_boxes(path))
    by_rarest = listing.by_rarest()
    if split is None:
        splits, notes = complete_splits(by_rarest, val_fraction, test_fraction, seed)
    else:
        splits, notes = apply_split(by_rarest, split), []
    parts: dict[Split, list[BoxEntry]] = {"train": [], "val": [], "test": []}
    for entry, one in zip(listing.entries, splits, strict=True):
        parts[one].append(entry)
    sets = {one: _number(listing.file, part, listing.classes) for one, part in parts.items()}
    _refuse_empty(listing.file, sets.values())
    rows = [(listing.name(e.path), e.label, one) for e, one in zip(by_rarest.entries, splits, strict=True)]
    cut = tell_cut(sum(one.cut for one in sets.values()), sum(one.dropped for one in sets.values()))
    told = [*(finding.message for finding in listing.findings), *([cut] if cut else []), *notes]
    return AnnotatedSplits(listing.classes, sets, tuple(rows), tuple(told))


def _refuse_empty(where: Path, sets: Collection[AnnotatedSet]) -> None:
    images = [image for one in sets for image in one.images]
    if not any(map(len, images)):
        pictures = plural(len(images), "picture")
        raise ConfigError(f"{where} has no boxes: there is nothing to find in its {pictures}")


def _number(file: Path, entries: Sequence[BoxEntry], labels: tuple[str, ...]) -> AnnotatedSet:
    numbers = _match_classes(file, entries, labels)
    found = [cut_at_edge(entry) for entry in entries]
    images = tuple(_number_image(entry, numbers) for entry, _ in found)
    dropped = sum(len(entry.labels) for entry in entries) - sum(map(len, images))
    return AnnotatedSet(file, labels, images, dropped, sum(cut for _, cut in found))


def _match_classes(file: Path, entries: Sequence[BoxEntry], labels: tuple[str, ...]) -> dict[str, int]:
    """The place in `labels` of each class that has boxes."""
    used = dict.fromkeys(label for entry in entries for label in entry.labels)
    if unknown := [name for name in used if name not in labels]:
        near = get_close_matches(unknown[0], labels, n=1)
        hint = f"; did you mean {near[0]!r} by {unknown[0]!r}?" if near else ""
        which = f"{plural(len(unknown), 'category', 'categories')} that the model does not know ({shorten(unknown)})"
        raise ConfigError(f"{file} has {which}: rename them to the model's labels, or remove their boxes{hint}")
    if double := [name for name in used if labels.count(name) > 1]:
        raise ConfigError(f"the model has several labels {double[0]!r}: they cannot be told apart by name")
    return {name: labels.index(name) for name in used}


def _number_image(entry: BoxEntry, numbers: Mapping[str, int]) -> AnnotatedImage:
    width, height = entry.size
    return AnnotatedImage(
        path=entry.path,
        width=width,
        height=height,
        boxes_N4=entry.boxes_N4.astype(np.float32),
        labels_N=np.array([numbers[label] for label in entry.labels], np.int64),
        crowd_N=entry.crowd_N,
        area_N=entry.area_N,
    )
