"""A detector from small generated pictures to a model file: trained, cut, gone on with, judged, exported, refused."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from support.annotations import WRITERS, Object, Scene, write_coco
from support.pictures import write_folders
from support.shapes import CLASSES, SIZE, write_shapes

from export.cli import export
from pipeline.errors import ConfigError, OnsightError, SourceError
from pipeline.model import OnnxModel
from training.annotated import read_annotated, read_splits
from training.checkpoint import load_checkpoint, read_checkpoint, write_checkpoint
from training.cli_evaluate import evaluate
from training.coco import average_precision
from training.detect_module import ObjectDetector
from training.metrics_boxes import best_point, evaluate_boxes
from training.predict import BoxSubject, open_subject
from training.predict_boxes import detect
from training.recipe import Recipe, load_recipe
from training.train import train

RECIPE = """
epochs: 3
data: {batch: 4, workers: 0}
model: {name: fcos, backbone: "timm:test_efficientnet", width: 32, depth: 1}
input: {size: 160}
augment: {mosaic: 0.3, iou_crop: 0.3, zoom_out: 0.2, brightness: 0.2}
optimiser: {lr: 0.003, clip: 5.0}
schedule: {warmup: 0}
run: {ema: 0.8, accelerator: cpu}
"""
STEPS = 3  # of an epoch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def recipe(recipe_file: Path, data: Path) -> Recipe:
    return load_recipe(recipe_file, [f"data.path={data}"])


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(recipe, folder).code == 0
    return folder


def test_run_leaves_all_its_files(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "log", "metrics.json", "recipe.yaml", "samples.jpg", "split.csv"}
    metrics = json.loads((whole / "metrics.json").read_text())
    assert (metrics["split"], metrics["n"]) == ("test", 4)
    assert {"map", "map50", "map75", "by_size", "per_class", "precision", "recall"} <= metrics.keys()
    assert cv2.imread(str(whole / "samples.jpg")).shape[1] > 8 * 160
    about = read_checkpoint(whole / "best.ckpt")["onsight"]
    assert about["task"] == "detect"
    assert about["metrics"].keys() >= {"train/loss", "val/map", "val/map50"}
    log = (whole / "log" / "version_0" / "metrics.csv").read_text()
    assert "val/map50" in log


def test_it_learns_and_is_judged_as_a_stream_sees(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    words = [f"data.path={data}", "epochs=30", "augment.mosaic=0", "augment.iou_crop=0", "run.validate_every=30"]
    assert train(load_recipe(recipe_file, words), tmp_path / "run").code == 0
    metrics = load_checkpoint(tmp_path / "run" / "best.ckpt").metrics
    assert metrics["val/map50"] > 0.5

    truth = read_annotated(data / "val", CLASSES).images
    subject = open_subject(tmp_path / "run" / "best.ckpt", "cpu")
    assert isinstance(subject, BoxSubject)
    found = average_precision(truth, detect(subject.model, [image.path for image in truth]).found, CLASSES)
    assert found.map50 == pytest.approx(metrics["val/map50"], abs=1e-3)


def test_the_threshold_is_the_best_of_the_validation(whole: Path, data: Path, tmp_path: Path) -> None:
    truth = read_annotated(data / "val", CLASSES).images
    subject = open_subject(whole / "last.ckpt", "cpu")
    assert isinstance(subject, BoxSubject)
    found = detect(subject.model, [image.path for image in truth]).found
    best, threshold = best_point(truth, found, len(CLASSES)), subject.spec.threshold
    assert best is not None
    assert 0 < threshold <= best.threshold
    average = average_precision(truth, found, CLASSES)
    assert evaluate_boxes(truth, found, CLASSES, average, threshold=threshold).point.f1 == best.f1
    assert threshold == round(threshold, 3)
    told = json.loads((whole / "metrics.json").read_text())["threshold"]
    assert told == load_checkpoint(whole / "best.ckpt").threshold


def test_pictures_of_the_training_are_noticed(whole: Path, data: Path, tmp_path: Path) -> None:
    def judge(model: Path, *arguments: object) -> tuple[int, str]:
        called = CliRunner().invoke(evaluate, [str(each) for each in (model, "--output", tmp_path / "out", *arguments)])
        assert called.exit_code == 0, called.output
        return json.loads((tmp_path / "out" / "metrics.json").read_text())["trained_on"], called.stderr

    told = "12 of the pictures are those that the model was trained on"
    assert judge(whole / "best.ckpt", "--data", data, "--split", "test") == (0, "")
    trained_on, said = judge(whole / "best.ckpt", "--data", data, "--split", "train")
    assert (trained_on, told in said) == (12, True)
    assert f'<p class="bad">{trained_on} of these' in (tmp_path / "out" / "report.html").read_text()

    content = read_checkpoint(whole / "best.ckpt")  # of a run that has cut the pictures of one JSON itself
    content["onsight"]["recipe"]["data"]["path"] = str(data / "train.json")
    write_checkpoint(content, tmp_path / "run" / "best.ckpt")
    splits = read_splits(data / "train.json", val_fraction=0.25, test_fraction=0)
    splits.write_split(tmp_path / "run" / "split.csv")
    best = tmp_path / "run" / "best.ckpt"
    count = len(splits.sets["train"].images)
    assert 0 < count < 12
    assert judge(best, "--data", data / "train.json")[0] == count
    assert judge(best, "--data", data / "train.json", "--split", "val") == (0, "")


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("part", ["", "train"])
@pytest.mark.parametrize("relative", [False, True])
def test_pictures_of_the_training_are_found_in_every_layout(
    whole: Path, tmp_path: Path, layout: str, part: str, relative: bool
) -> None:
    scenes = [Scene(f"a{n}", [Object(CLASSES[0], (4, 5, 20, 30))]) for n in range(6)]
    path = WRITERS[layout](tmp_path / "set", {"train": scenes, "val": [Scene("b")]}, CLASSES) / part
    content = read_checkpoint(whole / "best.ckpt")
    content["onsight"]["recipe"]["data"]["path"] = str(path.relative_to(tmp_path) if relative else path)
    write_checkpoint(content, tmp_path / "runs" / "1" / "best.ckpt")
    splits = read_splits(path, test_fraction=0.2)
    splits.write_split(tmp_path / "runs" / "1" / "split.csv")
    trained = {str(image.path) for image in splits.sets["train"].images}
    assert 2 < len(trained) < 6
    assert open_subject(tmp_path / "runs" / "1" / "best.ckpt", "cpu").trained_on() == trained


def test_a_single_picture_of_the_training_is_noticed(whole: Path, data: Path, tmp_path: Path) -> None:
    listed = json.loads((data / "train.json").read_text())
    first = next(each for each in listed["images"] if each["id"] == listed["annotations"][0]["image_id"])
    listed["annotations"] = [each for each in listed["annotations"] if each["image_id"] == first["id"]]
    one = tmp_path / "set" / "one.json"
    one.parent.mkdir()
    (one.parent / "images").symlink_to(data / "images")
    one.write_text(json.dumps(listed | {"images": [first]}))
    run = tmp_path / "run" / "best.ckpt"
    content = read_checkpoint(whole / "best.ckpt")
    content["onsight"]["recipe"]["data"]["path"] = str(one)
    write_checkpoint(content, run)
    read_splits(one, val_fraction=0, test_fraction=0).write_split(run.with_name("split.csv"))
    called = CliRunner().invoke(evaluate, [str(run), "--data", str(one), "--output", str(tmp_path / "out")])
    assert called.exit_code == 0, called.output
    assert "1 of the pictures is one that the model was trained on: these values say little" in called.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "1 of these pictures is among those that the model was trained on" in page


def test_a_run_without_validation_leaves_the_threshold_alone(recipe_file: Path, tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "shapes", 4, 0, 0)
    words = [f"data.path={data / 'train.json'}", "data.val_fraction=0", "data.test_fraction=0", "epochs=1"]
    assert train(load_recipe(recipe_file, words), tmp_path / "run").code == 0
    trained = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert (trained.threshold, trained.contract.detector.threshold) == (None, 0.25)


def test_recipe_of_the_run_gives_the_same_recipe(whole: Path, recipe: Recipe) -> None:
    assert load_recipe(whole / "recipe.yaml") == recipe


def test_stopped_run_ends_as_the_whole_one(
    whole: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of the second epoch."""
    step = ObjectDetector.training_step

    def watched(self: ObjectDetector, *given: Any) -> Any:
        if self.global_step == STEPS + 1:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectDetector, "training_step", watched)
        assert train(recipe, tmp_path / "run").code == 143
    last = tmp_path / "run" / "last.ckpt"
    assert read_checkpoint(last)["global_step"] == STEPS + 2

    assert train(recipe, resume=last).code == 0

    ours, theirs = (read_checkpoint(each / "last.ckpt") for each in (tmp_path / "run", whole))
    assert ours["global_step"] == theirs["global_step"] == 3 * STEPS
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[part][name], tensor) for name, tensor in theirs[part].items())
    ours, theirs = (json.loads((each / "metrics.json").read_text()) for each in (tmp_path / "run", whole))
    # The threshold is a score: how the threads share the pictures decides its last bit.
    assert ours["best"].pop("threshold") == pytest.approx(theirs["best"].pop("threshold"), abs=1e-6)
    assert ours == theirs


def test_checkpoint_and_file_find_the_same(whole: Path, data: Path, tmp_path: Path) -> None:
    model = tmp_path / "shapes.onnx"
    found = CliRunner().invoke(
        export, [str(whole / "last.ckpt"), "--output", str(model), "--data", str(data / "test"), "--device", "cpu"]
    )
    assert found.exit_code == 0, found.output
    truth = read_annotated(data / "test", CLASSES).images
    subject = open_subject(whole / "last.ckpt", "cpu")
    assert isinstance(subject, BoxSubject)
    file = OnnxModel(model, "cpu")
    assert file.contract.labels == subject.classes == CLASSES
    assert file.contract.resize.rule == "letterbox"
    assert file.contract.detector == subject.spec
    assert subject.spec.threshold != 0.25
    assert file.contract.provenance["quality"]["metric"] == "map"
    scores = [
        average_precision(truth, detect(each, [image.path for image in truth]).found, CLASSES)
        for each in (subject.model, file)
    ]
    assert scores[0].map == pytest.approx(scores[1].map, abs=0.01)
    maps = [
        average_precision(truth, detect(each, [image.path for image in truth], tiles=(2, 1)).found, CLASSES).map
        for each in (subject.model, file)
    ]
    assert maps[0] == pytest.approx(maps[1], abs=0.01)


def test_ssdlite_trains_too(recipe_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"data.path={data}", "epochs=1", "model={name: ssdlite, backbone: timm:test_efficientnet}"]
    words += ["run.channels_last=true", "run.precision=bf16-mixed", "model.trainable={0: head}", "run.ema=null"]
    # bfloat16 by PyTorch's own kernels: those of oneDNN are others on every kind of CPU, and not what is tested here.
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert train(load_recipe(recipe_file, words), tmp_path / "run").code == 0
    trained = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert trained.contract.task == "detect"
    assert trained.contract.resize.rule == "stretch"


def test_broken_pictures_are_skipped_and_named(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_shapes(tmp_path / "shapes", 9)
    for name in ("train0", "val0", "test0"):
        (data / "images" / f"{name}.png").write_bytes(b"no picture")
    outcome = train(load_recipe(recipe_file, [f"data.path={data}", "epochs=1"]), tmp_path / "run")
    said = capsys.readouterr().err
    assert outcome.code == 0
    assert "val0.png cannot be read" in said
    assert "skipped because they cannot be read: " in said
    assert "1 of 4 pictures to judge by cannot be read" in said


@pytest.mark.parametrize(
    ("precision", "advice"), [("32-true", ""), ("bf16-mixed", r", run.precision=32-true \(now bf16-mixed\)")]
)
def test_loss_that_is_no_number_ends_the_run(
    recipe_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, advice: str
) -> None:
    monkeypatch.setattr(ObjectDetector, "normalised", lambda self, images: images.float() * float("nan"))
    told = f"the loss is no number any more, in epoch 1 by step 1: .* set optimiser.clip=1{advice}, or warm up longer"
    with pytest.raises(OnsightError, match=told):
        train(load_recipe(recipe_file, [f"data.path={data}", f"run.precision={precision}"]), tmp_path / "run")


def test_boxes_that_are_cut_or_left_out_are_told_before_training(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_shapes(tmp_path / "shapes", 4, 0, 0)
    content = json.loads((data / "train.json").read_text())
    content["annotations"][0]["bbox"] = [-9, 0, 40, 40]
    content["annotations"].append({**content["annotations"][0], "bbox": [5, 90, 9, 9]})
    (data / "train.json").write_text(json.dumps(content))
    words = [f"data.path={data}", "data.val_fraction=0", "data.test_fraction=0", "epochs=1"]
    words += ["augment.scale_jitter=[0.5,2]"]
    assert train(load_recipe(recipe_file, words), tmp_path / "run").code == 0
    lines = capsys.readouterr().err.splitlines()
    told = "1 box cut at the edge of the picture, 1 box without area in the picture left out: onsight data check names"
    assert [line for line in lines if line.startswith("1 box")] == [f"{told} them"]
    assert lines.index(f"{told} them") < lines.index(f"run: {tmp_path / 'run'}")


def test_unfit_data_is_refused(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    def refusal(*words: str, path: Path = data) -> str:
        with pytest.raises((ConfigError, SourceError)) as caught:
            train(load_recipe(recipe_file, [f"data.path={path}", *words]), tmp_path / "run")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    classifier = "model={name: resnet18}", "augment={}"
    assert "holds boxes, in the layout coco, and resnet18 is a classifier" in refusal(*classifier)
    folders = write_folders(tmp_path / "folders", 3)
    assert "holds no annotations that can be read" in refusal(path=folders)
    empty = write_coco(tmp_path / "empty", {"train": [Scene("a")], "val": [Scene("b")]}, CLASSES)
    assert "has no boxes" in refusal(path=empty)
    crowded = [Scene("a", [Object("disc", (5, 5, 20, 20)), Object("square", (30, 5, 50, 20), crowd=True)], SIZE)]
    judged = [Scene("b", crowded[0].objects, SIZE)]
    one = write_coco(tmp_path / "one", {"train": crowded, "val": judged}, CLASSES)
    assert "has 1 class without boxes to train on (square)" in refusal(path=one)
    assert "multiples of 32 pixels, not 200 x 200" in refusal("input.size=200")
    other = write_shapes(tmp_path / "other", 4, 2, 2)
    cv2.imwrite(str(other / "images" / "test1.png"), np.zeros((96, 72, 3), np.uint8))
    assert "test1.png has 72 x 96 pixels upright, and 96 x 72 by its annotation" in refusal(path=other)
    assert "has no feature maps at the strides" in refusal("model.backbone=timm:vit_tiny_patch16_224")
