"""Data sets in the format of COCO: where their JSON and their pictures lie.

bccd/train.json val.json test.json images/              a JSON a split
coco/annotations/instances_train2017.json … train2017/  as COCO has it
set/train/_annotations.coco.json valid/… test/…         as Roboflow has it
set/anything.json images/                               one JSON, no splits
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from training.box_listing import BoxEntry, BoxListing, finish_boxes
from training.coco_file import BrokenBox, CocoBox, CocoContent, CocoImage, read_content
from training.findings import Finding, error, plural, shorten
from training.folders import files_in, folders_in
from training.listing import SPLITS, Split, name_in

_PREFIX = "instances_"
_LISTS = (b'"images"', b'"annotations"')


def find_coco(path: Path) -> dict[Split | None, Path]:
    """The JSON of each split; None: of the whole data set. Nothing if no data set in the format of COCO lies there.

    Raises:
        ConfigError: several that are no splits.
    """
    if not os.path.isdir(path):
        return {None: path} if path.suffix.lower() == ".json" and os.path.isfile(path) else {}
    below = path / "annotations"
    instances = [file for file in _jsons_in(below) if file.name.startswith(_PREFIX)] if os.path.isdir(below) else []
    if found := _jsons_in(path) or instances:
        return {None: found[0]} if len(found) == 1 else _name_splits(path, [(_split_of(file), file) for file in found])
    folders = [(SPLITS[folder.name.lower()], folder) for folder in folders_in(path) if folder.name.lower() in SPLITS]
    return _name_splits(path, [(split, file) for split, folder in folders for file in _jsons_in(folder)])


def list_coco(path: Path, files: Mapping[Split | None, Path]) -> BoxListing:
    """Lists what `find_coco` found at `path`.

    A picture is looked for beside its JSON: right there, in `images`, in the folder called like the JSON (`train2017`
    for `instances_train2017.json`), and in that folder within `images`. If the JSON lies in a folder `annotations`, the
    same places beside that folder come next. The first file of that name counts.

    Raises:
        ConfigError: a file is not in the format of COCO.
    """
    root = root_of_coco(path)
    entries: list[BoxEntry] = []
    findings: list[Finding] = []
    classes: dict[str, None] = {}
    for split, file in files.items():
        content, broken = read_content(file)
        classes |= dict.fromkeys(_classes_of(content))
        found, places = _find_pictures(content.images, file)
        entries += _gather(content, found, split)
        findings += [*_judge_broken(broken, found, file, root), *_judge(content, found, places, file, root)]
    return finish_boxes(root, next(iter(files.values())) if len(files) == 1 else path, entries, classes, findings)


def root_of_coco(path: Path) -> Path:
    """What the names of the pictures at `path` are relative to: `annotations` lies beside them."""
    folder = Path(os.path.abspath(path if os.path.isdir(path) else path.parent))
    return folder.parent if folder.name == "annotations" else folder


def _jsons_in(folder: Path) -> list[Path]:
    """Those that hold annotations; others, such as settings, may lie beside them."""
    found = [path for path in files_in(folder) if path.suffix.lower() == ".json"]
    return [path for path in found if _has_lists(path)]


def _has_lists(file: Path) -> bool:
    try:
        data = file.read_bytes()
    except OSError:
        return True  # reading it tells why
    return all(name in data for name in _LISTS)


def _split_of(file: Path) -> Split | None:
    """`train` for train.json and for instances_train2017.json."""
    return SPLITS.get(re.sub(r"[-_]?\d+$", "", file.stem.removeprefix(_PREFIX)).lower())


def _name_splits(path: Path, found: Sequence[tuple[Split | None, Path]]) -> dict[Split | None, Path]:
    splits = [split for split, _ in found]
    if None in splits or len(set(splits)) < len(splits):
        named = shorten([file.relative_to(path).as_posix() for _, file in found])
        raise ConfigError(f"{path} holds several .json files ({named}): give one of them")
    files = dict(found)
    return {split: files[split] for split in ("train", "val", "test") if split in files}


def _classes_of(content: CocoContent) -> list[str]:
    """Names in the order of their ids, without those that only group others, as Roboflow's first one does."""
    used = {box.category_id for box in content.annotations}
    groups = {each.supercategory for each in content.categories if each.supercategory != each.name}
    ordered = sorted(content.categories, key=lambda category: category.id)
    return [each.name for each in ordered if each.id in used or each.name not in groups]


def _find_pictures(images: Sequence[CocoImage], file: Path) -> tuple[dict[int, Path], list[Path]]:
    """The picture of each id, where there is one, and the folders that were looked in."""
    folder = Path(os.path.abspath(file.parent))
    roots = [folder, folder.parent] if folder.name == "annotations" else [folder]
    stem = file.stem.removeprefix(_PREFIX)
    wanted = [root / inner for root in roots for inner in ("", "images", stem, f"images/{stem}")]
    places = [place for place in wanted if os.path.isdir(place)]
    found = ((image.id, _first_file([place / image.file_name for place in places])) for image in images)
    return {number: path for number, path in found if path is not None}, places


def _first_file(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if os.path.isfile(path)), None)


def _gather(content: CocoContent, pictures: Mapping[int, Path], split: Split | None) -> Iterator[BoxEntry]:
    names = {category.id: category.name for category in content.categories}
    boxes: dict[int, list[CocoBox]] = {image.id: [] for image in content.images}
    for box in content.annotations:
        if box.image_id in boxes and box.category_id in names:
            boxes[box.image_id].append(box)
    for image in content.images:
        if image.id not in pictures:
            continue
        there = boxes[image.id]
        xywh_N4 = np.array([box.bbox for box in there], np.float64).reshape(-1, 4)
        areas = [box.bbox[2] * box.bbox[3] if box.area is None else box.area for box in there]
        yield BoxEntry(
            path=pictures[image.id],
            split=split,
            size=(image.width, image.height),
            labels=tuple(names[box.category_id] for box in there),
            boxes_N4=np.concatenate([xywh_N4[:, :2], xywh_N4[:, :2] + xywh_N4[:, 2:]], 1),
            crowd_N=np.array([box.iscrowd for box in there], np.bool_),
            area_N=np.array(areas, np.float64),
        )


def _judge_broken(
    broken: Sequence[BrokenBox], pictures: Mapping[int, Path], file: Path, root: Path
) -> Iterator[Finding]:
    if broken:
        more = f"; and {len(broken) - 1:,} more ({shorten([each.name for each in broken[1:]])})" if broken[1:] else ""
        named = dict.fromkeys(pictures[n] for each in broken if isinstance(n := each.image_id, int) and n in pictures)
        yield error(
            "broken",
            f"{file}: {broken[0].name} {broken[0].why}{more}: correct or remove",
            [(name_in(root, picture),) for picture in named],
        )


def _judge(
    content: CocoContent, pictures: Mapping[int, Path], places: Sequence[Path], file: Path, root: Path
) -> Iterator[Finding]:
    files = {image.id: image.file_name for image in content.images}
    known = {category.id for category in content.categories}
    lost = [box for box in content.annotations if box.image_id not in files]
    if lost:
        which = shorten(list(dict.fromkeys(box.image_id for box in lost)))
        what = f"{file} has {plural(len(lost), 'box', 'boxes')} of images that it does not list (image_id {which})"
        yield error("unknown_image", f"{what}: list them, or remove their boxes")
    strange = [box for box in content.annotations if box.category_id not in known]
    if strange:
        which = shorten(list(dict.fromkeys(box.category_id for box in strange)))
        what = f"{plural(len(strange), 'box', 'boxes')} of categories that it does not list (category_id {which})"
        whose = dict.fromkeys(box.image_id for box in strange if box.image_id in pictures)
        yield error(
            "unknown_category",
            f"{file} has {what}: list them, or correct the number",
            [(name_in(root, pictures[number]),) for number in whose],
        )
    used = {box.category_id for box in content.annotations}
    named = Counter(category.name for category in content.categories if category.id in used)
    if twice := [name for name, count in named.items() if count > 1]:
        what = f"{file} has boxes of several categories of one name ({shorten(twice)})"
        yield error("repeated_category", f"{what}: rename them, or make them one")
    missing = [name for number, name in files.items() if number not in pictures]
    if missing:
        what = f"cannot find {plural(len(missing), 'picture')} ({shorten(missing)}) of {file}"
        advice = f"put them beside it; looked in {', '.join(map(str, places))}"
        yield error("missing_file", f"{what}: {advice}", [(name,) for name in missing])
