"""A small search for good values of recipe keys, by Optuna."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import optuna

from pipeline.errors import ConfigError, OnsightError
from pipeline.sinks.partial import writing
from training.finder import on_one_device
from training.overrides import parse, split_override
from training.recipe import Recipe, load_recipe
from training.train import train

_RANGE = re.compile(r"(?P<low>[^:/]+?)\.\.(?P<high>[^:/]+?)(?P<log>:log)?")  # `../photos/` is none
Suggest = Callable[[optuna.Trial], Any]


@dataclass(frozen=True, slots=True)
class Found:
    """`score`: what the recipe monitors on the validation pictures; NaN without a whole trial.
    `values`: the keys searched. `code`: 0, or that of the signal that ended the search.
    """

    score: float
    values: dict[str, Any]
    trials: int
    code: int = 0


def search(file: Path, words: Sequence[str], trials: int, output: Path | None = None) -> Found:
    """Trains `trials` times with values that Optuna picks for the keys in `words`; see `parse_space`.

    Every trial is a run of its own below `output`, on one device, whatever the recipe says; a search that is there
    already goes on.

    Raises:
        ConfigError: a word that cannot be used, or `output` holds a search over other choices.
        SinkError: `output` cannot be written to. OnsightError: no trial came to its end.
    """
    space, fixed = parse_space(words)
    recipe = load_recipe(file, fixed)
    if not space:
        raise ConfigError("nothing to search: give at least one range, for example optimiser.lr=1e-4..1e-1:log")
    folder = output or Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-tune"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / 'study.db').absolute()}",
        study_name=recipe.name,
        load_if_exists=True,
        direction="minimize" if recipe.monitor == "loss" else "maximize",
    )
    study.sampler = optuna.samplers.TPESampler(seed=(recipe.seed + len(study.trials)) % 2**32)  # or it repeats itself
    ended: list[int] = []

    def run(trial: optuna.Trial) -> float:
        values = _pick(trial, space, folder)
        each = on_one_device(load_recipe(file, [*fixed, *_words(values)]))
        return _try(each, values, folder / f"trial-{trial.number:03}", study, ended)

    study.optimize(run, n_trials=trials)
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if done:
        return Found(float(study.best_value), study.best_params, len(done), *ended)
    if ended:
        return Found(math.nan, {}, 0, *ended)
    raise OnsightError("no trial came to its end; the lines above say why")


def _pick(trial: optuna.Trial, space: Mapping[str, Suggest], folder: Path) -> dict[str, Any]:
    try:
        return {key: suggest(trial) for key, suggest in space.items()}
    except ValueError:
        raise ConfigError(f"{folder} holds a search over other choices; take another --output") from None


def _try(recipe: Recipe, values: Mapping[str, Any], folder: Path, study: optuna.Study, ended: list[int]) -> float:
    click.echo(f"{folder.name}: {' '.join(_words(values))}", err=True)
    try:
        outcome = train(recipe, folder, judge=False)
    except ConfigError:
        raise
    except OnsightError as error:
        click.echo(f"{folder.name} failed: {error}", err=True)
        raise optuna.TrialPruned from error
    if outcome.code:
        ended.append(outcome.code)
        study.stop()
        raise optuna.TrialPruned
    if outcome.score is None:
        raise ConfigError("a search needs validation pictures: set data.val_fraction")
    return outcome.score


def parse_space(words: Sequence[str]) -> tuple[dict[str, Suggest], list[str]]:
    """What is searched, and the overrides that stay: `key=1..5`, `key=1e-4..1e-1:log`, `key=a,b`, `key=value`.

    Raises:
        ConfigError: a range whose ends are no rising numbers, or no `key=value` at all.
    """
    space: dict[str, Suggest] = {}
    fixed = []
    for word in words:
        key, text = split_override(word)
        if suggest := _suggest(key, text, word):
            space[key] = suggest
        else:
            fixed.append(word)
    return space, fixed


def _suggest(key: str, text: str, word: str) -> Suggest | None:
    if match := _RANGE.fullmatch(text):
        low, high = (parse(match[end], word) for end in ("low", "high"))
        log = match["log"] is not None
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if not numbers or not low < high or (log and low <= 0):
            raise ConfigError(f"'{word}' is no range; write key=LOW..HIGH, or key=LOW..HIGH:log above 0")
        if isinstance(low, int) and isinstance(high, int):
            return lambda trial: trial.suggest_int(key, low, high, log=log)
        return lambda trial: trial.suggest_float(key, low, high, log=log)
    if "," in text and text[0] not in "[{\"'":
        choices = [parse(each, word) for each in text.split(",")]
        return lambda trial: trial.suggest_categorical(key, choices)
    return None


def _words(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
