"""Annotated pictures: the boxes of a data set in the format of COCO, numbered by a model's labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, SourceError
from training.coco_file import PREFIX, CocoBox, CocoContent, CocoImage, find_file, read_content
from training.findings import plural, shorten


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """A picture and the N objects in it.

    Args:
        width, height: in pixels, as the data set says; the file is not opened.
        boxes_N4: float32 [N, 4], xyxy in pixels of the picture.
        labels_N: int64 [N], indices into the labels.
        crowd_N: bool [N], whether a box holds a crowd: it need not be found, and what is found in it is no mistake.
        area_N: float64 [N], square pixels of the object itself where the data set knows them, of its box elsewhere.
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
    """Annotated pictures in the order of their file.

    Args:
        file: the JSON that was read.
        labels: what `labels_N` of the pictures counts in.
        dropped: how many boxes without any area were left out.
    """

    file: Path
    labels: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    dropped: int = 0


def read_annotated(data: Path, labels: tuple[str, ...]) -> AnnotatedSet:
    """Reads a data set in the format of COCO.

    `data` is its JSON, or a folder that holds one: the only `.json` right in it or, if there is none, the only
    `annotations/instances_*.json`. A picture is looked for beside the JSON: right there, in `images`, in the folder
    called like the JSON (`train2017` for `instances_train2017.json`), and in that folder within `images`. If the JSON
    lies in a folder `annotations`, the same places beside that folder come next. The first file of that name counts.

    Categories are matched to `labels` by name, their numbers do not matter. A category without boxes need not be known,
    and labels without a category are fine.

    Args:
        labels: the model's.

    Raises:
        ConfigError: there is no such file, several, or one that is broken, has no boxes or does not fit the labels.
        SourceError: pictures that it names are missing.
    """
    file = find_file(data)
    content = read_content(file)
    numbers = _number_categories(content, labels, file)
    boxes: dict[int, list[CocoBox]] = {image.id: [] for image in content.images}
    strange = dict.fromkeys(each.image_id for each in content.annotations if each.image_id not in boxes)
    if strange:
        raise ConfigError(f"{file} has boxes of images that it does not list (image_id {shorten([*strange])})")
    for each in content.annotations:
        if each.bbox[2] > 0 and each.bbox[3] > 0:
            boxes[each.image_id].append(each)
    kept = sum(map(len, boxes.values()))
    if not kept:
        raise ConfigError(f"{file} has no boxes: there is nothing to find in its {plural(len(boxes), 'picture')}")
    paths = _find_pictures(content.images, file)
    images = [_gather(image, path, boxes[image.id], numbers) for image, path in zip(content.images, paths, strict=True)]
    return AnnotatedSet(file, labels, tuple(images), len(content.annotations) - kept)


def _number_categories(content: CocoContent, labels: tuple[str, ...], file: Path) -> dict[int, int]:
    """For the id of each category that has boxes the place of its name in `labels`."""
    names = {category.id: category.name for category in content.categories}
    used = dict.fromkeys(each.category_id for each in content.annotations)
    if lost := [number for number in used if number not in names]:
        raise ConfigError(f"{file} has boxes of categories that it does not list (category_id {shorten(lost)})")
    if unknown := list(dict.fromkeys(names[number] for number in used if names[number] not in labels)):
        near = get_close_matches(unknown[0], labels, n=1)
        hint = f"; did you mean {near[0]!r} by {unknown[0]!r}?" if near else ""
        which = f"{plural(len(unknown), 'category', 'categories')} that the model does not know ({shorten(unknown)})"
        raise ConfigError(f"{file} has {which}: rename them to the model's labels, or remove their boxes{hint}")
    if double := [names[number] for number in used if labels.count(names[number]) > 1]:
        raise ConfigError(f"the model has several labels {double[0]!r}: they cannot be told apart by name")
    return {number: labels.index(names[number]) for number in used}


def _find_pictures(images: Sequence[CocoImage], file: Path) -> list[Path]:
    folder = Path(os.path.abspath(file.parent))
    roots = [folder, folder.parent] if folder.name == "annotations" else [folder]
    split = file.stem.removeprefix(PREFIX)
    wanted = [root / inner for root in roots for inner in ("", "images", split, f"images/{split}")]
    places = [place for place in wanted if os.path.isdir(place)]
    found = [_first_file([place / image.file_name for place in places]) for image in images]
    missing = [image.file_name for image, path in zip(images, found, strict=True) if path is None]
    if missing:
        which = f"{plural(len(missing), 'picture')} ({shorten(missing)}) of {file}"
        raise SourceError(f"cannot find {which}: put them beside it; looked in {', '.join(map(str, places))}")
    return [path for path in found if path is not None]


def _first_file(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if os.path.isfile(path)), None)


def _gather(image: CocoImage, path: Path, boxes: Sequence[CocoBox], numbers: dict[int, int]) -> AnnotatedImage:
    xywh_N4 = np.array([each.bbox for each in boxes], np.float64).reshape(-1, 4)
    areas = [each.bbox[2] * each.bbox[3] if each.area is None else each.area for each in boxes]
    return AnnotatedImage(
        path=path,
        width=image.width,
        height=image.height,
        boxes_N4=np.concatenate([xywh_N4[:, :2], xywh_N4[:, :2] + xywh_N4[:, 2:]], 1).astype(np.float32),
        labels_N=np.array([numbers[each.category_id] for each in boxes], np.int64),
        crowd_N=np.array([each.iscrowd for each in boxes], np.bool_),
        area_N=np.array(areas, np.float64),
    )
