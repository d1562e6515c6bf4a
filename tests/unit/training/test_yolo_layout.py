"""Data sets in YOLO text: what Ultralytics and Roboflow write, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.annotations import Scene, draw

from pipeline.errors import ConfigError, OnsightError
from training.annotated import AnnotatedImage, read_annotated
from training.box_layouts import need_boxes

LABELS = ("cat", "dog")


def write(root: Path, text: str | None = "0 0.5 0.5 0.25 0.5\n", images: str = "images", **keys: object) -> Path:
    """One picture of 64 x 48 with these labels, in a data set with these keys."""
    draw(root / images / "a.png", Scene("a"))
    labels = root / images.replace("images", "labels") / "a.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        labels.write_text(text, encoding="utf-8")
    (root / "data.yaml").write_text(yaml.safe_dump({"names": list(LABELS), "train": images} | keys), encoding="utf-8")
    return root


def only(root: Path) -> AnnotatedImage:
    (image,) = read_annotated(root, LABELS).images
    return image


def refusal(root: Path) -> str:
    with pytest.raises(OnsightError) as caught:
        read_annotated(root, LABELS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_box_and_blank_lines(tmp_path: Path) -> None:
    image = only(write(tmp_path, "\n1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.25 0.5\n"))
    np.testing.assert_allclose(image.boxes_N4, [[24, 12, 40, 36], [0, 0, 16, 24]])
    assert image.labels_N.tolist() == [1, 0]


def test_names_lose_the_spaces_at_their_ends(tmp_path: Path) -> None:
    root = write(tmp_path, names=[" cat", "dog "])
    assert need_boxes(root).read().classes == LABELS
    assert only(root).labels_N.tolist() == [0]


def test_a_polygon_is_the_box_around_it_and_keeps_its_area(tmp_path: Path) -> None:
    image = only(write(tmp_path, "0 0.25 0.25 0.75 0.25 0.25 0.75\n"))
    np.testing.assert_allclose(image.boxes_N4, [[16, 12, 48, 36]])
    np.testing.assert_allclose(image.area_N, [32 * 24 / 2])


def test_boxes_are_relative_to_the_picture_upright(tmp_path: Path) -> None:
    root = write(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(root / "images" / "a.png", exif=exif)
    image = only(root)
    assert (image.width, image.height) == (20, 40)
    np.testing.assert_allclose(image.boxes_N4, [[7.5, 10, 12.5, 30]])


@pytest.mark.parametrize("images", ["images/train", "train/images", "images/2026/images", "pictures"])
def test_labels_lie_beside_the_last_folder_called_images(tmp_path: Path, images: str) -> None:
    root = write(tmp_path, None, images)
    before, _, after = images.rpartition("images")
    label = root / f"{before}labels{after}" / "a.txt" if "images" in images else root / images / "a.txt"
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text("1 0.5 0.5 0.25 0.5\n")
    draw(root / images / "b.png", Scene("b"))  # nothing to be seen
    first, second = read_annotated(root, LABELS).images
    assert (first.labels_N.tolist(), len(second)) == ([1], 0)


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "inner", "train": "images"},
        {"path": "elsewhere/that/is/gone", "train": "inner/images"},
        {"train": "../inner/images"},  # Roboflow
        {"train": ["inner/images"]},
        {"train": "list.txt"},
        {"train": "inner/list.txt"},
        {"names": {0: "cat", 1: "dog"}, "train": "inner/images", "val": None},
    ],
)
def test_images_are_found_as_ultralytics_finds_them(tmp_path: Path, keys: dict[str, object]) -> None:
    write(tmp_path / "set", images="inner/images", **keys)
    (tmp_path / "set" / "list.txt").write_text("./inner/images/a.png\n")
    (tmp_path / "set" / "inner" / "list.txt").write_text("images/a.png\n")
    assert only(tmp_path / "set").path == tmp_path / "set" / "inner" / "images" / "a.png"
    assert only(tmp_path / "set" / "data.yaml").labels_N.tolist() == [0]


def test_classes_keep_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = write(tmp_path, "7 0.5 0.5 0.25 0.5\n", names={7: "cat", 2: "dog"})
    assert need_boxes(root).read().classes == ("dog", "cat")
    assert only(root).labels_N.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0.5 0.5 0.25\n", "line 1 has 3 values after the class: expected cx cy w h, or x y of 3 or more corners"),
        ("0 0.5 0.5 0.25 0.5 0.9\n", "line 1 has 5 values after the class"),
        ("\n0 0.5 0.5 0.2 x\n", "line 2 is no row of numbers: '0 0.5 0.5 0.2 x'"),
        ("0.5 0.5 0.5 0.2 0.2\n", "line 1 begins with 0.5: expected the number of a class"),
        ("-1 0.5 0.5 0.2 0.2\n", "line 1 begins with -1"),
        ("0 240 120 64 48\n", "line 1 is not relative to the picture: divide x by its width"),
        ("0 0.5 nan 0.2 0.2\n", "line 1 is not relative to the picture"),
        ("0 0.5 0.5 -0.2 0.2\n", "line 1 has a size below 0"),
        ("0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n", "line 2 has the class 2, which has no name: add it to the names"),
    ],
)
def test_broken_lines_are_told_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    assert f"{tmp_path / 'labels' / 'a.txt'} {told}" in refusal(write(tmp_path, text))


def test_a_label_file_that_is_no_text(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "labels" / "a.txt").write_bytes(b"\xff\xfe0 1")
    assert "a.txt is no text in UTF-8" in refusal(root)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"names": []}, "names no classes"),
        ({"names": ["cat", ""]}, "has no usable names.1: string should have at least 1 character"),
        ({"names": {0: "cat", 1: " "}}, "has no usable names.1: string should have at least 1 character"),
        ({"names": ["cat", "dog", "cat "]}, "has several classes of one name (cat): give each its own"),
        ({"names": "cat"}, "has no usable names"),
        ({"nc": 3}, "says nc: 3 and names 2 classes"),
        ({"kpt_shape": [17, 3]}, "is of key points"),
        ({"train": None}, "names no images: give their folders as train, val and test"),
        ({"val": "images/vla"}, "its val, images/vla, does not exist in"),
        ({"val": "labels"}, "its val holds no images (labels): correct it, or remove the line"),
    ],
)
def test_a_yaml_that_does_not_fit(tmp_path: Path, keys: dict[str, object], told: str) -> None:
    root = write(tmp_path, **keys)
    with pytest.raises(ConfigError) as caught:
        need_boxes(root).read()
    assert str(caught.value).startswith(f"{root / 'data.yaml'}")
    assert told in str(caught.value)


def test_a_yaml_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat\ntrain: images\n")
    assert "data.yaml line 2 is no valid YAML: " in refusal(tmp_path)
    (tmp_path / "more.yaml").write_text("names: [cat]\n")
    assert "holds several YAML files (data.yaml, more.yaml): give one" in refusal(tmp_path)


def test_pictures_that_are_missing_are_told(tmp_path: Path) -> None:
    root = write(tmp_path)
    for name in ("b", "classes"):
        (root / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert refusal(root) == "1 annotation has no picture (labels/b.txt): add or remove"
    (root / "list.txt").write_text("images/a.png\nimages/c.png\n")
    (root / "data.yaml").write_text(yaml.safe_dump({"names": list(LABELS), "train": "list.txt"}))
    assert refusal(root) == "1 file is named, and not there (images/c.png by list.txt): add or correct"
