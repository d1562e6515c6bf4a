"""Which layout a detection data set has: COCO's JSON, YOLO text or Pascal VOC's XML."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import ConfigError
from training.box_listing import BoxLayout, BoxListing
from training.coco_layout import find_coco, list_coco, root_of_coco
from training.listing import SPLITS, Split
from training.voc_layout import find_voc, list_voc, root_of_voc
from training.yolo_layout import find_yolo, list_yolo, root_of_yolo

_FIND: Mapping[BoxLayout, Callable[[Path], dict[Split | None, Any]]] = {
    "coco": find_coco,
    "yolo": find_yolo,
    "voc": find_voc,
}
_LIST: Mapping[BoxLayout, Callable[[Path, Any], BoxListing]] = {"coco": list_coco, "yolo": list_yolo, "voc": list_voc}
_ROOT: Mapping[BoxLayout, Callable[[Path], Path]] = {"coco": root_of_coco, "yolo": root_of_yolo, "voc": root_of_voc}
_KNOWN = "a .json in the format of COCO, a YAML of YOLO with names, or Annotations/ of Pascal VOC"


@dataclass(frozen=True, slots=True)
class BoxData:
    """A detection data set that was found, not read yet.

    Args:
        parts: what is to be read for each split; None: for the whole data set, which brings no splits.
    """

    path: Path
    layout: BoxLayout
    parts: Mapping[Split | None, Any]

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that the data set brings."""
        return tuple(split for split in self.parts if split is not None)

    @property
    def root(self) -> Path:
        """What names are relative to, as in its `BoxListing`."""
        return _ROOT[self.layout](self.path)

    def read(self) -> BoxListing:
        """Reads all annotations; of the pictures, no more than the head.

        Raises:
            ConfigError: an annotation of many pictures is broken, or there is nothing in it.
        """
        return _LIST[self.layout](self.path, self.parts)


def find_boxes(path: Path, layout: BoxLayout | Literal["auto"] = "auto") -> BoxData | None:
    """The detection data set at `path`, a folder or a file, or the split of one: `bccd/test`. None if there is none.

    Raises:
        ConfigError: there are several.
    """
    layouts: tuple[BoxLayout, ...] = get_args(BoxLayout) if layout == "auto" else (layout,)
    found = [BoxData(path, each, parts) for each in layouts if (parts := _FIND[each](path))]
    if len(found) > 1:
        names = " or ".join(data.layout for data in found)
        raise ConfigError(f"{path} can be read as {names}: give the .json or the YAML itself, or keep one of them")
    if found:
        return found[0]
    split = SPLITS.get(path.name.lower())
    around = find_boxes(path.parent, layout) if split and path.parent != path else None
    if around is None or split not in around.parts:
        return None
    return replace(around, parts={split: around.parts[split]})


def need_boxes(path: Path, layout: BoxLayout | Literal["auto"] = "auto") -> BoxData:
    """`find_boxes`, where there has to be something.

    Raises:
        ConfigError: there is nothing, or several.
    """
    if (found := find_boxes(path, layout)) is not None:
        return found
    if not os.path.exists(path):
        raise ConfigError(f"{path} does not exist: check the path")
    if os.path.isdir(path / "labels"):
        raise ConfigError(f"{path} has labels/ and no YAML with the names of their classes: write a data.yaml")
    what = "is no annotation" if os.path.isfile(path) else "holds no annotations"
    raise ConfigError(f"{path} {what} that can be read: give {_KNOWN if layout == 'auto' else f'the layout {layout}'}")
