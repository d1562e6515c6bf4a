from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.errors import ConfigError
from training.overrides import split_override
from training.recipe import Recipe, RunSpec, load_recipe

CONFIGS = Path(__file__).parents[3] / "configs" / "training"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text("data: {path: photos}\nmodel: {name: resnet18}\n")
    return file


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_need_nothing_but_a_path(config: Path) -> None:
    assert load_recipe(config, ["data.path=photos/"]).data.path == Path("photos")
    with pytest.raises(ConfigError, match=r"'data\.path' is missing: .* as data\.path=…"):
        load_recipe(config)


def test_overrides_win_and_are_yaml(file: Path) -> None:
    words = ["optimiser.lr=1e-3", "model.trainable={0: head, 3: 4, 5: all}", "data.slice=region", "run.ema=null"]
    recipe = load_recipe(file, words)
    assert recipe.optimiser.lr == 1e-3
    assert recipe.model.trainable == {0: "head", 3: 4, 5: "all"}
    assert recipe.data.slice == "region"
    assert recipe.run.ema is None


def test_recipe_survives_json(file: Path) -> None:
    recipe = load_recipe(file, ["model.trainable={0: head, 2: all}", "input.mean=[0.5, 0.4, 0.3]"])
    assert Recipe.model_validate(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.lr=3", r"unknown key 'optimizer'.*did you mean 'optimiser'\?"),
        ("optimiser.lrr=3", r"unknown key 'optimiser\.lrr'.*did you mean 'optimiser\.lr'\?"),
        ("lr=3", r"unknown key 'lr'.*did you mean 'optimiser\.lr'\?"),
        ("data.zzz=3", r"unknown key 'data\.zzz'.*known are: balance, batch, cache"),
        ("data.batch=-1", r"'data\.batch' cannot be -1: input should be greater than 0"),
        ("schedule.name=sawtooth", r"'schedule\.name' cannot be 'sawtooth'"),
        ("augment.scale=[1, 0.5]", r"'scale' begins with its smaller number"),
        ("data.path.x=1", "'path' is a value of its own"),
        ("epochs", "'epochs' is no override; write key=value"),
        ("epochs=[", "the value of 'epochs=\\[' is not valid YAML"),
    ],
)
def test_wrong_words_are_told_with_the_right_ones(file: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(file, [word])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "line 1"), ("- a\n- b\n", "must hold keys and values"), ("\udcff", "not valid YAML")],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=message):
        load_recipe(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_recipe(tmp_path / "none.yaml")


def test_override_may_hold_an_equals_sign() -> None:
    assert split_override("data.path=a=b") == ("data.path", "a=b")


def test_an_average_needs_float32_weights() -> None:
    with pytest.raises(ValidationError, match="'ema' averages in float32"):
        RunSpec(ema=0.99, precision="bf16-true")
