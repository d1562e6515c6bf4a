"""`onsight evaluate` as a user calls it, on pictures whose truth is known."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.models import COLOURS, expected_scores, tiny_classifier

from pipeline.errors import OnsightError
from training.cli_evaluate import evaluate

KEYS = {
    "accuracy",
    "top5",
    "precision",
    "recall",
    "f1",
    "weighted",
    "per_class",
    "intervals",
    "ece",
    "confusion",
    "slices",
    "temperature",
    "thresholds",
    "n",
    "skipped",
}
BGR = {"blue": (140, 60, 60), "green": (60, 140, 60), "red": (60, 60, 140)}
MISLABELLED = 2  # of the ten pictures of each class by night


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


def paint(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 60, 3), colour, np.uint8))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`val` and `test`: ten pictures a class by day, all right, and ten by night, of which two show the next colour."""
    root = tmp_path_factory.mktemp("photos")
    for split in ("val", "test"):
        for c, label in enumerate(COLOURS):
            for i in range(10):
                paint(root / split / label / "day" / f"{i}.png", BGR[label])
                shown = COLOURS[(c + (i < MISLABELLED)) % 3]
                paint(root / split / label / "night" / f"{i}.png", BGR[shown])
    return root


# Known truth


def test_values_follow_from_the_pictures(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    result = call(classifier_path, "--data", photos / "val", "--output", tmp_path / "out", "--slice", 1)
    assert result.exit_code == 0, result.output
    assert "accuracy 0.9000" in result.stdout
    found = metrics_in(tmp_path / "out")
    assert set(found) >= KEYS
    assert (found["n"], found["accuracy"], found["top5"], found["skipped"]) == (60, pytest.approx(0.9), 1.0, [])
    assert found["confusion"] == [[18, 2, 0], [0, 18, 2], [2, 0, 18]]
    for name in ("precision", "recall", "f1"):
        assert found[name] == pytest.approx(0.9)
        assert found["intervals"][name][0] < 0.9 < found["intervals"][name][1]
    assert [(each["label"], each["n"]) for each in found["per_class"]] == [("blue", 20), ("green", 20), ("red", 20)]
    assert [(each["slice"], each["n"], each["accuracy"]) for each in found["slices"]] == [
        ("night", 30, pytest.approx(0.8)),
        ("day", 30, 1.0),
    ]
    confidence = expected_scores(np.full((1, 1, 3), BGR["blue"], np.uint8)).max()
    assert found["ece"] == pytest.approx(abs(confidence - 0.9), abs=1e-5)
    assert "photos" in found["calibration"]["fitted_on"]
    assert found["calibration"]["fitted_on"].startswith("60 pictures of ")
    assert found["calibration"]["fitted_on"].endswith("test")
    assert found["calibration"]["ece"] < 0.01


def test_a_csv_with_groups(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "camera"])
        for i, label in enumerate(COLOURS):
            rows.writerow([photos / "val" / label / "day" / "0.png", label, "north"])
            rows.writerow([photos / "val" / label / "day" / "1.png", COLOURS[i - 1], "south"])
    output = tmp_path / "out"
    result = call(classifier_path, "--data", tmp_path / "labels.csv", "--output", output, "--slice", "camera", "--json")
    assert result.exit_code == 0, result.output
    found = metrics_in(output)
    assert [(each["slice"], each["accuracy"], each["below"]) for each in found["slices"]] == [
        ("south", 0.0, False),  # three pictures are too few to tell
        ("north", 1.0, False),
    ]
    assert found["calibration"]["fitted_on"].startswith("the reported pictures themselves")
    printed = json.loads(result.stdout.splitlines()[-1])
    assert printed["accuracy"] == found["accuracy"] == 0.5
    assert printed["output"] == str(output)
    assert not {"confusion", "per_class"} & set(printed)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_batch_changes_nothing(photos: Path, classifier_path: Path, tmp_path: Path, batch: int) -> None:
    call(classifier_path, "--data", photos / "val", "--output", tmp_path / "out", "--batch", batch)
    found = metrics_in(tmp_path / "out")
    assert (found["confusion"], found["slices"]) == ([[18, 2, 0], [0, 18, 2], [2, 0, 18]], None)


def test_the_wanted_precision_decides_the_threshold(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    for precision, reached in ((0.9, True), (0.95, False)):
        call(classifier_path, "--data", photos / "val", "--output", tmp_path / "out", "--precision", precision)
        found = metrics_in(tmp_path / "out")["thresholds"]
        assert found["precision"] == precision
        assert (found["overall"] is not None) == reached  # all pictures have the same confidence
    assert call(classifier_path, "--data", photos, "--output", tmp_path, "--precision", 1.5).exit_code == 2


# Two models


def test_classes_are_matched_by_name(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    other = tiny_classifier(tmp_path / "other.onnx", labels=("red", "green", "blue"))  # its blue is called red
    result = call(classifier_path, other, "--data", photos / "val", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert found["confusion"] == [[18, 2, 0], [0, 18, 2], [2, 0, 18]]
    assert found["second"]["confusion"] == [[0, 2, 18], [2, 18, 0], [18, 0, 2]]
    told = found["comparison"]
    assert (told["agreement"], told["disagreements"]) == (pytest.approx(20 / 60), 40)
    assert (told["only_first_right"], told["only_second_right"]) == (36, 2)
    assert told["accuracy_difference"] == pytest.approx((20 - 54) / 60)
    assert told["interval"][0] < told["accuracy_difference"] < told["interval"][1] < 0
    assert set(found["second"]) >= KEYS - {"skipped"}


def test_data_in_another_order_of_classes(photos: Path, tmp_path: Path) -> None:
    model = tiny_classifier(tmp_path / "m.onnx", labels=("sky", "grass", "blood"))
    for folder, label in (("z", "grass"), ("a", "blood")):
        paint(tmp_path / "data" / label / f"{folder}.png", BGR[{"grass": "green", "blood": "red"}[label]])
    assert call(model, "--data", tmp_path / "data", "--output", tmp_path / "out").exit_code == 0
    found = metrics_in(tmp_path / "out")
    assert found["confusion"] == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found["f1"] == 1.0  # of the two classes that have pictures


def test_models_of_different_classes_are_not_compared(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    other = tiny_classifier(tmp_path / "other.onnx", labels=("blue", "green", "purple"))
    told = refusal(classifier_path, other, "--data", photos / "val", "--output", tmp_path / "out")
    assert "different classes (purple, red): evaluate them one by one" in told
    result = call(classifier_path, other, other, "--data", photos / "val", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "one model, or two" in result.stderr


# Bad input


def test_unreadable_pictures_are_skipped_counted_and_named(classifier_path: Path, tmp_path: Path) -> None:
    for label in COLOURS:
        paint(tmp_path / "data" / label / "fine.png", BGR[label])
    (tmp_path / "data" / "red" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "data" / "blue" / "empty.png").touch()
    result = call(classifier_path, "--data", tmp_path / "data", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert (found["n"], found["accuracy"]) == (3, 1.0)
    assert [Path(each["path"]).name for each in found["skipped"]] == ["empty.png", "broken.jpg"]
    assert "2 pictures skipped" in result.stderr
    assert "broken.jpg is not an image" in result.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "broken.jpg is not an image" in page


def test_no_picture_that_can_be_read(classifier_path: Path, tmp_path: Path) -> None:
    for label in COLOURS:
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "x.jpg").write_bytes(b"no picture")
    told = refusal(classifier_path, "--data", tmp_path / "data", "--output", tmp_path / "out")
    assert "none of the 3 pictures" in told
    assert not (tmp_path / "out").exists()


def test_a_label_that_the_model_does_not_know(classifier_path: Path, tmp_path: Path) -> None:
    paint(tmp_path / "data" / "blue" / "1.png", BGR["blue"])
    paint(tmp_path / "data" / "reed" / "1.png", BGR["red"])
    told = refusal(classifier_path, "--data", tmp_path / "data", "--output", tmp_path / "out")
    assert "'reed'" in told
    assert "did you mean 'red'?" in told
    assert not (tmp_path / "out").exists()


def test_a_name_of_two_classes_is_refused(tmp_path: Path) -> None:
    model = tiny_classifier(tmp_path / "m.onnx", labels=("crane", "crane", "dog"))
    paint(tmp_path / "data" / "crane" / "1.png", BGR["blue"])
    paint(tmp_path / "data" / "dog" / "1.png", BGR["red"])
    told = refusal(model, "--data", tmp_path / "data", "--output", tmp_path / "out")
    assert "several classes called 'crane'" in told


@pytest.mark.parametrize("data", ["nowhere", "empty", "model.onnx"])
def test_data_that_is_none(classifier_path: Path, tmp_path: Path, data: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.onnx").touch()
    assert data in refusal(classifier_path, "--data", tmp_path / data, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_made(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    told = refusal(classifier_path, "--data", photos / "val", "--output", tmp_path / "not" / "there")
    assert "does not exist; make it first" in told
    assert not (tmp_path / "not").exists()


def test_an_older_report_is_replaced_and_others_files_stay(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("old", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert call(classifier_path, "--data", photos / "val", "--output", tmp_path).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "notes.txt", "report.html"]
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["n"] == 60


def test_models_that_are_none(photos: Path, detector_path: Path, classifier_path: Path, tmp_path: Path) -> None:
    common = ("--data", photos / "val", "--output", tmp_path / "out")
    told = refusal(classifier_path, detector_path, *common)
    assert "is a detector and" in told
    assert "a classifier: evaluate them one by one" in told
    assert "'threshold' is for detectors" in refusal(classifier_path, *common, "--threshold", 0.5)
    assert "'tiles' is for detectors" in refusal(classifier_path, *common, "--tiles", "2x2")
    assert "there is no model file" in refusal(tmp_path / "gone.onnx", *common)
    assert "is a folder; give a checkpoint in it" in refusal(tmp_path, *common)
    told = refusal(classifier_path, *common, "--store-temperature")
    assert "a temperature is stored in a checkpoint" in told
    assert not (tmp_path / "out").exists()


def test_an_onnx_file_needs_no_torch(photos: Path, classifier_path: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from training.cli_evaluate import evaluate
evaluate.main([{str(classifier_path)!r}, "--data", {str(photos / "val")!r}, "--output", {str(tmp_path / "out")!r}],
              standalone_mode=False)
assert not {{"torch", "torchvision", "timm", "lightning", "onnx"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert metrics_in(tmp_path / "out")["n"] == 60


# Checkpoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of `onsight train`, as it would save it."""
    torch = pytest.importorskip("torch")
    from training.checkpoint import describe, write_checkpoint
    from training.inputs import plan_inputs
    from training.models import build_network
    from training.recipe import Recipe

    torch.manual_seed(0)
    recipe = Recipe.model_validate({"data": {"path": "photos"}, "model": {"name": "cifarnet"}})
    inputs = plan_inputs(recipe.model, recipe.input)
    state = build_network(recipe.model, 3, 32).state_dict()
    state["head.weight"] *= 200  # as sure as a trained one
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    about = describe(recipe, COLOURS, inputs, "none")
    content = {"state_dict": {f"network.{name}": each for name, each in state.items()}, "onsight": about, "epoch": 1}
    write_checkpoint(content, path)
    return path


def test_a_checkpoint_and_what_was_exported_of_it(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    from export.exporting import export_model
    from export.options import ExportOptions
    from export.origin import open_checkpoint

    model = tmp_path / "m.onnx"
    export_model(open_checkpoint(checkpoint, {}), model, ExportOptions())
    result = call(checkpoint, model, "--data", photos / "val", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert found["comparison"]["disagreements"] == 0
    assert found["comparison"]["largest_difference"] < 1e-5
    assert found["second"]["confusion"] == found["confusion"]
    assert found["second"]["temperature"] == pytest.approx(found["temperature"], rel=1e-3)


def test_a_temperature_is_stored_and_used(
    photos: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.checkpoint import load_checkpoint

    run = tmp_path / "run"
    run.mkdir()
    copy = run / "best.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    common = (copy, "--data", photos / "val", "--output", tmp_path / "out", "--store-temperature")
    with monkeypatch.context() as patch:  # an untrained network has no best temperature
        patch.setattr("training.measure_classes.fit_temperature", lambda *_: 2.0)
        assert "temperature 2.000 stored" in call(*common).stdout
    before = metrics_in(tmp_path / "out")
    assert before["calibration"]["stored"]
    assert load_checkpoint(copy).temperature == pytest.approx(before["temperature"])
    assert [path.name for path in run.iterdir()] == ["best.ckpt"]

    call(*common)
    after = metrics_in(tmp_path / "out")
    assert after["confusion"] == before["confusion"]
    assert after["ece"] == pytest.approx(before["calibration"]["ece"], abs=1e-5)
    assert after["calibration"]["factor"] == pytest.approx(1, abs=1e-2)
    assert after["temperature"] == pytest.approx(before["temperature"], rel=1e-2)


def test_each_checkpoint_gets_its_temperature(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.checkpoint import load_checkpoint

    first, second = (write_run(checkpoint, tmp_path / name, tmp_path / "photos") for name in "ab")
    common = (first, second, "--data", tmp_path / "photos", "--output", tmp_path / "out", "--store-temperature")
    fitted = cycle((2.0, 3.0))
    monkeypatch.setattr("training.measure_classes.fit_temperature", lambda *_: next(fitted))
    with monkeypatch.context() as patch:  # a report that cannot be written
        patch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        assert "No space left" in refusal(*common)
    assert not (tmp_path / "out").exists()
    assert [load_checkpoint(path).temperature for path in (first, second)] == [None, None]

    assert call(*common).stdout.count("stored") == 2
    found = metrics_in(tmp_path / "out")
    assert [each["calibration"]["stored"] for each in (found, found["second"])] == [True, True]
    assert [load_checkpoint(path).temperature for path in (first, second)] == [2.0, 3.0]


def write_run(checkpoint: Path, run: Path, data: Path, root: str = "") -> Path:
    """A run on four pictures a class in `data`, the last one in val; `root` is put before the names in its split."""
    from training.checkpoint import read_checkpoint, write_checkpoint

    folder = data.parent if data.suffix else data
    for label in COLOURS:
        for i in range(4):
            paint(folder / label / f"{i}.png", BGR[label])
    content = read_checkpoint(checkpoint)
    content["onsight"]["recipe"]["data"]["path"] = str(data)
    write_checkpoint(content, run / "best.ckpt")
    with (run / "split.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for label in COLOURS:
            rows.writerows([f"{root}{label}/{i}.png", label, "val" if i == 3 else "train"] for i in range(4))
    return run / "best.ckpt"


@pytest.mark.parametrize("kind", ["absolute", "above", "relative"])
def test_pictures_of_the_training_are_found_where_they_lie(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from training.predict import open_subject

    folder = tmp_path / "photos"
    data, root = {
        "absolute": (folder / "labels.csv", f"{folder}/"),
        "above": (folder / "csv" / "..", "../photos/"),
        "relative": (Path("photos"), ""),
    }[kind]
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        model = write_run(checkpoint, tmp_path / "runs" / "1", data, root)
    trained_on = open_subject(model, "cpu").trained_on()
    assert trained_on == {str(folder / label / f"{i}.png") for label in COLOURS for i in range(3)}


def test_one_split_holds_for_data_temperature_and_models(
    checkpoint: Path, classifier_path: Path, tmp_path: Path
) -> None:
    model = write_run(checkpoint, tmp_path / "run", tmp_path / "photos")
    common = ("--data", tmp_path / "photos" / "val", "--output", tmp_path / "out")
    split = model.with_name("split.csv")
    with split.open("a", encoding="utf-8") as file:
        for label in COLOURS:
            paint(tmp_path / "photos" / label / "4.png", BGR[label])
            file.write(f"{label}/4.png,{label},test\n")
    assert "brings no split 'val'" in refusal(classifier_path, *common)
    for arguments in ((classifier_path, *common, "--split", split), (classifier_path, model, *common)):
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        found = metrics_in(tmp_path / "out")
        for each in (found, found.get("second", found)):
            assert each["n"] == 3
            assert each["calibration"]["fitted_on"] == f"3 pictures of {tmp_path / 'photos' / 'test'}"
    assert "gone.csv' is no file" in refusal(classifier_path, *common, "--split", tmp_path / "gone.csv")
    told = refusal(classifier_path, "--data", tmp_path / "photos", "--output", tmp_path / "no", "--split", split)
    assert f"photos needs no split file: leave {split} out" in told


def test_a_split_by_its_name(photos: Path, classifier_path: Path, checkpoint: Path, tmp_path: Path) -> None:
    common = ("--split", "val", "--output", tmp_path / "out", "--data")
    assert call(classifier_path, *common, photos).exit_code == 0
    found = metrics_in(tmp_path / "out")
    assert (found["n"], found["data"]) == (60, str(photos / "val"))
    assert found["calibration"]["fitted_on"] == f"60 pictures of {photos / 'test'}"
    model = write_run(checkpoint, tmp_path / "run", tmp_path / "photos")
    assert call(model, *common, tmp_path / "photos").exit_code == 0  # which only the run knows
    assert metrics_in(tmp_path / "out")["n"] == 3
    assert "brings no split 'val'" in refusal(classifier_path, *common, tmp_path / "photos")
    assert "val brings no split 'val'" in refusal(classifier_path, *common, photos / "val")


def test_pictures_of_the_training_are_noticed(checkpoint: Path, tmp_path: Path) -> None:
    run = write_run(checkpoint, tmp_path / "run", tmp_path / "photos").parent
    common = (run / "best.ckpt", "--output", tmp_path / "out", "--data")
    result = call(*common, tmp_path / "photos")
    assert "9 of the pictures are those that the model was trained on" in result.stderr
    assert metrics_in(tmp_path / "out")["trained_on"] == 9
    result = call(*common, tmp_path / "photos" / "val")  # which only the run knows
    assert result.exit_code == 0, result.output
    assert "trained on" not in result.stderr
    assert metrics_in(tmp_path / "out")["n"] == 3


def test_checkpoints_that_are_none(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(checkpoint.read_bytes()[:1000])
    told = refusal(broken, "--data", photos / "val", "--output", tmp_path / "out")
    assert "broken.ckpt" in told
    assert not (tmp_path / "out").exists()


def test_unreadable_pictures_do_not_stop_a_checkpoint(checkpoint: Path, classifier_path: Path, tmp_path: Path) -> None:
    for label in COLOURS:
        paint(tmp_path / "data" / label / "fine.png", BGR[label])
    (tmp_path / "data" / "green" / "broken.jpg").write_bytes(b"no picture")
    result = call(checkpoint, classifier_path, "--data", tmp_path / "data", "--output", tmp_path / "out", "--batch", 2)
    assert result.exit_code == 0, result.output
    found = metrics_in(tmp_path / "out")
    assert (found["n"], [Path(each["path"]).name for each in found["skipped"]]) == (3, ["broken.jpg"])
    assert found["second"]["accuracy"] == 1.0
