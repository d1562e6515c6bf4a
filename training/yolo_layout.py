"""Data sets in YOLO text, as Ultralytics lays them out: a YAML, and beside `images` a `labels` of the same shape.

data.yaml                     names: [RBC, WBC], train: images/train, val: images/val; path: where they lie
images/train/a.jpg            or train/images/a.jpg, as Roboflow has it
labels/train/a.txt            or train/labels/a.txt; none: nothing to be seen
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from training.box_faults import Faults
from training.box_listing import BoxEntry, BoxListing, finish_boxes
from training.examine import upright_size
from training.findings import shorten
from training.folders import files_in, images_below, read_lines, read_text
from training.listing import Split
from training.yolo_file import LabelLine, read_label_file, read_yaml

_SUFFIXES = (".yaml", ".yml")
_NAMES = re.compile(r"^names\s*:", re.MULTILINE)
_NO_LABELS = frozenset({"classes.txt"})  # that tools write beside the labels


def find_yolo(path: Path) -> dict[Split | None, list[str]]:
    """The images of each split, as the YAML at `path` or right in it names them. Nothing if there is none.

    Raises:
        ConfigError: there are several, or one that is broken.
    """
    file = _find_yaml(path)
    if file is None:
        return {}
    content = read_yaml(file)
    parts: dict[Split | None, str | list[str] | None] = {
        "train": content.train,
        "val": content.val,
        "test": content.test,
    }
    found = {split: [named] if isinstance(named, str) else named for split, named in parts.items() if named}
    if not found:
        raise ConfigError(f"{file} names no images: give their folders as train, val and test")
    return found


def list_yolo(path: Path, parts: Mapping[Split | None, Sequence[str]]) -> BoxListing:
    """Lists what `find_yolo` found at `path`.

    Raises:
        ConfigError: a folder or a list of images is not there, or there are no images.
    """
    file = _find_yaml(path)
    assert file is not None, "find_yolo found it"
    content = read_yaml(file)
    root = root_of_yolo(path)
    entries: list[BoxEntry] = []
    faults = Faults(root)
    for split, named in parts.items():
        places = [_find_place(root, content.path, name, f"{file}: its {split}") for name in named]
        images = [image for place in places for image in _images_of(place, root, faults)]
        if not images and not faults.missing:
            raise ConfigError(
                f"{file}: its {split} holds no images ({', '.join(named)}): correct it, or remove the line"
            )
        entries += [_read_entry(image, split, content.names, faults) for image in images]
        faults.alone += [label for place in places for label in _labels_alone(place, images)]
    classes = [content.names[number] for number in sorted(content.names)]
    return finish_boxes(root, file, entries, classes, faults.tell())


def root_of_yolo(path: Path) -> Path:
    """What the names of the pictures are relative to: the folder of the YAML at `path`, or right in it."""
    return Path(os.path.abspath(path.parent if os.path.isfile(path) else path))


def _find_yaml(path: Path) -> Path | None:
    if os.path.isfile(path):
        return path if path.suffix.lower() in _SUFFIXES else None
    files = files_in(path) if os.path.isdir(path) else []
    found = [file for file in files if file.suffix.lower() in _SUFFIXES and _NAMES.search(read_text(file))]
    if len(found) > 1:
        raise ConfigError(
            f"{path} holds several YAML files ({shorten([file.name for file in found])}): give one of them"
        )
    return found[0] if found else None


def _find_place(root: Path, inner: str | None, name: str, what: str) -> Path:
    """The folder or the list called `name`, in the folder `inner` or beside the YAML.

    Roboflow writes `../train/images` for train/images.
    """
    homes = [root / inner, root] if inner else [root]
    tried = [home / each for home in homes for each in (name, name.removeprefix("../"))]
    found = next((place for place in tried if os.path.exists(place)), None)
    if found is None:
        raise ConfigError(f"{what}, {name}, does not exist in {homes[0]}: correct it, or remove the line")
    return Path(os.path.abspath(found))


def _images_of(place: Path, root: Path, faults: Faults) -> list[Path]:
    if os.path.isdir(place):
        return images_below(place)[0]
    images = []
    for name in (line.strip() for line in read_lines(place)):
        found = [home / name for home in (place.parent, root) if os.path.isfile(home / name)]
        if found:
            images.append(Path(os.path.abspath(found[0])))
        else:
            faults.missing.append((name, place))
    return images


def label_file_of(image: Path) -> Path:
    """Where the boxes of an image are: the last `images` of its path is `labels`, the suffix .txt."""
    folders = list(image.parts[:-1])
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return Path(*folders, f"{image.stem}.txt")


def _labels_alone(place: Path, images: Sequence[Path]) -> list[Path]:
    """Label files of pictures that are not there."""
    labels = label_file_of(place / "any").parent
    if labels == place or not os.path.isdir(labels):
        return []
    wanted = {label_file_of(image) for image in images}
    others = images_below(labels)[1]
    return [f for f in others if f.suffix == ".txt" and f.name not in _NO_LABELS and f not in wanted]


def _read_entry(image: Path, split: Split | None, names: Mapping[int, str], faults: Faults) -> BoxEntry:
    file = label_file_of(image)
    lines: list[LabelLine] = []
    if os.path.isfile(file):
        try:
            for each in read_label_file(file):
                if each.number in names:
                    lines.append(each)
                else:
                    what = f"{file} line {each.line} has the class {each.number}, which has no name"
                    faults.unnamed.append((file, f"{what}: add it to the names of the YAML, or correct the line"))
        except ConfigError as failure:
            faults.broken.append((file, str(failure)))
    width, height = upright_size(image)
    return BoxEntry(
        path=image,
        split=split,
        size=(width, height),
        labels=tuple(names[each.number] for each in lines),
        boxes_N4=np.array([each.box_4 for each in lines], np.float64).reshape(-1, 4) * [width, height, width, height],
        crowd_N=np.zeros(len(lines), np.bool_),
        area_N=np.array([each.area for each in lines], np.float64) * width * height,
    )
