"""The three layouts of detection data: one set of pictures, written in each, is read the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from support.annotations import WRITERS, Object, Scene, write_coco, write_voc, write_yolo

from pipeline.errors import ConfigError, SourceError
from training.annotated import read_annotated, read_splits
from training.box_layouts import find_boxes
from training.splits import read_rows

CLASSES = ("cat", "dog & co", "zebra")  # VOC's natural order


def scenes(prefix: str, count: int) -> list[Scene]:
    """Each with a cat, every fourth with a zebra, too."""
    cat = Object("cat", (4, 5, 20, 30))
    zebra = Object("zebra", (10, 10, 60, 40))
    return [Scene(f"{prefix}{n}", [cat, zebra] if n % 4 == 0 else [cat]) for n in range(count)]


@st.composite
def described(draw: st.DrawFn) -> list[Scene]:
    """Boxes with whole corners, so that VOC can hold them, inside of pictures of any size."""
    found = []
    for n in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(2, 80)), draw(st.integers(2, 80))
        objects = []
        for _ in range(draw(st.integers(0 if n else 1, 4))):
            x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            box = (x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height)))
            objects.append(Object(draw(st.sampled_from(CLASSES)), box))
        found.append(Scene(f"p{n}", objects, (width, height)))
    return found


@settings(deadline=None, max_examples=25)
@given(written=described())
def test_every_layout_gives_the_same_boxes(written: list[Scene]) -> None:
    labels = ("zebra", "nothing", "dog & co", "cat")
    with tempfile.TemporaryDirectory() as folder:
        for layout, write in WRITERS.items():
            root = write(Path(folder, layout), {"test": written}, CLASSES)
            data = find_boxes(root)
            assert data is not None
            assert data.layout == layout
            images = read_annotated(root, labels).images
            assert [image.path.stem for image in images] == [scene.name for scene in written]
            for image, scene in zip(images, written, strict=True):
                boxes_N4 = np.array([one.box for one in scene.objects], np.float64).reshape(-1, 4)
                assert (image.width, image.height) == scene.size
                np.testing.assert_allclose(image.boxes_N4, boxes_N4, atol=1e-4)
                np.testing.assert_array_equal(image.labels_N, [labels.index(one.label) for one in scene.objects])
                np.testing.assert_allclose(image.area_N, np.prod(boxes_N4[:, 2:] - boxes_N4[:, :2], axis=1), atol=1e-2)
                assert not image.crowd_N.any()


@pytest.mark.parametrize("layout", WRITERS)
def test_splits_that_the_data_set_brings_are_kept(tmp_path: Path, layout: str) -> None:
    given = {"train": scenes("a", 3), "val": scenes("b", 2), "test": scenes("c", 1)}
    WRITERS[layout](tmp_path, given, ("cat", "zebra"))
    found = read_splits(tmp_path)
    assert found.labels == ("cat", "zebra")
    assert {split: len(one.images) for split, one in found.sets.items()} == {"train": 3, "val": 2, "test": 1}
    assert [image.path.stem for image in found.sets["val"].images] == ["b0", "b1"]
    assert [len(image) for image in found.sets["val"].images] == [2, 1]
    one = read_annotated(tmp_path / "val", ("zebra", "cat"))
    assert [image.labels_N.tolist() for image in one.images] == [[1, 0], [1]]
    with pytest.raises(ConfigError, match=r"several splits: give .*train or .*val or .*test$"):
        read_annotated(tmp_path, ("zebra", "cat"))


@pytest.mark.parametrize("layout", WRITERS)
def test_splits_that_it_lacks_are_cut_by_lot_and_used_again(tmp_path: Path, layout: str) -> None:
    root = WRITERS[layout](tmp_path / "set", {"train": scenes("a", 40)}, ("cat", "zebra"))
    found = read_splits(root, val_fraction=0.2, test_fraction=0.1, seed=3)
    assert {split: len(one.images) for split, one in found.sets.items()} == {"train": 28, "val": 8, "test": 4}
    zebras = {split: sum(len(image) > 1 for image in one.images) for split, one in found.sets.items()}
    assert zebras == {"train": 7, "val": 2, "test": 1}  # the rarest class of each picture keeps its share
    found.write_split(tmp_path / "split.csv")
    assert {row.label for row in read_rows(tmp_path / "split.csv", exact=True)} == {"cat", "zebra"}
    again = read_splits(root, seed=4, split=tmp_path / "split.csv")
    assert [i.path for i in again.sets["val"].images] == [i.path for i in found.sets["val"].images]
    other = read_splits(root, val_fraction=0.2, test_fraction=0.1, seed=4)
    assert [i.path for i in other.sets["val"].images] != [i.path for i in found.sets["val"].images]


def test_what_need_not_be_found_is_a_crowd(tmp_path: Path) -> None:
    written = {"test": [Scene("a", [Object("cat", (1, 1, 9, 9)), Object("cat", (2, 2, 20, 20), crowd=True)])]}
    for layout in ("coco", "voc"):
        (image,) = read_annotated(WRITERS[layout](tmp_path / layout, written, ("cat",)), ("cat",)).images
        assert image.crowd_N.tolist() == [False, True]


def test_class_folders_are_no_detection_data(tmp_path: Path) -> None:
    for folder in ("train/cat", "val/cat", "images", "annotations"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "settings.yaml").write_text("path: x\n")
    assert find_boxes(tmp_path) is None
    assert find_boxes(tmp_path / "train") is None
    assert find_boxes(tmp_path / "none") is None


def test_two_layouts_in_one_folder_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path, {"train": scenes("a", 1)}, ("cat", "zebra"))
    write_yolo(tmp_path, {"train": scenes("b", 1)}, ("cat", "zebra"))
    with pytest.raises(ConfigError, match=r"can be read as coco or yolo: give the .json or the YAML itself"):
        read_splits(tmp_path)
    assert len(read_annotated(tmp_path / "data.yaml", ("cat", "zebra")).images) == 1
    data = find_boxes(tmp_path, "coco")
    assert data is not None
    assert data.splits == ()


def test_a_picture_whose_size_nobody_knows_ends_the_reading(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"train": scenes("a", 2)}, ("cat", "zebra"))
    (root / "images" / "train" / "a1.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"cannot read 1 picture \(images/train/a1.png\) .*remove or copy again"):
        read_splits(root)
    voc = write_voc(tmp_path / "voc", {"train": scenes("a", 2)})
    (voc / "JPEGImages" / "a1.png").write_bytes(b"no picture")
    assert len(read_splits(voc, val_fraction=0, test_fraction=0).sets["train"].images) == 2  # as its XML has it


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_pictures_of_another_size_are_refused_before_training(tmp_path: Path, layout: str) -> None:
    root = WRITERS[layout](tmp_path, {"train": scenes("a", 4), "val": scenes("b", 2)}, ("cat", "zebra"))
    file = next(root.rglob("b1.png"))
    Image.new("RGB", (48, 64)).save(file)
    told = r"b1.png has 48 x 64 pixels upright, and 64 x 48 by its annotation: its boxes fit nothing; annotate it as"
    with pytest.raises(ConfigError, match=told):
        read_splits(root)
    Image.new("RGB", (30, 20)).save(file.with_name("a2.png"))
    with pytest.raises(ConfigError, match=r"a2.png has 30 x 20 .* by its annotation \(1 more is like it\): "):
        read_splits(root)


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_a_picture_has_the_size_that_it_is_shown_with(tmp_path: Path, layout: str) -> None:
    root = WRITERS[layout](tmp_path, {"train": scenes("a", 4), "val": scenes("b", 2)}, ("cat", "zebra"))
    file = next(root.rglob("a1.png"))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (48, 64)).save(file, exif=turned)  # lies, when it is shown
    assert len(read_splits(root, test_fraction=0).sets["train"].images) == 4
    Image.new("RGB", (64, 48)).save(file, exif=turned)
    with pytest.raises(ConfigError, match=r"a1.png has 48 x 64 pixels upright, and 64 x 48 by its annotation"):
        read_splits(root, test_fraction=0)
    file.write_bytes(b"no picture")  # training names those that cannot be read, and goes on
    assert len(read_splits(root, test_fraction=0).sets["train"].images) == 4
