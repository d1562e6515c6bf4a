"""Whole training runs on small generated pictures: kept, cut, gone on with, refused."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from pipeline.errors import ConfigError, OnsightError, SinkError, SourceError
from training.checkpoint import load_checkpoint, read_checkpoint
from training.finder import find_rate
from training.module import Classifier
from training.recipe import Recipe, load_recipe
from training.search import parse_space, search
from training.train import train

COLOURS = ("blue", "green", "red")
RECIPE = """
epochs: 3
data: {batch: 8, workers: 0, val_fraction: 0.2, test_fraction: 0.2}
model: {name: cifarnet, dropout: 0.1}
augment: {mixup: 0.2, cutmix: 1.0, flip: 0.5, crop: random-resized}
optimiser: {lr: 0.003, clip: 1.0}
run: {ema: 0.9, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for channel, name in enumerate(COLOURS):
        (folder / name).mkdir()
        for i in range(16):
            image = rng.integers(0, 160, (36, 40, 3), dtype=np.uint8)
            image[..., channel] //= 2
            image[..., channel] += 70
            cv2.imwrite(str(folder / name / f"{i}.png"), image)
    return folder


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
    outcome = train(recipe, folder)
    assert outcome.code == 0
    return folder


def test_run_leaves_all_its_files(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "log", "metrics.json", "recipe.yaml", "samples.jpg", "split.csv"}
    kinds = {path.name.split(".")[0] for path in (whole / "log" / "version_0").iterdir()}
    assert {"metrics", "events"} <= kinds
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert metrics["n"] == 9
    assert cv2.imread(str(whole / "samples.jpg")).shape[1] > 8 * 32


def test_recipe_of_the_run_gives_the_same_recipe(whole: Path, recipe: Recipe) -> None:
    assert load_recipe(whole / "recipe.yaml") == recipe


def test_killed_run_ends_as_the_whole_one(whole: Path, recipe_file: Path, data: Path, tmp_path: Path) -> None:
    """SIGKILL after the first epoch has been saved, in a process of its own."""
    folder = tmp_path / "run"
    code = "import sys; from training.cli import train; train.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, str(recipe_file), f"data.path={data}", "--output", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert read_checkpoint(folder / "last.ckpt")["epoch"] < 2

    train(load_recipe(recipe_file, [f"data.path={data}"]), resume=folder / "last.ckpt")

    _assert_same_end(folder, whole)


def test_stopped_run_ends_as_the_whole_one(
    whole: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of the second epoch."""
    steps = _steps_of_an_epoch(whole)
    with monkeypatch.context() as patch:
        _before_step(patch, steps + 2, lambda: signal.raise_signal(signal.SIGTERM))
        outcome = train(recipe, tmp_path / "run")
    assert outcome.code == 143
    last = read_checkpoint(tmp_path / "run" / "last.ckpt")
    assert last["global_step"] == steps + 3

    assert train(recipe, resume=tmp_path / "run" / "last.ckpt").code == 0

    _assert_same_end(tmp_path / "run", whole)


def test_ctrl_c_saves_and_ends(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    _before_step(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGINT))
    assert train(recipe, tmp_path / "run").code == 130
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_run_with_a_changing_size_goes_on_exactly(
    recipe_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["augment.sizes={0: 16, 1: 24, 2: 32}", "augment.flip=alternate", "augment.crop=pad", "data.balance=loss"]
    words += ["optimiser.name=muon", "schedule.name=linear", "run.channels_last=true", f"data.path={data}"]
    recipe = load_recipe(recipe_file, words)
    sides, shrunk = [], Classifier._shrunk

    def watched(module: Classifier, images: torch.Tensor) -> torch.Tensor:
        sides.append(shrunk(module, images).shape[2])
        return shrunk(module, images)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "_shrunk", watched)
        assert train(recipe, tmp_path / "whole").code == 0
    steps = _steps_of_an_epoch(tmp_path / "whole")
    assert sides == [16] * steps + [24] * steps + [32] * steps

    with monkeypatch.context() as patch:
        _before_step(patch, steps + 1, lambda: signal.raise_signal(signal.SIGTERM))
        assert train(recipe, tmp_path / "cut").code == 143
    assert train(recipe, resume=tmp_path / "cut" / "last.ckpt").code == 0
    _assert_same_end(tmp_path / "cut", tmp_path / "whole")


def test_sizes_that_enlarge_are_refused(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'augment\.sizes' makes pictures smaller: 40 is more than the input's 32"):
        train(load_recipe(recipe_file, [f"data.path={data}", "augment.sizes={0: 40}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_ends_when_it_gets_no_better(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    words = [f"data.path={data}", "epochs=50", "optimiser.lr=1e-12", "run.patience=2", "run.monitor=accuracy"]
    words += ["run.ema=null", "model.dropout=0"]
    train(load_recipe(recipe_file, words), tmp_path / "run")
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] < 10


@pytest.mark.parametrize("devices", [1, 2])
def test_sigterm_to_all_processes_saves_and_ends(recipe_file: Path, data: Path, tmp_path: Path, devices: int) -> None:
    """As a service manager ends a service: the loader's processes, and those of other devices, are told, too."""
    folder = tmp_path / "run"
    words = [f"data.path={data}", "data.workers=1", "data.batch=4", f"run.devices={devices}", "epochs=1000"]
    command = [Path(sys.executable).with_name("onsight"), "train", recipe_file, *words, "--output", folder]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        code = process.wait(60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    said = (tmp_path / "log").read_text()
    assert code == 143, said
    assert "Traceback" not in said
    assert "go on with --resume" in said
    assert read_checkpoint(folder / "last.ckpt")["global_step"] > 0


def test_checkpoint_scores_what_the_run_said(whole: Path) -> None:
    best = load_checkpoint(whole / "best.ckpt")
    assert best.classes == COLOURS
    assert not best.network.training
    assert best.contract.labels == COLOURS
    assert 0 <= best.metrics["val/accuracy"] <= 1


def test_resume_refuses_another_model(whole: Path, recipe_file: Path, data: Path) -> None:
    other = load_recipe(recipe_file, [f"data.path={data}", "model.name=resnet18", "model.dropout=null"])
    with pytest.raises(OnsightError, match=r"a checkpoint of the model cifarnet, the recipe says resnet18"):
        train(other, resume=whole / "last.ckpt")


def test_output_of_another_run_is_not_overwritten(whole: Path, recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="holds a run already"):
        train(recipe, whole)


def test_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    whole: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _steps_of_an_epoch(whole)
    loss = Classifier._loss

    def explode(self: Classifier, *given: Any) -> torch.Tensor:
        return loss(self, *given) * (float("nan") if self.global_step >= steps + 1 else 1)

    monkeypatch.setattr(Classifier, "_loss", explode)
    with pytest.raises(OnsightError, match=rf"in epoch 2 by step {steps + 2}: lower optimiser\.lr \(now 0\.003\)"):
        train(recipe, tmp_path / "run")
    last = read_checkpoint(tmp_path / "run" / "last.ckpt")
    assert last["global_step"] == steps
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())


@pytest.mark.parametrize("log", [False, True])
def test_full_disk_keeps_the_last_good_checkpoint(
    whole: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bool
) -> None:
    open_file = Path.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        full = path.name == "last.partial.ckpt" and path.with_name("last.ckpt").exists()
        if full and log:  # the log cannot be written either
            monkeypatch.setattr(ExperimentWriter, "save", lambda _: Full(tmp_path / "row", "wb").write(b"row"))
        return Full(path, "wb") if full else open_file(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(SinkError, match=r"No space left on device.*: make room; go on with --resume .*last\.ckpt"):
        train(recipe, tmp_path / "run")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] == 0
    assert not list((tmp_path / "run").glob("*.partial*"))


def test_moved_run_remembers_its_best(
    recipe: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _before_step(patch, _steps_of_an_epoch(whole) * 2 + 1, lambda: signal.raise_signal(signal.SIGTERM))
        assert train(recipe, tmp_path / "run").code == 143
    (tmp_path / "run").rename(tmp_path / "moved")
    assert train(recipe, resume=tmp_path / "moved" / "last.ckpt").code == 0
    _assert_same_end(tmp_path / "moved", whole)
    # One that is finished, into another folder:
    assert train(recipe, tmp_path / "other", resume=tmp_path / "moved" / "last.ckpt").code == 0
    for name in ("moved", "other"):
        assert read_checkpoint(tmp_path / name / "best.ckpt")["epoch"] == read_checkpoint(whole / "best.ckpt")["epoch"]


@pytest.mark.parametrize(
    ("word", "key"), [("data.batch=4", "data.batch"), ("run.ema=0.5", "run.ema"), ("augment.flip=0", "augment.flip")]
)
def test_resume_refuses_another_recipe(whole: Path, recipe_file: Path, data: Path, word: str, key: str) -> None:
    recipe = load_recipe(recipe_file, [f"data.path={data}", word])
    with pytest.raises(OnsightError, match=rf"begun with another {key}; take the recipe\.yaml"):
        train(recipe, resume=whole / "last.ckpt")


def test_best_by_loss_without_validation_is_the_last(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    words = [f"data.path={data}", "run.monitor=loss", "data.val_fraction=0", "epochs=2", "schedule.name=one-cycle"]
    assert train(load_recipe(recipe_file, [*words, "optimiser.accumulate=2"]), tmp_path / "run").code == 0
    assert read_checkpoint(tmp_path / "run" / "best.ckpt")["epoch"] == 1


@pytest.mark.parametrize("split", ["train", "val"])
def test_split_without_a_readable_picture_is_an_error(
    recipe_file: Path, data: Path, tmp_path: Path, split: str
) -> None:
    rows = ["path,label,split"]
    for colour in COLOURS:
        (tmp_path / f"{colour}.png").write_bytes(b"no picture")
        broken, good = tmp_path / f"{colour}.png", data / colour / "1.png"
        rows += [f"{broken if split == part else good},{colour},{part}" for part in ("train", "val")]
        rows += [f"{data / colour / '2.png'},{colour},test"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    what = "training" if split == "train" else "validation"
    with pytest.raises(SourceError, match=rf"none of the {what} pictures can be read; look at: onsight data check"):
        train(load_recipe(recipe_file, [f"data.path={tmp_path / 'list.csv'}"]), tmp_path / "run")


def test_damaged_picture_is_skipped_and_named(
    recipe_file: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for colour in COLOURS:
        (tmp_path / "data" / colour).mkdir(parents=True)
        for file in (data / colour).iterdir():
            (tmp_path / "data" / colour / file.name).write_bytes(file.read_bytes())
    broken = tmp_path / "data" / "red" / "broken.png"
    broken.write_bytes(b"no picture")
    words = [f"data.path={tmp_path / 'data'}", "epochs=1", "data.val_fraction=0", "data.test_fraction=0"]
    for cache in (0, 1):
        outcome = train(load_recipe(recipe_file, [*words, f"data.cache={cache}"]), tmp_path / f"run{cache}")
        said = capsys.readouterr().err
        assert outcome.code == 0
        assert said.count(f"skipped: {broken} cannot be read") == 1
        assert "pictures skipped because they cannot be read: 1" in said


def test_finder_suggests_a_rate(recipe: Recipe, tmp_path: Path) -> None:
    assert 1e-6 < find_rate(recipe, 40, tmp_path / "lr.png") < 10
    assert cv2.imread(str(tmp_path / "lr.png")) is not None


def test_search_tries_goes_on_and_judges_by_validation(recipe_file: Path, data: Path, tmp_path: Path) -> None:
    words = [f"data.path={data}", "epochs=1", "optimiser.lr=1e-4..1e-2:log", "optimiser.name=sgd,adamw"]
    found = search(recipe_file, words, 1, tmp_path)
    assert found.values.keys() == {"optimiser.lr", "optimiser.name"}
    assert 1e-4 <= found.values["optimiser.lr"] <= 1e-2
    assert 0 <= found.score <= 1
    assert search(recipe_file, words, 1, tmp_path).trials == 2
    assert not list(tmp_path.glob("trial-*/metrics.json"))


@pytest.mark.parametrize("word", ["optimiser.lr=1..1", "optimiser.lr=a..b", "optimiser.lr=0..1:log", "epochs"])
def test_search_refuses_what_is_no_range(word: str) -> None:
    with pytest.raises(ConfigError, match=r"is no range|is no override"):
        parse_space([word])


def _steps_of_an_epoch(whole: Path) -> int:
    return int(read_checkpoint(whole / "last.ckpt")["global_step"]) // 3


def _before_step(patch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    step = Classifier.training_step

    def watched(self: Classifier, *given: Any) -> Any:
        if self.global_step == number:
            act()
        return step(self, *given)

    patch.setattr(Classifier, "training_step", watched)


def _assert_same_end(folder: Path, whole: Path) -> None:
    ours, theirs = (read_checkpoint(each / "last.ckpt") for each in (folder, whole))
    assert ours["global_step"] == theirs["global_step"]
    assert ours["onsight"]["metrics"] | {"train/loss": 0} == theirs["onsight"]["metrics"] | {"train/loss": 0}
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[part][name], tensor) for name, tensor in theirs[part].items())
    assert json.loads((folder / "metrics.json").read_text()) == json.loads((whole / "metrics.json").read_text())
