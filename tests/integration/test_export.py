"""Networks as model files: what is written, what is refused, and that a file that differs is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from support.pictures import CLASSES, write_splits

from export import cli
from export.quantise import quantise
from pipeline.errors import ContractError, ModelError, OnsightError, SinkError
from pipeline.model import OnnxModel
from training.models import build_network
from training.packaged import EFFICIENTNET, find_packaged
from training.recipe import ModelSpec, Recipe
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
    assert AGREES in call(cli.export, checkpoint, "--output", path, "--resize", "graph").stderr
    made = OnnxModel(path, "cpu")
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
    assert AGREES in call(cli.verify, path, "--against", checkpoint).stderr


def test_int8_is_repeated_byte_for_byte(
    small: tuple[Path, Result], checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    given = ("--precision", "int8", "--calibration", photos / "train", "--data", photos / "val")
    call(cli.export, checkpoint, "--output", tmp_path / "i.onnx", *given)
    assert (tmp_path / "i.onnx").read_bytes() == small[0].read_bytes()


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


def test_detector(tmp_path: Path) -> None:
    path, labels = tmp_path / "d.onnx", tmp_path / "labels.txt"
    labels.write_text("cell\nplatelet\n")
    network = ("torchvision:ssdlite320_mobilenet_v3_large", "--weights", "none", "--labels", labels)
    torch.manual_seed(0)
    assert AGREES in call(cli.export, *network, "--output", path).stderr
    made = OnnxModel(path, "cpu")
    assert made.contract.task == "detect"
    assert made.contract.detector is not None
    outputs = made.infer(np.zeros((3, 320, 320, 3), np.uint8))
    assert outputs["boxes"].shape == (3, made.contract.detector.candidates, 4)
    assert set(np.unique(outputs["labels"])) <= {0, 1}


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
    with pytest.raises(ModelError, match="the file is not the network: logits differ by"):
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


def test_file_that_is_there_is_not_replaced(model: Path, checkpoint: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(SinkError, match="exists: give another name, or --force"):
        call(cli.export, checkpoint, "--output", model)
    assert model.read_bytes() == before
