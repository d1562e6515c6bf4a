"""What a search and the learning-rate finder ask of a run; the runs themselves are replaced."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, OnsightError, SinkError
from training import finder
from training import search as searching
from training.recipe import Recipe, load_recipe
from training.search import parse_space, search
from training.train import Outcome

RECIPE = """
epochs: 1
data: {path: photos/}
model: {name: cifarnet}
optimiser: {layer_decay: 0.5}
run: {devices: 4, nodes: 2, strategy: ddp}
"""
Runs = Callable[[int], list[Recipe]]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path / "tiny.yaml"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Replaces the training by one that ends with a code. The list is of the recipes it is given."""

    def replace(code: int) -> list[Recipe]:
        given: list[Recipe] = []

        def train(recipe: Recipe, folder: Path, judge: bool) -> Outcome:
            given.append(recipe)
            return Outcome(folder, code, None if code else recipe.optimiser.lr, None, None, 0.0)

        monkeypatch.setattr(searching, "train", train)
        return given

    return replace


def test_search_that_goes_on_tries_other_values(recipe_file: Path, tmp_path: Path, runs: Runs) -> None:
    given = runs(0)
    for _ in range(2):
        search(recipe_file, ["optimiser.lr=1e-4..1e-1:log"], 2, tmp_path / "out")
    assert len({recipe.optimiser.lr for recipe in given}) == 4


def test_runs_are_for_one_device(recipe_file: Path, tmp_path: Path, runs: Runs) -> None:
    given = runs(0)
    search(recipe_file, ["optimiser.lr=0.1,0.2"], 1, tmp_path / "out")
    assert (given[0].run.devices, given[0].run.nodes, given[0].run.strategy) == (1, 1, "auto")


def test_finder_is_for_one_device_and_the_rate_of_the_head(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(recipe: Recipe, _: object) -> None:
        assert (recipe.run.devices, recipe.run.nodes, recipe.run.strategy) == (1, 1, "auto")
        assert recipe.optimiser.layer_decay == 1
        raise OnsightError("seen")

    monkeypatch.setattr(finder, "prepare", prepare)
    with pytest.raises(OnsightError, match="seen"):
        finder.find_rate(load_recipe(recipe_file), 20)


@pytest.mark.parametrize("path", ["../../photos/", "a/../b", "/data/../photos"])
def test_path_is_no_range(path: str) -> None:
    assert parse_space([f"data.path={path}"]) == ({}, [f"data.path={path}"])


def test_choices_keep_their_kind(recipe_file: Path, tmp_path: Path, runs: Runs) -> None:
    given = runs(0)
    search(recipe_file, ["run.ema=null,0.99", "run.compile=true,false"], 8, tmp_path / "out")
    assert {recipe.run.ema for recipe in given} == {None, 0.99}
    assert {recipe.run.compile for recipe in given} == {True, False}


def test_other_choices_want_another_folder(recipe_file: Path, tmp_path: Path, runs: Runs) -> None:
    runs(0)
    search(recipe_file, ["optimiser.name=sgd,adamw"], 1, tmp_path / "out")
    for word in ("optimiser.name=sgd,adam", "optimiser.name=1..2"):
        with pytest.raises(ConfigError, match=r"holds a search over other choices; take another --output"):
            search(recipe_file, [word], 1, tmp_path / "out")


def test_folder_that_cannot_be_made(recipe_file: Path, runs: Runs) -> None:
    runs(0)
    with pytest.raises(SinkError, match="cannot write"):
        search(recipe_file, ["optimiser.lr=0.1,0.2"], 1, recipe_file / "out")


@pytest.mark.parametrize("code", [130, 143])
def test_signal_in_the_first_trial_is_no_error(recipe_file: Path, tmp_path: Path, runs: Runs, code: int) -> None:
    runs(code)
    found = search(recipe_file, ["optimiser.lr=0.1,0.2"], 3, tmp_path / "out")
    assert (found.code, found.trials, found.values) == (code, 0, {})
    assert math.isnan(found.score)
