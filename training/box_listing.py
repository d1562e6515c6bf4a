"""Detection data as it lies there: pictures with the boxes, and perhaps splits, that their annotations give them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.findings import Finding, error, plural, shorten
from training.folders import in_order
from training.listing import Entry, Listing, Split, name_in

BoxLayout = Literal["coco", "yolo", "voc"]

FAR = 2.0**24
"""Pixels, up to which float32 tells each from the next: no size or place of a box is larger."""
SLACK = 1.0
"""Pixels by which a box may reach out of its picture: that is rounding."""

_EMPTY = "(no boxes)"


@dataclass(frozen=True, slots=True, eq=False)
class BoxEntry:
    """A picture and its N boxes as the data set gives them: none left out, none cut at the edge.

    Args:
        split: None where the data set gives none.
        size: width and height in pixels, as the data set says or, where it does not, as the file has them, upright;
            0 and 0 if that cannot be read either.
        labels: names, one for each box.
        boxes_N4: float64 [N, 4], xyxy in pixels of the picture, where the first pixel spans 0 to 1.
        crowd_N: bool [N], whether a box need not be found, and what is found in it is no mistake.
        area_N: float64 [N], square pixels of the object itself where the data set knows them, of its box elsewhere.
    """

    path: Path
    split: Split | None
    size: tuple[int, int]
    labels: tuple[str, ...]
    boxes_N4: NDArray[np.float64]
    crowd_N: NDArray[np.bool_]
    area_N: NDArray[np.float64]

    @property
    def solid(self) -> NDArray[np.bool_]:
        """Whether a box has width and height as float32; bool [N]."""
        boxes_N4 = self.boxes_N4.astype(np.float32)
        return np.asarray((boxes_N4[:, 2:] > boxes_N4[:, :2]).all(1))


@dataclass(frozen=True, slots=True, eq=False)
class BoxListing:
    """A detection data set as it lies there.

    Args:
        root: what names are relative to.
        file: what was read: a JSON, a YAML, or a folder.
        classes: names, in the order of their numbers; in natural order where the layout numbers none.
        findings: what is wrong with its files. What an error tells of is missing in `entries`.
    """

    root: Path
    file: Path
    entries: tuple[BoxEntry, ...]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def name(self, path: Path) -> str:
        """The name of a file relative to the data set, with forward slashes."""
        return name_in(self.root, path)

    def by_rarest(self) -> Listing:
        """The same with one label for each picture, the rarest class in it: to cut splits by."""
        numbers = Counter(label for entry in self.entries for label in entry.labels)
        labels = [min(entry.labels, key=lambda name: (numbers[name], name), default=_EMPTY) for entry in self.entries]
        entries = (Entry(each.path, label, each.split, None) for each, label in zip(self.entries, labels, strict=True))
        return Listing(self.root, tuple(entries), tuple(in_order(set(labels))), ())


def finish_boxes(
    root: Path, file: Path, entries: Sequence[BoxEntry], classes: Iterable[str], findings: Iterable[Finding]
) -> BoxListing:
    """A listing with each picture once, and one more finding if some are listed again."""
    same: dict[str, list[BoxEntry]] = {}
    for entry in entries:
        same.setdefault(os.path.normpath(entry.path), []).append(entry)
    found = (*findings, *_judge_repeated(root, file, [each for each in same.values() if len(each) > 1]))
    return BoxListing(root, file, tuple(each[0] for each in same.values()), tuple(classes), found)


def _judge_repeated(root: Path, file: Path, repeated: Sequence[Sequence[BoxEntry]]) -> Iterator[Finding]:
    if repeated:
        names = [name_in(root, each[0].path) for each in repeated]
        splits = [" and ".join(dict.fromkeys(entry.split for entry in each if entry.split)) for each in repeated]
        named = shorten([f"{name} in {split}" if split else name for name, split in zip(names, splits, strict=True)])
        what = f"{file} lists {plural(len(repeated), 'picture')} more than once ({named})"
        yield error(
            "repeated_image", f"{what}: list each once, in one split, with all of its boxes", [(n,) for n in names]
        )
