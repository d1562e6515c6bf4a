"""What `check_boxes` finds in detection data, fault by fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.annotations import WRITERS, Box, Object, Scene, draw, write_coco, write_yolo

from pipeline.errors import ConfigError
from training.annotated import read_annotated, read_splits
from training.boxes_check import check_boxes
from training.check import Report
from training.findings import Finding

CLASSES = ("cat", "dog")
PAIR = (Object("cat", (4, 5, 40, 30)), Object("dog", (10, 10, 60, 40)))


def scenes(prefix: str, count: int) -> list[Scene]:
    return [Scene(f"{prefix}{n}", PAIR) for n in range(count)]


def with_objects(root: Path, *objects: Object) -> Report:
    """A good data set, and one more picture of 64 x 48."""
    write_coco(root, {"train": [*scenes("a", 10), Scene("odd", objects)]}, CLASSES)
    return check_boxes(root)


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(finding.severity, finding.kind) for finding in report.findings]


def only(report: Report) -> Finding:
    (finding,) = report.findings
    assert "\n" not in finding.message
    return finding


def edit(file: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("layout", WRITERS)
def test_good_data_has_no_findings(tmp_path: Path, layout: str) -> None:
    root = WRITERS[layout](tmp_path, {"train": scenes("a", 12), "val": scenes("b", 3)}, CLASSES)
    report = check_boxes(root)
    assert report.findings == ()
    assert (report.images, report.boxes) == (15, 30)
    assert report.splits == {"train": 12, "val": 3}
    assert report.counts == {label: {"train": 12, "val": 3} for label in CLASSES}
    assert report.to_json()["boxes"] == 30


ODD: list[tuple[str, str, Sequence[Box], str]] = [
    ("error", "outside_box", [(64, 0, 80, 20)], "1 box in 1 image lying outside it: of another picture"),
    ("error", "outside_box", [(5, -20, 20, 0)], "(images/odd.png: cat at 5, -20)"),
    ("warning", "cut_box", [(-1.5, 0, 20, 20)], "reaching out of it by more than 1 pixel: training cuts them"),
    ("warning", "cut_box", [(5, 5, 20, 49.5), (9, 9, 66, 40)], "2 boxes in 1 image reaching out"),
    ("warning", "empty_box", [(5, 5, 5, 20), (5, 5, 20, 5)], "2 boxes in 1 image without width or height"),
    ("warning", "tiny_box", [(5, 5, 6.5, 20)], "1 box in 1 image with a side of less than 2 pixels"),
    ("warning", "repeated_box", [(5, 5, 45, 45), (5, 5, 45.5, 45)], "1 box in 1 image repeating one of the same class"),
    ("warning", "repeated_box", [(5, 5, 45, 45)] * 3, "2 boxes in 1 image repeating"),
]


@pytest.mark.parametrize(("severity", "kind", "boxes", "told"), ODD)
def test_odd_boxes(tmp_path: Path, severity: str, kind: str, boxes: Sequence[Box], told: str) -> None:
    finding = only(with_objects(tmp_path, *(Object("cat", box) for box in boxes)))
    assert (finding.severity, finding.kind, finding.files) == (severity, kind, (("images/odd.png",),))
    assert told in finding.message


def test_boxes_that_are_not_odd(tmp_path: Path) -> None:
    edges = [Object("cat", (-1, -1, 65, 49)), Object("cat", (62, 0, 64, 2))]
    alike = [Object("dog", (5, 5, 45, 45)), Object("cat", (5, 5, 45, 45)), Object("cat", (5, 5, 45, 43))]
    assert with_objects(tmp_path, *edges, *alike).findings == ()


def test_pictures_without_boxes_are_a_note(tmp_path: Path) -> None:
    report = with_objects(tmp_path)
    assert kinds(report) == [("note", "no_boxes")]
    assert only(report).message == "1 image without any box: they teach what is none"
    assert (report.number("error"), report.number("warning")) == (0, 0)
    edit(tmp_path / "train.json", lambda content: content.update(annotations=[]))
    assert only(check_boxes(tmp_path)).severity == "error"


def test_another_size_than_the_file_has(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 10)}, CLASSES)
    draw(root / "images" / "a3.png", Scene("a3", size=(48, 64)))
    finding = only(check_boxes(root))
    assert (finding.severity, finding.kind, finding.files) == ("error", "other_size", (("images/a3.png",),))
    assert "1 image has another size than the annotation says (images/a3.png: 48 x 64, not 64 x 48)" in finding.message


def test_categories_and_images_that_are_not_listed(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)

    def change(content: Any) -> None:
        content["annotations"][0]["category_id"] = 90
        content["annotations"][2]["image_id"] = 90

    edit(root / "train.json", change)
    report = check_boxes(root)
    assert kinds(report) == [("error", "unknown_image"), ("error", "unknown_category")]
    assert "1 box of images that it does not list (image_id 90)" in report.findings[0].message
    assert "1 box of categories that it does not list (category_id 90)" in report.findings[1].message
    assert report.findings[1].files == (("images/a0.png",),)


def test_a_picture_that_a_json_lists_twice(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)

    def change(content: Any) -> None:
        content["images"].append({**content["images"][4], "id": 90, "file_name": "../images/a4.png"})
        content["annotations"][8]["image_id"] = 90  # half of its boxes

    edit(root / "train.json", change)
    finding = only(check_boxes(root))
    assert (finding.severity, finding.kind, finding.files) == ("error", "repeated_image", (("images/a4.png",),))
    told = "train.json lists 1 picture more than once (images/a4.png): list each once, in one split, with all of its"
    assert told in finding.message
    with pytest.raises(ConfigError, match="lists 1 picture more than once"):
        read_splits(root)
    with pytest.raises(ConfigError, match="lists 1 picture more than once"):
        read_annotated(root, CLASSES)


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_a_picture_in_the_lists_of_two_splits(tmp_path: Path, layout: str) -> None:
    given = {"train": scenes("a", 12), "val": scenes("b", 3)}
    root = WRITERS[layout](tmp_path, given, CLASSES)
    if layout == "coco":
        edit(root / "val.json", lambda content: content["images"][0].update(file_name="a4.png"))
    else:
        (root / "ImageSets" / "Main" / "val.txt").write_text("a4\nb1\nb2\n")
    finding = only(check_boxes(root))
    assert (finding.severity, finding.kind) == ("error", "repeated_image")
    assert "lists 1 picture more than once (" in finding.message
    assert "a4.png in train and val)" in finding.message
    with pytest.raises(ConfigError, match=r"a4.png in train and val\): list each once"):
        read_splits(root)


def test_categories_of_one_name(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)
    edit(root / "train.json", lambda content: content["categories"].append({"id": 77, "name": "cat"}))
    assert check_boxes(root).findings == ()  # a group without boxes, as Roboflow adds one
    edit(root / "train.json", lambda content: content["annotations"][0].update(category_id=77))
    finding = only(check_boxes(root))
    assert (finding.severity, finding.kind) == ("error", "repeated_category")
    assert "train.json has boxes of several categories of one name (cat): rename them" in finding.message
    with pytest.raises(ConfigError, match=r"several categories of one name \(cat\)"):
        read_splits(root)


def test_pictures_that_are_missing_or_broken(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)
    (root / "images" / "a1.png").unlink()
    (root / "images" / "a2.png").write_bytes(b"")
    report = check_boxes(root)
    assert kinds(report) == [("error", "unreadable"), ("error", "missing_file")]
    assert [finding.files for finding in report.findings] == [(("images/a2.png",),), (("a1.png",),)]
    assert "cannot find 1 picture (a1.png)" in report.findings[1].message


def test_label_files_that_are_broken_are_told_together(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"train": scenes("a", 14)}, CLASSES)
    labels = root / "labels" / "train"
    for name, text in (("a1", "0 1\n"), ("a2", "cat 1 1 1 1\n"), ("a3", "5 0.5 0.5 0.1 0.1\n")):
        (labels / f"{name}.txt").write_text(text)
    (root / "images" / "train" / "a4.png").write_bytes(b"")  # its size is unknown, and its boxes are
    report = check_boxes(root)
    assert kinds(report)[:3] == [("error", "unreadable"), ("error", "broken"), ("error", "unknown_category")]
    assert report.findings[1].message.startswith(f"{labels / 'a1.txt'} line 1 has 1 value after the class")
    assert report.findings[1].message.endswith("; and 1 more")
    assert report.findings[1].files == (("labels/train/a1.txt",), ("labels/train/a2.txt",))
    assert report.findings[2].message.startswith(f"{labels / 'a3.txt'} line 1 has the class 5, which has no name")
    assert not {"empty_box", "outside_box"} & {kind for _, kind in kinds(report)}


def test_annotations_that_are_broken_are_told_and_the_check_goes_on(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 14)}, CLASSES)

    def change(content: Any) -> None:
        for number, bbox in enumerate(([1, 2, 3], ["x", 2, 3, 4], [0, float("nan"), 5, 5], [0, 0, -5, 5])):
            content["annotations"].append({"id": 90 + number, "image_id": number % 3, "category_id": 1, "bbox": bbox})

    edit(root / "train.json", change)
    report = check_boxes(root)
    finding = only(report)
    assert (finding.severity, finding.kind) == ("error", "broken")
    assert finding.message.startswith(
        f"{root / 'train.json'}: annotation 90 has no usable bbox: x, y, width and height"
    )
    assert finding.message.endswith("; and 3 more (annotation 91, annotation 92, annotation 93): correct or remove")
    assert finding.files == (("images/a0.png",), ("images/a1.png",), ("images/a2.png",))
    assert (report.images, report.boxes) == (14, 28)


# Pictures, as for classifiers


def test_the_same_picture_in_two_splits(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"train": scenes("a", 12), "val": scenes("b", 3)}, CLASSES)
    draw(root / "images" / "val" / "b1.png", Scene("a7"))
    finding = only(check_boxes(root))
    assert (finding.kind, finding.files) == ("leak", (("images/train/a7.png", "images/val/b1.png"),))
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/train\n")
    finding = only(check_boxes(root))
    assert (finding.kind, len(finding.files)) == ("repeated_image", 12)


def test_odd_pictures_and_those_that_repeat(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)
    Image.open(root / "images" / "a1.png").convert("L").save(root / "images" / "a1.png")
    draw(root / "images" / "a2.png", Scene("a3"))
    assert kinds(check_boxes(root)) == [("warning", "mode"), ("warning", "duplicate")]
    assert check_boxes(root, distance=0).findings == check_boxes(root).findings


def test_a_long_picture_is_not_odd_for_nothing_is_cropped(tmp_path: Path) -> None:
    long = [Scene(f"a{n}", PAIR, (200, 48)) for n in range(10)]
    assert check_boxes(write_coco(tmp_path, {"train": long}, CLASSES)).findings == ()


# Classes


def test_classes_by_their_boxes_in_each_split(tmp_path: Path) -> None:
    cat, dog = ([Object(label, (5, 5, 40, 40))] for label in CLASSES)
    given = {"train": [Scene(f"a{n}", cat) for n in range(12)], "val": [Scene("b0", dog)]}
    report = check_boxes(write_coco(tmp_path, given, (*CLASSES, "bird")))
    assert kinds(report) == [("error", "empty_class"), ("error", "unknown_class"), ("warning", "missing_class")]
    assert report.findings[0].message.startswith("1 class has no boxes (bird): draw some, or take them out")
    assert report.findings[1].message == "val has boxes of classes that train has not: dog"
    assert report.findings[2].message == "val has no boxes of cat, which train has"


def test_rare_classes(tmp_path: Path) -> None:
    cats = [Object("cat", (2 + 3 * n, 5, 40 + 3 * n, 40)) for n in range(7)]
    given = [Scene(f"a{n}", cats) for n in range(14)] + [Scene("b", PAIR[1:])]
    report = check_boxes(write_coco(tmp_path, {"train": given}, CLASSES))
    assert kinds(report) == [("warning", "small_class"), ("warning", "imbalance")]
    assert report.findings[0].message == "1 class has fewer than 10 boxes to train on: dog (1)"
    assert report.findings[1].message.startswith("'cat' has 98 boxes to train on, 'dog' 1")
    assert report.imbalance == 98


def test_a_group_of_classes_is_none(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"train": scenes("a", 12)}, CLASSES)

    def change(content: Any) -> None:
        for category in content["categories"]:
            category["supercategory"] = "animals"
        content["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})

    edit(root / "train.json", change)
    assert list(check_boxes(root).counts) == ["cat", "dog"]
    edit(root / "train.json", lambda content: content["annotations"][0].update(category_id=0))
    assert list(check_boxes(root).counts) == ["animals", "cat", "dog"]


def test_the_split_of_a_run_is_looked_at(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "set", {"all": scenes("a", 12)}, CLASSES)
    rows = "".join(f"images/a{n}.png,cat,{'val' if n > 8 else 'train'}\n" for n in range(12))
    (tmp_path / "split.csv").write_text(f"path,label,split\n{rows}")
    report = check_boxes(root, split=tmp_path / "split.csv")
    assert report.splits == {"train": 9, "val": 3}
    assert report.counts["cat"] == {"train": 9, "val": 3}
    assert kinds(report) == [("warning", "small_class")]


def test_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no annotations that can be read: give the layout voc"):
        check_boxes(write_coco(tmp_path, {"train": scenes("a", 1)}, CLASSES), layout="voc")
    (tmp_path / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(ConfigError, match=r"train.json lists no images"):
        check_boxes(tmp_path)
