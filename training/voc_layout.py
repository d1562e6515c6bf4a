"""Data sets in the format of Pascal VOC.

VOC2007/Annotations/000005.xml                 one for each picture
VOC2007/JPEGImages/000005.jpg                  or images/
VOC2007/ImageSets/Main/train.txt val.txt …     names without suffix, one a line; none: no splits
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from training.box_faults import Faults
from training.box_listing import BoxEntry, BoxListing, finish_boxes
from training.examine import upright_size
from training.folders import files_in, folders_in, in_order, is_image, read_lines
from training.listing import SPLITS, Split
from training.voc_file import read_voc

_ANNOTATIONS, _PICTURES = ("annotations",), ("jpegimages", "images")


def find_voc(path: Path) -> dict[Split | None, Path]:
    """The list of each split; None and the annotations themselves where nothing is split. Nothing if there are none."""
    annotations = _folder(path, _ANNOTATIONS)
    if annotations is None or not any(file.suffix.lower() == ".xml" for file in files_in(annotations)):
        return {}
    main = path / "ImageSets" / "Main"
    lists = {
        file.stem.lower(): file for file in (files_in(main) if os.path.isdir(main) else []) if file.suffix == ".txt"
    }
    found = {SPLITS[name]: file for name, file in lists.items() if name in SPLITS}
    if "train" not in found and "trainval" in lists:
        found.pop("val", None)  # a part of it
        found["train"] = lists["trainval"]
    return {split: found[split] for split in ("train", "val", "test") if split in found} or {None: annotations}


def list_voc(path: Path, parts: Mapping[Split | None, Path]) -> BoxListing:
    """Lists what `find_voc` found at `path`. Classes are in natural order: VOC numbers none.

    Raises:
        ConfigError: there is no folder of pictures, or a list names nothing.
    """
    root = root_of_voc(path)
    annotations, folder = _folder(root, _ANNOTATIONS), _folder(root, _PICTURES)
    if annotations is None or folder is None:
        raise ConfigError(f"{path} has Annotations/, and neither JPEGImages/ nor images/: put the pictures there")
    xmls = {file.stem: file for file in files_in(annotations) if file.suffix.lower() == ".xml"}
    pictures = {file.stem: file for file in files_in(folder) if is_image(file)}
    faults = Faults(root)
    entries: list[BoxEntry] = []
    for split, source in parts.items():
        names = list(xmls) if split is None else [line.strip() for line in read_lines(source)]
        if not names:
            raise ConfigError(f"{source} names no pictures: write one name a line, or remove it")
        for name in names:
            if name not in xmls:
                faults.missing.append((f"{annotations.name}/{name}.xml", source))
            elif name not in pictures:
                faults.alone.append(xmls[name])
            elif (entry := _read_entry(pictures[name], xmls[name], split, faults)) is not None:
                entries.append(entry)
    if None in parts:
        faults.unknown += [picture for name, picture in pictures.items() if name not in xmls]
    classes = in_order({label for entry in entries for label in entry.labels})
    return finish_boxes(root, path, entries, classes, faults.tell())


def root_of_voc(path: Path) -> Path:
    """What the names of the pictures are relative to: the folder around Annotations."""
    return Path(os.path.abspath(path))


def _folder(path: Path, names: tuple[str, ...]) -> Path | None:
    """The first folder of those names in `path`, in upper or lower case."""
    there = {folder.name.lower(): folder for folder in (folders_in(path) if os.path.isdir(path) else [])}
    return next((there[name] for name in names if name in there), None)


def _read_entry(picture: Path, xml: Path, split: Split | None, faults: Faults) -> BoxEntry | None:
    try:
        content = read_voc(xml)
    except ConfigError as failure:
        faults.broken.append((xml, str(failure)))
        return None
    boxes_N4 = np.array([each.box for each in content.objects], np.float64).reshape(-1, 4)
    return BoxEntry(
        path=picture,
        split=split,
        size=content.size or upright_size(picture),
        labels=tuple(each.name for each in content.objects),
        boxes_N4=boxes_N4,
        crowd_N=np.array([each.difficult for each in content.objects], np.bool_),
        area_N=(boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1),
    )
