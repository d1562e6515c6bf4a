"""The folder of a run: what is put there, and how one is taken up again."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError
from pipeline.sinks.partial import partial_path, writing
from training.recipe import Recipe

RECIPE, SPLIT, SHEET, METRICS, BEST, LAST = (
    "recipe.yaml",
    "split.csv",
    "samples.jpg",
    "metrics.json",
    "best.ckpt",
    "last.ckpt",
)
_NAME = "ONSIGHT_RUN"


def choose_folder(recipe: Recipe, output: Path | None, resume: Path | None) -> Path:
    """Where the run goes: `output`, or beside the checkpoint that it is resumed from, or runs/<date>-<time>-<name>.

    Raises:
        ConfigError: another run is there.
    """
    if output is None and resume is not None:
        return resume.parent
    if output is None:
        # Processes that Lightning starts for further devices are told the name.
        return Path("runs") / os.environ.setdefault(_NAME, f"{datetime.now():%Y-%m-%d-%H%M%S}-{recipe.name}")
    if resume is None and any((output / name).exists() for name in (BEST, LAST)):
        raise ConfigError(
            f"{output} holds a run already: give another --output, or go on with --resume {output / LAST}"
        )
    return output


def split_file(resume: Path | None) -> Path | None:
    """The split that the run of a checkpoint wrote down."""
    file = None if resume is None else resume.with_name(SPLIT)
    return file if file is not None and file.is_file() else None


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Writes the resolved recipe into a run's folder."""
    _write(folder / RECIPE, yaml.safe_dump(recipe.to_json(), sort_keys=False, allow_unicode=True))


def write_metrics(metrics: dict[str, Any], folder: Path) -> None:
    """Writes metrics.json into a run's folder."""
    _write(folder / METRICS, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path(path).write_text(text, encoding="utf-8")
        os.replace(partial_path(path), path)
