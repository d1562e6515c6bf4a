"""Data sets in the format of COCO: what is read of them, where pictures are looked for, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError, SourceError
from training.annotated import read_annotated, read_splits

LABELS = ("person", "car", "traffic light")


def content() -> dict[str, Any]:
    """Two pictures; category numbers have gaps and another order than the labels."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 7, "file_name": "a.png", "width": 64, "height": 48, "license": 1},
            {"id": 3, "file_name": "b.png", "width": 32, "height": 32},
        ],
        "categories": [{"id": 90, "name": "car"}, {"id": 12, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [1.5, 2, 10, 20], "area": 150.5, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 12, "bbox": [0, 0, 4, 5], "iscrowd": 1},
        ],
    }


def write(folder: Path, values: Any = None, name: str = "instances.json", pictures: Path | None = None) -> Path:
    """The JSON in `folder`, and its pictures, empty files, in `pictures` (None: beside it)."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content() if values is None else values), encoding="utf-8")
    pictures = pictures or file.parent
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in ("a.png", "b.png"):
        (pictures / picture).touch()
    return file


def refusal(data: Path, labels: tuple[str, ...] = LABELS) -> str:
    with pytest.raises(ConfigError) as caught:
        read_annotated(data, labels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read


def test_boxes_labels_crowds_and_areas(tmp_path: Path) -> None:
    file = write(tmp_path)
    found = read_annotated(file, LABELS)
    assert (found.file, found.labels, found.dropped) == (file, LABELS, 0)
    first, second = found.images
    assert (first.path.name, first.width, first.height, len(first)) == ("a.png", 64, 48, 2)
    np.testing.assert_array_equal(first.boxes_N4, np.float32([[1.5, 2, 11.5, 22], [0, 0, 4, 5]]))
    np.testing.assert_array_equal(first.labels_N, [1, 0])
    np.testing.assert_array_equal(first.crowd_N, [False, True])
    np.testing.assert_array_equal(first.area_N, [150.5, 20])  # of the box, where the file does not say
    kinds = [a.dtype for a in (first.boxes_N4, first.labels_N, first.crowd_N, first.area_N)]
    assert kinds == [np.float32, np.int64, np.bool_, np.float64]
    assert (second.path.name, second.boxes_N4.shape, second.labels_N.dtype) == ("b.png", (0, 4), np.int64)


def test_boxes_without_area_are_dropped_and_counted(tmp_path: Path) -> None:
    values = content()
    values["annotations"] += [
        {"image_id": 3, "category_id": 90, "bbox": [5, 5, 0, 3]},
        {"image_id": 3, "category_id": 90, "bbox": [5, 5, 3, 0], "area": 9},
    ]
    found = read_annotated(write(tmp_path, values), LABELS)
    assert found.dropped == 2
    assert [len(image) for image in found.images] == [2, 0]


def test_boxes_are_cut_at_the_edge_and_their_areas_with_them(tmp_path: Path) -> None:
    values = content()
    values["annotations"][0] |= {"bbox": [-5, 40, 20, 16], "area": 160}  # three quarters wide, half high
    values["annotations"][1]["bbox"] = [60, -3, 8, 6]
    values["annotations"] += [
        {"image_id": 7, "category_id": 90, "bbox": [64, 5, 9, 9]},  # at the edge, and outside
        {"image_id": 7, "category_id": 90, "bbox": [70, 60, 9, 9]},
        {"image_id": 3, "category_id": 90, "bbox": [20, 20, 12.5, 12]},  # out by less than a pixel: rounding
    ]
    found = read_annotated(write(tmp_path, values), LABELS)
    first, second = found.images
    np.testing.assert_array_equal(first.boxes_N4, [[0, 40, 15, 48], [60, 0, 64, 3]])
    np.testing.assert_array_equal(first.area_N, [160 * 3 / 8, 12])
    np.testing.assert_array_equal(first.labels_N, [1, 0])
    np.testing.assert_array_equal(first.crowd_N, [False, True])
    np.testing.assert_array_equal(second.boxes_N4, [[20, 20, 32, 32]])
    assert (found.cut, found.dropped) == (2, 2)


def test_a_set_with_all_boxes_outside_has_none(tmp_path: Path) -> None:
    values = content()
    for annotation in values["annotations"]:
        annotation["bbox"] = [70, 0, 5, 5]
    assert "has no boxes: there is nothing to find in its 2 pictures" in refusal(write(tmp_path, values))


def test_what_training_changes_of_the_boxes_is_one_line(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert read_splits(file, val_fraction=0, test_fraction=0).notes == ()
    values = content()
    values["annotations"][0]["bbox"] = [-5, 2, 10, 20]
    assert read_splits(write(tmp_path, values), val_fraction=0, test_fraction=0).notes == (
        "1 box cut at the edge of the picture: onsight data check names them",
    )
    values["annotations"] += [{"image_id": 3, "category_id": 90, "bbox": [40, 5, 3, 3]}] * 2
    assert read_splits(write(tmp_path, values), val_fraction=0, test_fraction=0).notes == (
        "1 box cut at the edge of the picture, 2 boxes without area in the picture left out: "
        "onsight data check names them",
    )


def test_categories_without_boxes_need_not_be_known(tmp_path: Path) -> None:
    values = content()
    values["categories"] += [{"id": 0, "name": "everything"}, {"id": 1, "name": "traffic light"}]
    assert len(read_annotated(write(tmp_path, values), LABELS).images) == 2


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_annotated(file, LABELS).images) == 2


# Where it lies


@pytest.mark.parametrize("name", ["instances.json", "annotations.json", "_annotations.coco.json", "x.JSON"])
def test_a_folder_with_one_json(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, name=name)
    assert read_annotated(tmp_path, LABELS).file == file


def test_a_folder_with_annotations_of_one_kind_of_instances(tmp_path: Path) -> None:
    write(tmp_path / "annotations", name="captions_val2017.json")
    file = write(tmp_path / "annotations", name="instances_val2017.json", pictures=tmp_path / "val2017")
    assert read_annotated(tmp_path, LABELS).file == file


@pytest.mark.parametrize(
    "pictures", [".", "images", "instances_x", "x", "images/x", "annotations", "annotations/images", "annotations/x"]
)
def test_pictures_are_found_around_annotations(tmp_path: Path, pictures: str) -> None:
    file = write(tmp_path / "annotations", name="instances_x.json", pictures=tmp_path / pictures)
    if pictures == "instances_x":
        with pytest.raises(SourceError):
            read_annotated(file, LABELS)
        return
    assert {image.path.parent for image in read_annotated(file, LABELS).images} == {tmp_path / pictures}


@pytest.mark.parametrize("pictures", [".", "images", "train", "images/train"])
def test_pictures_are_found_around_a_json(tmp_path: Path, pictures: str) -> None:
    file = write(tmp_path / "set", name="train.json", pictures=tmp_path / "set" / pictures)
    assert {image.path.parent for image in read_annotated(file, LABELS).images} == {tmp_path / "set" / pictures}


def test_the_first_place_counts_and_names_may_have_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = content()
    values["images"][0]["file_name"] = "day/a.png"
    file = write(tmp_path / "annotations", values, pictures=tmp_path / "images")
    (tmp_path / "images" / "day").mkdir()
    for place in ("images/day/a.png", "annotations/b.png"):
        (tmp_path / place).touch()
    monkeypatch.chdir(file.parent)  # however the file is called
    for name in (file, Path("instances.json")):
        paths = [image.path for image in read_annotated(name, LABELS).images]
        assert paths == [tmp_path / "images" / "day" / "a.png", tmp_path / "annotations" / "b.png"]


# What is refused


def test_paths_that_lead_to_no_annotations(tmp_path: Path) -> None:
    assert "gone does not exist" in refusal(tmp_path / "gone")
    assert "holds no annotations that can be read: give a .json in the format of COCO, a YAML" in refusal(tmp_path)
    (tmp_path / "boxes.csv").touch()
    assert "boxes.csv is no annotation that can be read: give a .json" in refusal(tmp_path / "boxes.csv")
    (tmp_path / "labels").mkdir()
    assert "has labels/ and no YAML with the names of their classes: write a data.yaml" in refusal(tmp_path)


def test_several_files_are_named(tmp_path: Path) -> None:
    for name in ("train.json", "more.json"):
        write(tmp_path / "one", name=name)
    for name in ("instances_train2014.json", "instances_train2017.json"):
        write(tmp_path / "two" / "annotations", name=name)
    assert "several .json files (more.json, train.json): give one" in refusal(tmp_path / "one")
    named = "annotations/instances_train2014.json, annotations/instances_train2017.json"
    assert f"several .json files ({named}): give one" in refusal(tmp_path / "two")


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train.json", "val.json"),
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
    ],
)
def test_one_split_is_read_by_its_name(tmp_path: Path, train: str, val: str) -> None:
    for split, name in (("train", train), ("val", val)):
        values, file = content(), tmp_path / name
        file.parent.mkdir(exist_ok=True)
        for image in values["images"]:
            image["file_name"] = f"{split}-{image['file_name']}"
            file.with_name(image["file_name"]).touch()
        file.write_text(json.dumps(values), encoding="utf-8")
    assert read_annotated(tmp_path / "val", LABELS).file == tmp_path / val
    told = refusal(tmp_path)
    assert told == f"{tmp_path} has several splits: give {tmp_path / 'train'} or {tmp_path / 'val'}"
    assert "test does not exist" in refusal(tmp_path / "test")


def test_a_json_of_something_else_may_lie_beside(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"images": 3}')
    file = write(tmp_path)
    assert read_annotated(tmp_path, LABELS).file == file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no valid JSON"),
        ("{", "is no valid JSON"),
        ("[]", "is not in the format of COCO: it has no lists 'images', 'annotations' and 'categories'"),
        ('{"images": [], "categories": []}', "is not in the format of COCO: it has no list 'annotations'"),
        ('{"images": {}, "annotations": [], "categories": []}', "it has no list 'images'"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no images"),
        ('{"images": [5], "annotations": [], "categories": []}', "number 1 of its images is broken"),
    ],
)
def test_files_that_are_not_in_the_format(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    assert told in refusal(file)


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, float("nan"), 5],
        [0, float("inf"), 5, 5],
        [0, 0, -1, 5],
        [0, 0, 5, -5],
        [0, 0, 5],
        "box",
        None,
        [1, 1, 1e300, 1e300],
        [-1e9, 0, 5, 5],
    ],
)
def test_boxes_that_are_none(tmp_path: Path, box: Any) -> None:
    values = content()
    values["annotations"][1]["bbox"] = box
    file = write(tmp_path, values)
    why = "has no usable bbox: x, y, width and height have to be numbers up to 16,777,216, no size below 0: "
    why += "correct or remove"
    assert refusal(file) == f"{file}: annotation 2 {why}"
    del values["annotations"][1]["id"]
    assert refusal(write(tmp_path, values)) == f"{file}: number 2 of its annotations {why}"


def test_several_broken_annotations_are_named_in_one_line(tmp_path: Path) -> None:
    values = content()
    values["annotations"] += [{**values["annotations"][0], "id": 30 + n, "bbox": [1, 2, 3]} for n in range(5)]
    values["annotations"][1] = 5
    told = refusal(write(tmp_path, values))
    assert "number 2 of its annotations is broken: input should be an object" in told
    assert told.endswith("; and 5 more (annotation 30, annotation 31, annotation 32 and 2 more): correct or remove")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("annotations", "area", -1),
        ("annotations", "area", float("nan")),
        ("annotations", "image_id", "a.png"),
        ("annotations", "iscrowd", 5),
        ("images", "width", 0),
        ("images", "height", None),
        ("images", "file_name", ""),
        ("images", "width", 10**400),
        ("annotations", "area", 1e300),
        ("categories", "name", 5),
        ("categories", "name", ""),
        ("categories", "name", " \t"),
    ],
)
def test_values_that_do_not_fit(tmp_path: Path, kind: str, key: str, value: Any) -> None:
    values = content()
    values[kind][0][key] = value
    name = "annotation 1" if kind == "annotations" else f"number 1 of its {kind}"
    assert f"{name} has no usable {key}: " in refusal(write(tmp_path, values))


def test_names_lose_the_spaces_at_their_ends(tmp_path: Path) -> None:
    values = content()
    values["categories"][0]["name"] = " car\n"
    images = read_annotated(write(tmp_path, values), LABELS).images
    assert images[0].labels_N.tolist() == [1, 0]
    assert read_splits(tmp_path, val_fraction=0, test_fraction=0).labels == ("person", "car")


def test_ids_that_lead_nowhere_or_to_two(tmp_path: Path) -> None:
    values = content()
    values["annotations"][0]["image_id"] = 5
    assert "1 box of images that it does not list (image_id 5): list them, or remove their boxes" in refusal(
        write(tmp_path, values)
    )
    values = content()
    values["annotations"][0]["category_id"] = 5
    assert "1 box of categories that it does not list (category_id 5)" in refusal(write(tmp_path, values))
    values = content()
    values["images"][1]["id"] = 7
    assert "several images of one id (7)" in refusal(write(tmp_path, values))
    values = content()
    values["categories"][1]["id"] = 90
    assert "several categories of one id (90)" in refusal(write(tmp_path, values))


def test_categories_that_the_model_does_not_know(tmp_path: Path) -> None:
    file = write(tmp_path)
    told = refusal(file, ("cat", "persons"))
    assert "2 categories that the model does not know (car, person): rename them to the model's labels" in told
    assert "did you mean 'cat' by 'car'?" in told
    assert "did you mean" not in refusal(file, ("sky",))
    assert "the model has several labels 'car'" in refusal(file, ("car", "person", "car"))
    assert len(read_annotated(file, ("N/A", "car", "person", "N/A")).images) == 2


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    values = content()
    values["images"] = [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(8)]
    file = write(tmp_path, values)
    for i in range(3):
        (tmp_path / f"{i}.png").touch()
    with pytest.raises(SourceError, match=r"cannot find 5 pictures \(3.png, 4.png, 5.png and 2 more\) of .*looked in"):
        read_annotated(file, LABELS)


def test_a_set_without_boxes(tmp_path: Path) -> None:
    values = content()
    values["annotations"] = []
    assert "has no boxes: there is nothing to find in its 2 pictures" in refusal(write(tmp_path, values))
