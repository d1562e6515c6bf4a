"""Networks as model files: what is written, what is refused, and that a file that differs is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from export import cli
from pipeline.errors import ContractError, ModelError, OnsightError, SinkError
from pipeline.model import OnnxModel
from training.models import build_network
from training.packaged import EFFICIENTNET, find_packaged
from training.recipe import ModelSpec


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


@pytest.fixture(scope="module")
def model(options: list[str], weights: Path) -> Path:
    path = weights.with_name("m.onnx")
    result = call(cli.export, "cifarnet", "--output", path, "--licence", "MIT", *options)
    assert "the file does what the network does: 9 checks" in result.stderr
    return path


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def test_file_tells_what_it_is(model: Path) -> None:
    contract = OnnxModel(model, "cpu").contract
    assert contract.labels == ("cat", "dog", "owl")
    assert contract.provenance["licence"] == "MIT"
    assert contract.provenance["weights"] == "cifarnet.pth"
    assert str(model.parent).encode() not in model.read_bytes()
    assert [path.name for path in model.parent.glob("*.onnx")] == ["m.onnx"]


def test_export_again_gives_the_same_bytes(model: Path, options: list[str], tmp_path: Path) -> None:
    call(cli.export, "cifarnet", "--output", tmp_path / "m.onnx", "--licence", "MIT", *options)
    assert (tmp_path / "m.onnx").read_bytes() == model.read_bytes()


def test_verify_knows_its_network_from_another(model: Path, options: list[str], tmp_path: Path) -> None:
    assert "does what the network does" in call(cli.verify, model, "--against", "cifarnet", *options).stderr
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


def test_weights_of_the_package_in_their_own_names(tmp_path: Path) -> None:
    file, path = find_packaged(EFFICIENTNET, ".pth"), tmp_path / "e.onnx"
    result = call(cli.export, "timm:tf_efficientnet_lite0", "--weights", file, "--output", path)
    assert "1000 labels, 224 x 224" in result.stderr
    assert json.loads(json.dumps(OnnxModel(path, "cpu").contract.provenance))["weights"] == file.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifarnet", "--weights", "none", "--output", "nowhere/m.onnx"], "folder nowhere does not exist"),
        (["cifarnet", "--weights", "none", "--output", "m.pt"], "unknown suffix"),
        (["resnet999", "--weights", "none", "--output", "m.onnx"], "resnet999"),
        (["no.ckpt", "--output", "m.onnx"], "there is no checkpoint no.ckpt"),
        (["cifarnet", "--weights", "no.pth", "--output", "m.onnx"], "there is no weights file no.pth"),
        (["cifarnet", "--weights", "none", "--output", "m.onnx", "--data", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OnsightError, match=message):
        call(cli.export, *arguments)
    assert not list(tmp_path.iterdir())


def test_file_that_is_there_is_not_replaced(model: Path, options: list[str]) -> None:
    before = model.read_bytes()
    with pytest.raises(SinkError, match="exists: give another name, or --force"):
        call(cli.export, "cifarnet", "--output", model, *options)
    assert model.read_bytes() == before
