"""Small detection data sets in every layout, from one description of their pictures."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import yaml
from support.pictures import draw_picture

Box = tuple[float, float, float, float]


class Object(NamedTuple):
    """An object: `box` is xyxy in pixels, the first pixel spans 0 to 1."""

    label: str
    box: Box
    crowd: bool = False


class Scene(NamedTuple):
    """A picture, `name` without suffix; `size` is width and height."""

    name: str
    objects: Sequence[Object] = ()
    size: tuple[int, int] = (64, 48)


def draw(file: Path, scene: Scene) -> Path:
    """A picture that is like no other of another name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_picture("red", zlib.crc32(scene.name.encode()), scene.size[::-1]).save(file)
    return file


def write_coco(root: Path, splits: Mapping[str, Sequence[Scene]], classes: Sequence[str]) -> Path:
    """`root/<split>.json` and `root/images/`."""
    numbers = {name: 3 * place + 1 for place, name in enumerate(classes)}
    for split, scenes in splits.items():
        content = {
            "images": [
                {"id": i, "file_name": f"{scene.name}.png", "width": scene.size[0], "height": scene.size[1]}
                for i, scene in enumerate(scenes)
            ],
            "categories": [{"id": number, "name": name} for name, number in numbers.items()],
            "annotations": [
                {
                    "image_id": i,
                    "category_id": numbers[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": int(crowd),
                }
                for i, scene in enumerate(scenes)
                for label, (x1, y1, x2, y2), crowd in scene.objects
            ],
        }
        for scene in scenes:
            draw(root / "images" / f"{scene.name}.png", scene)
        (root / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def write_yolo(root: Path, splits: Mapping[str, Sequence[Scene]], classes: Sequence[str]) -> Path:
    """`root/data.yaml`, `root/images/<split>/` and `root/labels/<split>/`; no file where nothing is to be seen."""
    for split, scenes in splits.items():
        labels = root / "labels" / split
        labels.mkdir(parents=True)
        for scene in scenes:
            draw(root / "images" / split / f"{scene.name}.png", scene)
            width, height = scene.size
            lines = [
                f"{classes.index(label)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
                f"{(x2 - x1) / width} {(y2 - y1) / height}\n"
                for label, (x1, y1, x2, y2), _ in scene.objects
            ]
            if lines:
                (labels / f"{scene.name}.txt").write_text("".join(lines))
    content = {"names": list(classes), "nc": len(classes), **{split: f"images/{split}" for split in splits}}
    (root / "data.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return root


def write_voc(root: Path, splits: Mapping[str, Sequence[Scene]], classes: Sequence[str] = ()) -> Path:
    """`root/Annotations/`, `root/JPEGImages/`, `root/ImageSets/Main/<split>.txt`; corners count from 1, inclusive."""
    main = root / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (root / "Annotations").mkdir()
    for split, scenes in splits.items():
        (main / f"{split}.txt").write_text("".join(f"{scene.name}\n" for scene in scenes))
        for scene in scenes:
            draw(root / "JPEGImages" / f"{scene.name}.png", scene)
            objects = "".join(
                f"  <object>\n    <name>{escape(label)}</name>\n    <difficult>{int(crowd)}</difficult>\n    <bndbox>"
                f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n  </object>\n"
                for label, (x1, y1, x2, y2), crowd in scene.objects
            )
            width, height = scene.size
            text = (
                f"<annotation>\n  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
                f"{objects}</annotation>\n"
            )
            (root / "Annotations" / f"{scene.name}.xml").write_text(text, encoding="utf-8")
    return root


WRITERS = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}
