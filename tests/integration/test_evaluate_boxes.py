"""`onsight evaluate` for detectors as a user calls it, on pictures whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.annotations import WRITERS, Object, Scene, write_coco
from support.models import COLOURS, constant_detector, tiny_detector

from pipeline.errors import OnsightError
from training import measure_boxes
from training.annotated import read_splits
from training.cli_evaluate import evaluate

Box = tuple[int, int, int, int]
Thing = tuple[Box, str]

KEYS = {
    *("map", "map50", "map75", "by_size", "per_class", "precision", "recall", "f1", "threshold"),
    *("best", "thresholds", "intervals", "confusion", "errors", "protocol", "n", "objects", "skipped"),
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The one line that the user reads."""
    result = call(*arguments)
    assert isinstance(result.exception, OnsightError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def metrics_in(folder: Path) -> dict[str, Any]:
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "report.html"]
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def annotate(
    folder: Path, pictures: Sequence[tuple[Sequence[Thing], Sequence[Thing]]], names: Sequence[str] = COLOURS
) -> Path:
    """Pictures of 64 x 64, each of what it shows (boxes of a colour) and what is said of it."""
    folder.mkdir()
    images, annotations = [], []
    for i, (shown, said) in enumerate(pictures):
        image = np.zeros((64, 64, 3), np.uint8)
        for (x1, y1, x2, y2), colour in shown:
            image[y1:y2, x1:x2, COLOURS.index(colour)] = 230
        cv2.imwrite(str(folder / f"{i}.png"), image)
        images.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        annotations += [
            {"image_id": i, "category_id": names.index(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for (x1, y1, x2, y2), label in said
        ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    content = {"images": images, "categories": categories}
    content["annotations"] = [{"id": i, **each} for i, each in enumerate(annotations, 1)]
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


BOX: Box = (8, 8, 40, 40)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture for each thing that can happen to a box or an object."""
    return annotate(
        tmp_path_factory.mktemp("data") / "shapes",
        [
            ([(BOX, "blue")], [(BOX, "blue")]),  # found
            ([(BOX, "green"), ((44, 44, 60, 60), "red")], [(BOX, "green"), ((44, 44, 60, 60), "red")]),  # both found
            ([], [(BOX, "blue")]),  # missed
            ([(BOX, "red")], []),  # nothing there
            ([(BOX, "red")], [(BOX, "green")]),  # another class
            ([(BOX, "blue")], [((8, 8, 40, 20), "blue")]),  # too large: IoU 0.375
        ],
    )


def test_values_follow_from_the_pictures(shapes: Path, detector_path: Path, tmp_path: Path) -> None:
    result = call(detector_path, "--data", shapes, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert set(found) >= KEYS
    assert (found["n"], found["objects"], found["predicted"], found["threshold"]) == (6, 6, 6, 0.25)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((0.5, 0.5, 0.5))
    assert found["confusion"] == [[1, 0, 0, 2], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]]
    assert found["errors"] == {"missed": 1, "duplicate": 0, "localisation": 1, "class": 1, "background": 1}
    assert [(each["label"], each["n"], each["predicted"]) for each in found["per_class"]] == [
        ("blue", 3, 2),
        ("green", 2, 1),
        ("red", 1, 3),
    ]
    assert found["per_class"][1]["map"] == pytest.approx(51 / 101)  # half of them, and nothing wrong
    assert found["map"] == pytest.approx(np.mean([each["map"] for each in found["per_class"]]))
    assert found["protocol"] == {"score": 0.001, "boxes": 300, "iou": None, "stream_iou": None, "tiles": None}
    low, high = found["intervals"]["map"]
    assert low < found["map"] < high
    assert f"mAP {found['map']:.4f} ({low:.4f} to {high:.4f}), mAP50" in result.stdout
    assert "precision 0.5000, recall 0.5000, F1 0.5000" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for kind in ("Missed", "Localisation", "Class", "Background"):
        assert f"<h3>{kind}</h3>" in page
    assert "<h3>Duplicate</h3>" not in page
    assert page.count("<img") == 4


def test_the_threshold_decides_what_is_shown_but_not_the_map(tmp_path: Path) -> None:
    rows = [((8, 8, 40, 40), 0.9, 0), ((44, 44, 60, 60), 0.1, 1), ((0, 0, 5, 5), 0.03, 1)]
    model = constant_detector(tmp_path / "m.onnx", rows, labels=COLOURS, nms=False)
    data = annotate(tmp_path / "data", [([], [(BOX, "blue"), ((44, 44, 60, 60), "green")])])
    maps = []
    for threshold, expected in ((None, (1.0, 0.5)), (0.05, (1.0, 1.0)), (0, (2 / 3, 1.0)), (1, (0.0, 0.0))):
        option = () if threshold is None else ("--threshold", threshold)
        assert call(model, "--data", data, "--output", tmp_path / "out", *option).exit_code == 0
        found = metrics_in(tmp_path / "out")
        assert (found["precision"], found["recall"]) == pytest.approx(expected)
        assert found["best"] == pytest.approx({"threshold": 0.1, "precision": 1, "recall": 1, "f1": 1, "n": 2})
        maps.append(found["map"])
    assert maps == pytest.approx([1.0] * 4)
    assert call(model, "--data", data, "--output", tmp_path, "--threshold", 1.5).exit_code == 2


def test_a_model_that_finds_nothing(tmp_path: Path) -> None:
    model = constant_detector(tmp_path / "m.onnx", [(BOX, 0.0001, 0)], labels=COLOURS)
    data = annotate(tmp_path / "data", [([], [(BOX, "blue")])])
    assert call(model, "--data", data, "--output", tmp_path / "out").exit_code == 0
    found = metrics_in(tmp_path / "out")
    assert (found["map"], found["predicted"], found["best"], found["errors"]["missed"]) == (0, 0, None, 1)


def test_overlaps_are_suppressed_as_in_a_stream_and_for_the_map_as_usual(tmp_path: Path) -> None:
    rows = [(BOX, 0.9, 0), ((8, 8, 40, 26), 0.8, 0)]  # IoU 0.5625: two boxes at 0.65, one at the contract's 0.45
    model = constant_detector(tmp_path / "m.onnx", rows, labels=COLOURS)
    data = annotate(tmp_path / "data", [([], [(BOX, "blue"), ((8, 8, 40, 26), "blue")])])
    assert call(model, "--data", data, "--output", tmp_path / "out").exit_code == 0
    found = metrics_in(tmp_path / "out")
    assert found["protocol"] == {"score": 0.001, "boxes": 300, "iou": 0.65, "stream_iou": 0.45, "tiles": None}
    assert found["map"] == pytest.approx(1)
    assert (found["predicted"], found["precision"], found["recall"]) == (1, 1.0, 0.5)


def test_three_hundred_boxes_of_a_picture_count(tmp_path: Path) -> None:
    wrong = [((i % 60, 60, i % 60 + 2, 62), 0.9 - 0.001 * i, 1) for i in range(300)]
    data = annotate(tmp_path / "data", [([], [(BOX, "blue"), (BOX, "green")])])
    for boxes, expected in ((299, 0.5), (300, 0.0)):  # blue is found by the last box
        model = constant_detector(tmp_path / "m.onnx", [*wrong[:boxes], (BOX, 0.1, 0)], labels=COLOURS, nms=False)
        assert call(model, "--data", data, "--output", tmp_path / "out").exit_code == 0
        assert metrics_in(tmp_path / "out")["map"] == pytest.approx(expected)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_batch_changes_nothing(shapes: Path, detector_path: Path, tmp_path: Path, batch: int) -> None:
    assert call(detector_path, "--data", shapes, "--output", tmp_path / "out", "--batch", batch).exit_code == 0
    assert metrics_in(tmp_path / "out")["errors"]["localisation"] == 1


def test_two_models_by_the_names_of_their_classes(shapes: Path, detector_path: Path, tmp_path: Path) -> None:
    rows = [(BOX, 0.9, 1)]
    other = constant_detector(tmp_path / "other.onnx", rows, labels=("red", "blue", "green"), nms=False)
    result = call(detector_path, other, "--data", shapes, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert found["second"]["confusion"] == [[2, 0, 0, 1], [2, 0, 0, 0], [0, 0, 0, 1], [2, 0, 0, 0]]
    told = found["comparison"]
    assert told["map_difference"] == pytest.approx(found["second"]["map"] - found["map"])
    assert told["f1_difference"] == pytest.approx(found["second"]["f1"] - found["f1"])
    assert told["interval"][0] <= told["f1_difference"] <= told["interval"][1]
    low, high = told["map_interval"]
    assert low <= told["map_difference"] <= high
    assert f"the second has mAP {told['map_difference']:+.4f} ({low:+.4f} to {high:+.4f}), F1" in result.stdout
    strange = constant_detector(tmp_path / "strange.onnx", rows, labels=("red", "blue", "cat"))
    told = refusal(detector_path, strange, "--data", shapes, "--output", tmp_path / "no")
    assert "different classes (cat, green): evaluate them one by one" in told


def test_the_main_values_as_json(shapes: Path, detector_path: Path, tmp_path: Path) -> None:
    result = call(detector_path, "--data", shapes / "instances.json", "--output", tmp_path / "out", "--json")
    printed = json.loads(result.stdout.splitlines()[-1])
    assert printed["f1"] == pytest.approx(0.5)
    assert not {"confusion", "per_class"} & set(printed)


def test_unreadable_pictures_are_skipped_counted_and_named(detector_path: Path, tmp_path: Path) -> None:
    data = annotate(tmp_path / "data", [([(BOX, "blue")], [(BOX, "blue")])] * 3)
    (data / "1.png").write_bytes(b"no picture")
    result = call(detector_path, "--data", data, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert (found["n"], found["objects"], found["map"]) == (2, 2, pytest.approx(1))
    assert [Path(each["path"]).name for each in found["skipped"]] == ["1.png"]
    assert "1 picture skipped" in result.stderr
    for i in (0, 2):
        (data / f"{i}.png").write_bytes(b"no picture")
    told = refusal(detector_path, "--data", data, "--output", tmp_path / "no")
    assert "no picture of" in told
    assert "0.png is not an image" in told
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("layout", WRITERS)
def test_a_split_by_its_name(detector_path: Path, tmp_path: Path, layout: str) -> None:
    scenes = [Scene(f"{i}", [Object("blue", (8, 8, 40, 40))], (64, 64)) for i in range(5)]
    data = WRITERS[layout](tmp_path / "data", {"train": scenes[:2], "val": scenes[2:]}, COLOURS)
    for split, count in (("train", 2), ("val", 3), ("valid", 3)):
        given = ("--data", data, "--split", split, "--output", tmp_path / "out")
        assert call(detector_path, *given).exit_code == 0
        found = metrics_in(tmp_path / "out")
        assert (found["n"], found["data"], found["trained_on"]) == (count, str(data / split), 0)
    common = (detector_path, "--output", tmp_path / "no", "--data")
    assert "brings no split 'test': leave it out, or give" in refusal(*common, data, "--split", "test")
    assert "names a split already: leave the split 'val' out" in refusal(*common, data / "train", "--split", "val")
    assert not (tmp_path / "no").exists()


def test_a_split_file_says_what_a_run_cut(shapes: Path, detector_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    read_splits(shapes, val_fraction=0.5, test_fraction=0).write_split(file)
    common = (detector_path, "--output", tmp_path / "out", "--data")
    assert call(*common, shapes / "val", "--split", file).exit_code == 0
    rows = [line.split(",") for line in file.read_text().splitlines()]
    assert metrics_in(tmp_path / "out")["n"] == sum(split == "val" for _, _, split in rows) > 1
    assert f"{shapes} needs no split file: leave {file} out" in refusal(*common, shapes, "--split", file)
    assert "brings no split 'val'" in refusal(*common, shapes, "--split", "val")
    assert "puts no image into test" in refusal(*common, shapes / "test", "--split", file)
    assert "'gone.csv' is no file, and none of train, val and test" in refusal(*common, shapes, "--split", "gone.csv")
    (shapes.parent / "set").mkdir()
    for name in ("train", "val"):
        (shapes.parent / "set" / f"{name}.json").write_bytes((shapes / "instances.json").read_bytes())
    brought = shapes.parent / "set" / "val"
    assert f"{brought} needs no split file" in refusal(*common, brought, "--split", file)


def test_data_that_does_not_fit(shapes: Path, classifier_path: Path, detector_path: Path, tmp_path: Path) -> None:
    output = ("--output", tmp_path / "out")
    told = refusal(classifier_path, "--data", shapes, *output)
    assert "says where objects are, but" in told
    assert "is a classifier: give class folders or a CSV" in told
    assert "is a classifier" in refusal(classifier_path, "--data", shapes / "instances.json", *output)

    (tmp_path / "folders" / "blue").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "folders" / "blue" / "0.png"), np.zeros((8, 8, 3), np.uint8))
    assert "holds no annotations" in refusal(detector_path, "--data", tmp_path / "folders", *output)

    missing = annotate(tmp_path / "missing", [([], [(BOX, "blue")])])
    (missing / "0.png").unlink()
    assert "0.png" in refusal(detector_path, "--data", missing, *output)

    unknown = annotate(tmp_path / "unknown", [([], [(BOX, "cat")])], names=("cat",))
    assert "the model does not know (cat)" in refusal(detector_path, "--data", unknown, *output)

    resized = annotate(tmp_path / "resized", [([], [(BOX, "blue")])])
    cv2.imwrite(str(resized / "0.png"), np.zeros((32, 64, 3), np.uint8))
    assert "64 x 32 pixels upright, and 64 x 64 by its" in refusal(detector_path, "--data", resized, *output)
    assert not (tmp_path / "out").exists()


def test_pictures_of_another_size_are_refused_before_any_is_looked_at(
    detector_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = annotate(tmp_path / "data", [([], [(BOX, "blue")])] * 3)
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(data / name), np.zeros((32, 64, 3), np.uint8))
    monkeypatch.setattr(measure_boxes, "detect", lambda *_, **__: pytest.fail("pictures were looked at"))
    told = refusal(detector_path, "--data", data, "--output", tmp_path / "out")
    assert "1.png has 64 x 32 pixels upright, and 64 x 64 by its annotation (1 more is like it): its boxes fit" in told


def test_boxes_that_are_cut_or_left_out_are_told(detector_path: Path, tmp_path: Path) -> None:
    things: list[Thing] = [((8, 8, 90, 40), "blue"), ((-9, 0, 20, 20), "red"), ((70, 0, 90, 20), "blue")]
    data = annotate(tmp_path / "data", [([], things), ([], [(BOX, "blue")])])
    result = call(detector_path, "--data", data, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = "2 boxes cut at the edge of the picture, 1 box without area in the picture left out: onsight data check"
    assert told in result.stderr
    found = metrics_in(tmp_path / "out")
    assert (found["cut"], found["left_out"], found["objects"]) == (2, 1, 3)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 cut at the edge, 1 without area in the picture left out" in page


def test_a_split_without_objects_is_called_so(detector_path: Path, tmp_path: Path) -> None:
    data = annotate(tmp_path / "data", [([], [(BOX, "blue")]), ([], [])])
    file = tmp_path / "split.csv"
    file.write_text("path,label,split\n0.png,blue,train\n1.png,(no boxes),val\n")
    told = refusal(detector_path, "--data", data / "val", "--split", file, "--output", tmp_path / "no")
    assert f"{data / 'val'} has no boxes: there is nothing to find in its 1 picture" in told


def test_tiles_find_what_is_too_small_for_the_model(tmp_path: Path) -> None:
    thing = Object("blue", (99, 99, 101, 101))  # between the pixels that are left of 256 when they become 64
    data = write_coco(tmp_path / "data", {"instances": [Scene("a", [thing], (256, 256))]}, COLOURS)
    image = np.zeros((256, 256, 3), np.uint8)
    image[99:101, 99:101, 0] = 255
    cv2.imwrite(str(data / "images" / "a.png"), image)
    model = tiny_detector(tmp_path / "m.onnx", doubles=True)
    for tiles, found in ((None, 0), ("1x1", 0), ("4x4", 1)):
        option = () if tiles is None else ("--tiles", tiles)
        assert call(model, "--data", data, "--output", tmp_path / "out", *option).exit_code == 0
        metrics = metrics_in(tmp_path / "out")
        assert (metrics["predicted"], metrics["protocol"]["tiles"]) == (found, tiles)
        assert (metrics["map50"] > 0.9) == found
    assert "as a whole and in 4x4 tiles" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("tiles", ["2", "0x2", "9x1", "2x2x2"])
def test_tiles_that_are_none(shapes: Path, detector_path: Path, tmp_path: Path, tiles: str) -> None:
    result = call(detector_path, "--data", shapes, "--output", tmp_path / "out", "--tiles", tiles)
    assert result.exit_code == 2
    assert "write COLUMNSxROWS, each from 1 to 8, as in 2x2" in result.stderr


@pytest.mark.parametrize("option", [("--slice", "1"), ("--store-temperature",)])
def test_options_of_classifiers(shapes: Path, detector_path: Path, tmp_path: Path, option: tuple[str, ...]) -> None:
    told = refusal(detector_path, "--data", shapes, "--output", tmp_path / "out", *option)
    assert "is for classifiers" in told or "a temperature is stored in a checkpoint" in told


def test_a_file_needs_no_torch(shapes: Path, tmp_path: Path) -> None:
    model = tiny_detector(tmp_path / "m.onnx", doubles=True)
    code = f"""
import sys
from training.cli_evaluate import evaluate
evaluate.main([{str(model)!r}, "--data", {str(shapes)!r}, "--output", {str(tmp_path / "out")!r}], standalone_mode=False)
assert not {{"torch", "torchvision", "timm", "lightning", "onnx"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert metrics_in(tmp_path / "out")["errors"]["duplicate"] == 0
