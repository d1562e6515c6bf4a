"""Networks as model files: what is written, what is refused, and that a file that differs is not kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from support.detectors import enliven, photographs_of
from support.pictures import CLASSES, write_splits, write_table
from support.shapes import write_shapes

from export import cli
from export.gate import tolerance
from export.pictures import photographs
from export.quality import Quality, measure
from export.quantise import quantise
from pipeline.cli import main
from pipeline.errors import ContractError, ModelError, OnsightError, SinkError
from pipeline.model import OnnxModel
from pipeline.recogniser import Recogniser
from pipeline.settings import settle
from pipeline.types import Frame
from training.checkpoint import read_checkpoint, store_temperature, write_checkpoint
from training.detectors import build_detector
from training.evaluate import Options, evaluate
from training.evaluation_boxes import BoxEvaluation
from training.models import build_network
from training.packaged import EFFICIENTNET, find_packaged
from training.recipe import DataSpec, ModelSpec, Recipe
from training.samples import read_samples
from training.train import train

AGREES = "the file does what the network does: 9 checks"


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(tmp_path_factory.mktemp("photos"), train=20, val=6, test=6)


@pytest.fixture(scope="module")
def checkpoint(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small network that knows the colours."""
    recipe = Recipe.model_validate(
        {
            "epochs": 4,
            "data": {"path": photos, "batch": 12, "workers": 0},
            "model": {"name": "timm:test_resnet"},
            "input": {"size": 32},
            "optimiser": {"lr": 0.01},
            "augment": {"crop": "none"},
            "run": {"accelerator": "cpu"},
        }
    )
    run = tmp_path_factory.mktemp("run")
    assert train(recipe, run).code == 0
    return run / "best.ckpt"


@pytest.fixture(scope="module")
def model(checkpoint: Path, photos: Path) -> Path:
    path = checkpoint.with_name("m.onnx")
    result = call(cli.export, checkpoint, "--output", path, "--licence", "MIT", "--data", photos / "test")
    assert AGREES in result.stderr
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "cifarnet.pth"
    state = build_network(ModelSpec(name="cifarnet"), 3).state_dict()
    state["head.weight"] *= 100  # as sure as a trained one
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def options(weights: Path) -> list[str]:
    labels = weights.with_name("labels.txt")
    labels.write_text("cat\ndog\nowl\n")
    return ["--weights", str(weights), "--labels", str(labels)]


def test_a_split_that_the_run_has_cut_is_known(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "train", tmp_path / "flat")
    run = tmp_path / "run" / "best.ckpt"
    run.parent.mkdir()
    shutil.copy(checkpoint, run)
    samples = read_samples(DataSpec(path=tmp_path / "flat", val_fraction=0.3, test_fraction=0))
    samples.write_split(run.with_name("split.csv"))
    model, data = tmp_path / "m.onnx", ("--data", tmp_path / "flat" / "val")
    made = call(cli.export, run, "--output", model, *data)
    assert AGREES in made.stderr
    assert OnnxModel(model, "cpu").contract.provenance["quality"]["pictures"] == len(samples.val)
    assert AGREES in call(cli.verify, model, "--against", run, *data).stderr


def provenance_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = OnnxModel(path, "cpu").contract.provenance
    return found


# What is written


def test_file_tells_what_it_is_and_what_it_is_worth(model: Path, photos: Path) -> None:
    told = provenance_of(model)
    assert OnnxModel(model, "cpu").contract.labels == CLASSES
    assert told["licence"] == "MIT"
    assert told["recipe"]["model"]["name"] == "timm:test_resnet"
    assert len(told["checkpoint_sha256"]) == 64
    assert told["metrics"]["intervals"]["accuracy"]
    assert told["precision"] == "fp32"
    assert told["parity"] == {"tolerance": 1e-3, "checks": 9}
    assert told["quality"]["metric"] == "accuracy"
    assert told["quality"]["pictures"] == 18
    assert told["quality"]["network"] == told["quality"]["fp32"] >= 0.8
    assert str(model.parent).encode() not in model.read_bytes()
    assert str(photos).encode() not in model.read_bytes()


def test_timings_stand_beside_the_file(model: Path) -> None:
    timings = json.loads(model.with_name("m.timings.json").read_text())
    assert timings["ms_per_frame"]["fp32"] > 0
    assert timings["device"] == "cpu"
    assert timings["processor"]


def test_export_again_gives_the_same_bytes(checkpoint: Path, photos: Path, model: Path, tmp_path: Path) -> None:
    call(cli.export, checkpoint, "--output", tmp_path / "m.onnx", "--licence", "MIT", "--data", photos / "test")
    assert (tmp_path / "m.onnx").read_bytes() == model.read_bytes()


def test_frames_of_any_size(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    assert AGREES in call(cli.export, checkpoint, "--output", path, "--resize", "graph", "--device", "auto").stderr
    made = OnnxModel(path, "auto")
    assert made.contract.provenance["parity"]["tolerance"] == tolerance("fp32", made.device)
    assert made.contract.resize.rule == "graph"
    assert made.contract.provenance["resize_in_graph"]["rule"] == "crop"
    assert made.infer(np.zeros((2, 70, 50, 3), np.uint8))["scores"].shape == (2, 3)
    assert AGREES in call(cli.verify, path, "--against", checkpoint).stderr


def test_half_precision(checkpoint: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "h.onnx"
    result = call(cli.export, checkpoint, "--output", path, "--precision", "fp16")
    assert AGREES in result.stderr
    assert path.stat().st_size < 0.6 * model.stat().st_size
    assert provenance_of(path)["precision"] == "fp16"
    assert AGREES in call(cli.verify, path, "--against", checkpoint).stderr


@pytest.fixture(scope="module")
def small(checkpoint: Path, photos: Path) -> tuple[Path, Result]:
    path = checkpoint.with_name("i.onnx")
    calibration = ("--calibration", photos / "train")
    return path, call(
        cli.export, checkpoint, "--output", path, "--precision", "int8", *calibration, "--data", photos / "val"
    )


def test_int8_says_what_it_loses(small: tuple[Path, Result], checkpoint: Path, photos: Path, model: Path) -> None:
    path, result = small
    told = provenance_of(path)
    assert told["calibration"]["pictures"] == 60
    assert told["quality"].keys() >= {"network", "fp32", "int8"}
    assert abs(told["quality"]["fp32"] - told["quality"]["int8"]) <= 0.01
    assert path.stat().st_size < 0.4 * model.stat().st_size
    rows = [line.split() for line in result.stderr.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("network", "fp32", "int8") and "ms" in row] == ["fp32", "int8"]
    assert AGREES in call(cli.verify, path, "--against", checkpoint, "--data", photos / "val").stderr


def test_int8_is_repeated_byte_for_byte(
    small: tuple[Path, Result], checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    given = ("--precision", "int8", "--calibration", photos / "train", "--data", photos / "val")
    call(cli.export, checkpoint, "--output", tmp_path / "i.onnx", *given)
    assert (tmp_path / "i.onnx").read_bytes() == small[0].read_bytes()


def test_half_precision_that_loses_too_much_is_refused(
    checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(*given: Any) -> Quality:
        found = measure(*given)
        return replace(found, values={**found.values, "fp16": found.values["fp32"] - 0.02})

    monkeypatch.setattr("export.exporting.measure", worse)
    with pytest.raises(ModelError, match=r"fp16 loses 2\.0 points of accuracy .* 1 may be lost: stay with fp32, or"):
        call(cli.export, checkpoint, "--output", tmp_path / "h.onnx", "--precision", "fp16", "--data", photos / "val")
    assert not list(tmp_path.iterdir())


def test_int8_that_loses_too_much_is_refused(
    checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def badly(model: onnx.ModelProto, inputs: Any) -> onnx.ModelProto:
        made = quantise(model, inputs)
        (linear,) = (node for node in made.graph.node if node.op_type == "Gemm")
        (weight,) = (tensor for tensor in made.graph.initializer if tensor.name == linear.input[1])
        weight.CopyFrom(onnx.numpy_helper.from_array(np.roll(onnx.numpy_helper.to_array(weight), 1, 0), weight.name))
        return made

    monkeypatch.setattr("export.files.quantise", badly)
    given = ("--precision", "int8", "--calibration", photos / "train", "--data", photos / "val")
    with pytest.raises(ModelError, match=r"int8 loses \d+\.\d points of accuracy .* 1 may be lost: calibrate on more"):
        call(cli.export, checkpoint, "--output", tmp_path / "i.onnx", *given)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The arguments that name a detector which finds something, with two classes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("detector")
    name = "ssdlite320_mobilenet_v3_large"
    network = enliven(build_detector(name, 3, 160), photographs_of(160, 160))
    torch.save(network.state_dict(), folder / "d.pth")
    (folder / "labels.txt").write_text("cell\nplatelet\n")
    return [f"torchvision:{name}", "--weights", folder / "d.pth", "--labels", folder / "labels.txt", "--size", 160]


def test_detector_is_matched_box_by_box_and_judged_by_its_map(detector: list[object], tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    first = call(cli.export, *detector, "--output", plain).stderr
    assert AGREES in first
    assert int(first.partition("real pictures, ")[2].split()[0]) > 1000  # boxes
    write_coco(tmp_path / "coco", OnnxModel(plain, "cpu"))
    path = tmp_path / "d.onnx"
    result = call(cli.export, *detector, "--output", path, "--data", tmp_path / "coco", "--resize", "graph")
    assert AGREES in result.stderr
    made = OnnxModel(path, "cpu")
    assert made.contract.labels == ("cell", "platelet")
    assert made.contract.detector is not None
    outputs = made.infer(np.zeros((3, 120, 200, 3), np.uint8))
    assert outputs["boxes"].shape == (3, made.contract.detector.candidates, 4)
    quality = provenance_of(path)["quality"]
    assert quality["metric"] == "map"
    # Which 300 of a thousand boxes of nearly one score are judged hangs on their last bits.
    assert quality["network"] == pytest.approx(quality["fp32"], abs=5e-3)
    assert quality["fp32"] > 0.2


def write_coco(folder: Path, model: OnnxModel) -> None:
    """Pictures, and as truth the best boxes that the model finds in them."""
    folder.mkdir()
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, image in enumerate(photographs()[:4]):
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "width": image.shape[1], "height": image.shape[0]})
        (seen,) = Recogniser(model, settle(model.contract, threshold=0.3))([Frame(image, "", 0, None)])
        for box, label in zip(seen.results.boxes_N4[:10].tolist(), seen.results.labels_N[:10].tolist(), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            boxes.append({"id": len(boxes) + 1, "image_id": number, "category_id": label + 1, "bbox": sides})
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "platelet"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def trained_detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe.model_validate(
        {
            "epochs": 3,
            "data": {"path": shapes, "batch": 4, "workers": 0},
            "model": {"name": "fcos", "backbone": "timm:test_efficientnet", "width": 32, "depth": 1},
            "input": {"size": 160},
            "optimiser": {"lr": 0.003, "clip": 5.0},
            "schedule": {"warmup": 0},
            "run": {"accelerator": "cpu"},
        }
    )
    run = tmp_path_factory.mktemp("detector-run")
    assert train(recipe, run).code == 0
    return run / "best.ckpt"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_detector_of_a_smaller_precision(precision: str, trained_detector: Path, shapes: Path, tmp_path: Path) -> None:
    path, truth = tmp_path / "d.onnx", shapes / "test.json"
    given = ["--precision", precision, "--data", truth, "--max-drop", 5]
    given += ["--calibration", shapes / "images"] if precision == "int8" else []
    result = call(cli.export, trained_detector, "--output", path, *given)
    assert int(result.stderr.partition("real pictures, ")[2].split()[0]) > 1000  # boxes
    told = provenance_of(path)
    assert told["trained_on"] == shapes.name
    assert told["metrics"].keys() >= {"objects", "map", "threshold", "precision", "intervals"}
    assert told["quality"][precision] == pytest.approx(told["quality"]["fp32"], abs=0.05)
    assert told["quality"]["fp32"] == pytest.approx(told["quality"]["network"], abs=1e-3)
    evaluated = evaluate([path], truth, tmp_path / "report", Options(device="cpu"))
    assert isinstance(evaluated, BoxEvaluation)
    assert evaluated.models[0].metrics.average.map == pytest.approx(told["quality"][precision], abs=1e-3) != 0
    assert AGREES in call(cli.verify, path, "--against", trained_detector, "--data", truth).stderr


def test_detector_that_finds_nothing_is_not_kept(detector: list[object], tmp_path: Path) -> None:
    weights = tmp_path / "dull.pth"
    torch.manual_seed(0)
    torch.save(build_detector("ssdlite320_mobilenet_v3_large", 3, 160).state_dict(), weights)
    dull = [weights if each == detector[2] else each for each in detector]
    with pytest.raises(ModelError, match="nothing to compare: give --data"):
        call(cli.export, *dull, "--output", tmp_path / "d.onnx")
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize(
    ("name", "size"), [("inception_v3", 80), ("vgg11", 64), ("mobilenet_v3_small", 64), ("convnext_tiny", 64)]
)
def test_every_kind_of_classifier(name: str, size: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    result = call(cli.export, name, "--weights", "none", "--size", size, "--output", tmp_path / "m.onnx")
    assert AGREES in result.stderr


def test_temperature_is_in_the_file(checkpoint: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "best.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    store_temperature(copy, 3.0)
    call(cli.export, copy, "--output", tmp_path / "t.onnx")
    assert provenance_of(tmp_path / "t.onnx")["temperature"] == 3.0
    with pytest.raises(ModelError, match="the file is not the network"):
        call(cli.verify, model, "--against", copy)


def test_files_are_named_without_their_folders(checkpoint: Path, tmp_path: Path) -> None:
    content = read_checkpoint(checkpoint)
    content["onsight"]["recipe"]["model"]["weights"] = "/home/somebody/first.pth"
    write_checkpoint(content, tmp_path / "best.ckpt")
    call(cli.export, tmp_path / "best.ckpt", "--output", tmp_path / "m.onnx")
    assert b"somebody" not in (tmp_path / "m.onnx").read_bytes()
    assert provenance_of(tmp_path / "m.onnx")["recipe"]["model"]["weights"] == "first.pth"


def test_pictures_that_cannot_be_read_are_left_out(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(photos / split, tmp_path / split)
    (tmp_path / "val" / "blue" / "00.png").write_bytes(b"no picture")
    (tmp_path / "val" / "red" / "link.png").symlink_to("nowhere.png")
    (tmp_path / "train" / "blue" / "00.png").write_bytes(b"no picture")
    given = ("--precision", "int8", "--calibration", tmp_path / "train", "--data", tmp_path / "val", "--max-drop", 100)
    result = call(cli.export, checkpoint, "--output", tmp_path / "m.onnx", *given)
    assert "2 of the pictures of --data are left out" in result.stderr
    assert provenance_of(tmp_path / "m.onnx")["quality"]["pictures"] == 18
    assert provenance_of(tmp_path / "m.onnx")["calibration"]["pictures"] == 60


def test_table_of_labels_as_data(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    rows = [{"path": path, "label": path.parent.name} for path in sorted((photos / "val").glob("*/*.png"))]
    table = write_table(tmp_path / "labels.csv", rows)
    assert AGREES in call(cli.export, checkpoint, "--output", tmp_path / "m.onnx", "--data", table).stderr
    assert provenance_of(tmp_path / "m.onnx")["quality"]["pictures"] == 18
    assert AGREES in call(cli.verify, tmp_path / "m.onnx", "--against", checkpoint, "--data", table).stderr


def test_weights_of_the_package_in_their_own_names(tmp_path: Path) -> None:
    file, path = find_packaged(EFFICIENTNET, ".pth"), tmp_path / "e.onnx"
    result = call(cli.export, "timm:tf_efficientnet_lite0", "--weights", file, "--output", path)
    assert "1000 labels, 224 x 224" in result.stderr
    assert provenance_of(path)["weights"] == file.name


# What is not kept


def test_verify_knows_its_network_from_another(options: list[str], tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    call(cli.export, "cifarnet", "--output", model, *options)
    assert AGREES in call(cli.verify, model, "--against", "cifarnet", *options).stderr
    with pytest.raises(ModelError, match="the file is not the network: at batch 1, frames 640 x 480, logits differ by"):
        call(cli.verify, model, "--against", "cifarnet", "--weights", "none", *options[2:])
    other = tmp_path / "labels.txt"
    other.write_text("cat\nowl\ndog\n")
    with pytest.raises(ContractError, match="another part 'labels'"):
        call(cli.verify, model, "--against", "cifarnet", *options[:2], "--labels", other)


def test_file_that_differs_is_not_kept(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = OnnxModel.infer

    def wrong(model: OnnxModel, frames: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.roll(value, 1, axis=1) for name, value in infer(model, frames).items()}

    monkeypatch.setattr(OnnxModel, "infer", wrong)
    older = tmp_path / "m.onnx"
    older.write_bytes(b"older")
    with pytest.raises(ModelError, match="the file is not the network"):
        call(cli.export, "cifarnet", "--output", older, "--force", *options)
    assert older.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [older]


def test_pictures_without_labels_are_tried_and_not_judged(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, path in enumerate(sorted((photos / "val" / "red").iterdir())):
        (pictures / f"{i}.png").write_bytes(path.read_bytes())
    result = call(cli.export, checkpoint, "--output", tmp_path / "m.onnx", "--data", pictures)
    assert AGREES in result.stderr
    assert "the quality is not measured: " in result.stderr
    assert "quality" not in provenance_of(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifarnet", "--weights", "none", "--output", "nowhere/m.onnx"], "folder nowhere does not exist"),
        (["cifarnet", "--weights", "none", "--output", "m.pt"], "unknown suffix"),
        (["resnet999", "--weights", "none", "--output", "m.onnx"], "resnet999"),
        (["fasterrcnn_resnet50_fpn", "--weights", "none", "--output", "m.onnx"], "SSD, SSDLite, RetinaNet and FCOS"),
        (["no.ckpt", "--output", "m.onnx"], "there is no checkpoint no.ckpt"),
        (["cifarnet", "--weights", "no.pth", "--output", "m.onnx"], "there is no weights file no.pth"),
        (["alexnet", "--weights", "none", "--output", "m.onnx", "--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OnsightError, match=message):
        call(cli.export, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--data", "val"], "int8 is calibrated on pictures: add --calibration"),
        (["--calibration", "train"], "int8 loses accuracy: add --data"),
        (["--data", "val", "--calibration", "nowhere"], "there is no folder nowhere; give --calibration"),
        (["--data", "val", "--calibration", "empty"], "empty holds no images; give --calibration"),
        (["--data", "val/red", "--calibration", "train"], "val/red holds images but no class folders"),
    ],
)
def test_int8_wants_pictures(
    given: list[str], message: str, checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    (photos / "empty").mkdir(exist_ok=True)
    with pytest.raises(OnsightError, match=message):
        call(cli.export, checkpoint, "--output", tmp_path / "m.onnx", "--precision", "int8", *given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18", "--weights", "none", "--size", "3000"], "3000 is not in the range"),
        (["resnet18", "--weights", "none", "--labels", "one.txt"], "with one class, every picture is of it"),
        (["resnet18", "--weights", "none", "--calibration", "."], "--calibration is for int8"),
        (["torchvision:ssd300_vgg16", "--weights", "none", "--size", "320"], "300"),
    ],
)
def test_bad_input_ends_the_command_with_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("cat\n")
    (tmp_path / "resnet18").mkdir()  # does not hide the network
    assert main(["export", *arguments, "--output", "m.onnx"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"one.txt", "resnet18"}


def test_verify_refuses_what_was_adopted(classifier_path: Path, checkpoint: Path) -> None:
    with pytest.raises(ContractError, match="is not that network"):
        call(cli.verify, classifier_path, "--against", checkpoint)


def test_timings_that_cannot_be_written_leave_no_model(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "m.timings.json").mkdir()
    with pytest.raises(SinkError, match=r"m\.timings\.json is a folder"):
        call(cli.export, checkpoint, "--output", tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.timings.json"]


def test_file_that_is_there_is_not_replaced(model: Path, checkpoint: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(SinkError, match="exists: give another name, or --force"):
        call(cli.export, checkpoint, "--output", model)
    assert model.read_bytes() == before
