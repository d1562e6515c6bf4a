"""What lies where: the images of a data set with their labels, as its folders or its CSV give them.

    photos/<class>/**/*.jpg                             class folders
    photos/train/<class>/… photos/val/… photos/test/…   given splits; val may be called valid or validation
    imagenet/train/n01440764/… imagenet/val/…           synset ids; their names if LOC_synset_mapping.txt lies there
    labels.csv                                          path,label[,split][,more columns]; see tables.py

Nothing is decoded here, and nothing is drawn by lot. Order is natural everywhere: img2 before img10.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigError
from training.findings import Finding, error, plural, shorten, warning
from training.folders import files_in, folders_in, images_below, in_order, is_image, read_lines
from training.listing import SPLITS, Entry, Listing, Split, finish_listing

Layout = Literal["auto", "folders", "csv", "cifar", "imagenet"]

SYNSETS = "LOC_synset_mapping.txt"

_SYNSET = re.compile(r"n\d{8}")
_FLAT_IMAGENET = (
    "{} holds images without class folders: sort them by LOC_val_solution.csv into a folder per synset, as n01440764/"
)


def list_folders(root: Path, layout: Layout, level: int | None) -> Listing:
    """Lists class folders, with or without splits above them.

    Args:
        level: the folder below the class whose name an image is grouped by; 1 is the one right in the class folder.

    Raises:
        ConfigError: nothing of the kind lies there.
    """
    _refuse_archives(root)
    names = _read_synsets(root)
    parts, ignored = _find_splits(root, layout)
    flat = _FLAT_IMAGENET if layout == "imagenet" or _is_imagenet(parts) else None
    entries: list[Entry] = []
    order: set[str] = set()  # of the folders, so that ImageNet's classes have their usual numbers whatever their names
    empty: list[Path] = []
    for split, folder in parts:
        for label_folder in _class_folders(folder, flat):
            label = names.get(label_folder.name, label_folder.name)
            found, others = images_below(label_folder)
            entries += [Entry(path, label, split, _group(path, label_folder, level)) for path in found]
            ignored += others
            if found:
                order.add(label_folder.name)
            else:
                empty.append(label_folder)
        ignored += [path for path in files_in(folder) if is_image(path)]
    if not entries:
        raise ConfigError(f"{root} holds no images in its class folders: give another folder")
    if level is not None and all(entry.group is None for entry in entries):
        raise ConfigError(f"slice {level} fits no image of {root}: none has {plural(level, 'folder')} below its class")
    classes = [names.get(name, name) for name in in_order(order)]
    return finish_listing(root, entries, classes, [*_tell_empty(root, empty), *_tell_ignored(root, ignored)])


def _find_splits(root: Path, layout: Layout) -> tuple[list[tuple[Split | None, Path]], list[Path]]:
    """The folders that hold class folders, each with its split, and what lies beside them."""
    folders = folders_in(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    train = next((folder for folder in splits if folder.name.lower() == "train"), None)
    if train is None or not folders_in(train):
        if layout in ("cifar", "imagenet"):
            raise ConfigError(f"{root} has no folder train/ with class folders: give the folder around train/")
        if splits and len(splits) == len(folders):
            raise ConfigError(f"{root} has no train/ with class folders beside {shorten([s.name for s in splits])}")
        return [(None, root)], []
    found: dict[Split, Path] = {}
    ignored = [folder for folder in folders if folder not in splits]
    for folder in splits:
        split = SPLITS[folder.name.lower()]
        if split in found:
            raise ConfigError(f"{root} has both {found[split].name}/ and {folder.name}/: keep one")
        if split == "test" and not folders_in(folder):
            ignored.append(folder)  # without labels, as competitions give it
            continue
        found[split] = folder
    order: tuple[Split, ...] = ("train", "val", "test")
    return [(split, found[split]) for split in order if split in found], ignored


def _class_folders(folder: Path, flat: str | None) -> list[Path]:
    found = folders_in(folder)
    if not found:
        images = any(is_image(path) for path in files_in(folder))
        if images and flat:
            raise ConfigError(flat.format(folder))
        what = "images but no class folders: sort them into a folder per class" if images else "no class folders"
        tables = [path.name for path in files_in(folder) if path.suffix.lower() == ".csv"]
        hint = f", or give {folder / tables[0]}" if tables else ""
        raise ConfigError(f"{folder} holds {what}{hint}")
    return found


def _is_imagenet(parts: Sequence[tuple[Split | None, Path]]) -> bool:
    folders = folders_in(parts[0][1])
    return bool(folders) and all(_SYNSET.fullmatch(folder.name) for folder in folders)


def _read_synsets(root: Path) -> dict[str, str]:
    """Names of the classes by synset id: the first name, or all of them where two synsets share the first."""
    file = next((folder / SYNSETS for folder in (root, root.parent) if os.path.isfile(folder / SYNSETS)), None)
    if file is None:
        return {}
    lines = [line.partition(" ") for line in read_lines(file)]
    names = {synset: words.partition(",")[0].strip() for synset, _, words in lines}
    for synset, _, words in lines:
        if not _SYNSET.fullmatch(synset) or not words.strip():
            raise ConfigError(f"{file} is broken: expected lines such as 'n01440764 tench', not '{synset} {words}'")
    shared = Counter(names.values())
    return {synset: f"{name} ({synset})" if shared[name] > 1 else name for synset, name in names.items()}


def _group(path: Path, label_folder: Path, level: int | None) -> str | None:
    folders = path.relative_to(label_folder).parts[:-1] if level is not None else ()
    return folders[level - 1] if level is not None and len(folders) >= level else None


def _refuse_archives(root: Path) -> None:
    """CIFAR as it is downloaded: records, or pickles, in place of image files."""
    if any(os.path.isfile(root / name) for name in ("test_batch.bin", "fine_label_names.txt")):
        raise ConfigError(f"{root} holds CIFAR's records; make image files: onsight data unpack {root} --output cifar")
    if any(os.path.isfile(root / name) for name in ("data_batch_1", "train", "test")):
        raise ConfigError(f"{root} holds CIFAR as pickles, which can run code: download CIFAR's binary version instead")


def _tell_empty(root: Path, folders: Sequence[Path]) -> Iterator[Finding]:
    if folders:
        names = [f"{folder.relative_to(root).as_posix()}/" for folder in folders]
        what = (
            f"{shorten(names)} in {root} holds no images"
            if len(names) == 1
            else (f"{len(names)} class folders of {root} hold no images: {shorten(names)}")
        )
        yield error("empty_class", f"{what}; fill or remove", [(name,) for name in names])


def _tell_ignored(root: Path, paths: Sequence[Path]) -> Iterator[Finding]:
    if paths:
        names = [path.relative_to(root).as_posix() for path in paths]
        what = f"{plural(len(names), 'file or folder is', 'files or folders are')} left out"
        yield warning(
            "ignored", f"{what}: no images by their names, or outside the class folders", [(name,) for name in names]
        )
