from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import OnsightError, SinkError
from training.checkpoint import (
    KEY,
    check_resumable,
    describe,
    load_checkpoint,
    read_checkpoint,
    store_temperature,
    write_checkpoint,
)
from training.inputs import plan_inputs
from training.models import build_network
from training.recipe import DataSpec, ModelSpec, Recipe

RECIPE = Recipe(data=DataSpec(path=Path("photos")), model=ModelSpec(name="cifarnet"))
INPUTS = plan_inputs(RECIPE.model, RECIPE.input)
CLASSES = ("cat", "dog")


def _content(**changes: Any) -> dict[str, Any]:
    network = build_network(RECIPE.model, 2)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    return {"state_dict": state, "epoch": 3, KEY: describe(RECIPE, CLASSES, INPUTS, "print") | changes}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checkpoint(_content(metrics={"val/accuracy": 0.5}), tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


def test_all_comes_back(path: Path) -> None:
    trained = load_checkpoint(path)
    assert trained.classes == CLASSES
    assert trained.recipe == RECIPE
    assert (trained.input, trained.resize, trained.mean, trained.std) == (
        INPUTS.input,
        INPUTS.resize,
        INPUTS.mean,
        INPUTS.std,
    )
    assert trained.metrics == {"val/accuracy": 0.5}
    assert (trained.temperature, trained.fingerprint, trained.epoch) == (None, "print", 3)
    assert trained.versions.keys() >= {"onsight", "torch", "timm", "torchvision", "lightning"}
    assert trained.network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert trained.contract.labels == CLASSES


def test_temperature_is_stored_and_nothing_else_changes(path: Path) -> None:
    before = read_checkpoint(path)
    store_temperature(path, 1.5)
    after = read_checkpoint(path)
    assert load_checkpoint(path).temperature == 1.5
    assert all(torch.equal(after["state_dict"][name], tensor) for name, tensor in before["state_dict"].items())
    assert after[KEY] == before[KEY] | {"temperature": 1.5}


def test_failing_to_write_keeps_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SinkError, match=r"No space left on device; the one saved before is whole"):
        write_checkpoint(_content(), path)
    assert path.read_bytes() == whole
    assert [each.name for each in path.parent.iterdir()] == ["best.ckpt"]


class _Bomb:
    def __reduce__(self) -> Any:
        return print, ("boom",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "was not written by onsight train"),
        ([1], "was not written by onsight train"),
        ({"state_dict": {}, KEY: {"version": 7}}, "is of another version of Onsight"),
        ({"state_dict": {}, KEY: {"version": 1, "recipe": {}}}, "is of another version of Onsight"),
        ({"state_dict": _Bomb()}, "would run code when loaded, and is refused"),
    ],
)
def test_others_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(OnsightError, match=message):
        load_checkpoint(tmp_path / "other.ckpt")


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_broken_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.ckpt").write_bytes(data)
    with pytest.raises(OnsightError, match="is no checkpoint of PyTorch, or is not whole"):
        load_checkpoint(tmp_path / "broken.ckpt")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OnsightError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    content = _content()
    del content["state_dict"]["network.head.weight"]
    write_checkpoint(content, tmp_path / "odd.ckpt")
    with pytest.raises(OnsightError, match=r"does not fit cifarnet: .*head\.weight"):
        load_checkpoint(tmp_path / "odd.ckpt")


@pytest.mark.parametrize(
    ("recipe", "classes", "fingerprint", "message"),
    [
        ({"model": ModelSpec(name="resnet18")}, CLASSES, "print", "a checkpoint of the model cifarnet"),
        ({}, ("cat", "cow"), "print", "other classes: cow, dog in one of the two only"),
        ({}, ("dog", "cat"), "print", "the same in another order"),
        ({}, CLASSES, "other", "other pictures"),
        ({"epochs": 99}, CLASSES, "print", "begun with another epochs"),
    ],
)
def test_what_cannot_be_resumed(path: Path, recipe: Any, classes: Any, fingerprint: str, message: str) -> None:
    check_resumable(path, RECIPE, CLASSES, "print")
    with pytest.raises(OnsightError, match=message):
        check_resumable(path, RECIPE.model_copy(update=recipe), classes, fingerprint)
