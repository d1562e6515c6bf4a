"""The sheet of annotated pictures: which pictures are on it, and whether boxes and names can be seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.annotations import Object, Scene, write_coco

from pipeline.errors import ConfigError, SinkError
from pipeline.palette import colour_of
from training.preview import write_preview

CLASSES = ("cat", "zebra crossing")


def write(root: Path, count: int, label: str = "cat") -> Path:
    box = Object(label, (16, 12, 48, 36))
    return write_coco(root, {"train": [Scene(f"a{n}", [box]) for n in range(count)]}, CLASSES)


def sheet(root: Path, file: Path, seed: int = 0) -> NDArray[np.uint8]:
    write_preview(root, file, seed=seed)
    image = cv2.imread(str(file))
    assert image is not None
    return image


def has(image: NDArray[np.uint8], label: str) -> NDArray[np.bool_]:
    return (image == colour_of(label)).all(2)


def test_a_box_is_drawn_in_the_colour_of_its_class_where_it_lies(tmp_path: Path) -> None:
    image = sheet(write(tmp_path, 1), tmp_path / "sheet.png")
    first = has(image, "cat")[8:308, 8:408]  # a picture of 64 x 48 takes all of its 400 x 300
    assert first[75:226, 100].mean() > 0.9  # left edge of the box
    assert first[225, 100:301].mean() > 0.9  # lower edge
    assert not first[80:220, 150:290].any()
    assert not has(image, "zebra crossing").any()
    assert has(image, "cat")[-40:].any()  # the legend


def test_twenty_pictures_from_a_seed(tmp_path: Path) -> None:
    root = write(tmp_path / "set", 30)
    images = [sheet(root, tmp_path / "sheet.png", seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
    corners = images[0][8 :: 300 + 22 + 8, 8 :: 400 + 8][:4, :5]
    assert corners.shape == (4, 5, 3)
    assert len(np.unique(corners.reshape(-1, 3), axis=0)) > 10


def test_crowds_and_boxes_that_reach_out_are_drawn(tmp_path: Path) -> None:
    odd = [Object("cat", (-900, -5, 20, 900), crowd=True), Object("zebra crossing", (60, 45, 64, 48))]
    root = write_coco(tmp_path, {"train": [Scene("a", odd)]}, CLASSES)
    assert has(sheet(root, tmp_path / "sheet.png"), "cat")[8:308, 100:160].any()


def test_pictures_that_cannot_be_read_and_those_without_boxes_are_passed_over(tmp_path: Path) -> None:
    root = write(tmp_path, 3)
    (root / "images" / "a0.png").write_bytes(b"")
    assert sheet(root, tmp_path / "sheet.jpg").shape[1] == 5 * 408 + 8
    for n in (1, 2):
        (root / "images" / f"a{n}.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="has no picture with boxes that can be read"):
        write_preview(root, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    root = write(tmp_path, 1)
    with pytest.raises(SinkError, match=r"unknown suffix; give it one of: .jpg .jpeg .png"):
        write_preview(root, tmp_path / "sheet.gif")
    with pytest.raises(SinkError, match="does not exist; make it first"):
        write_preview(root, tmp_path / "none" / "sheet.png")
