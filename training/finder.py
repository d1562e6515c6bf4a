"""A learning rate to begin with, by Lightning's finder."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import click
from lightning.pytorch.tuner.tuning import Tuner

from pipeline.errors import OnsightError
from pipeline.sinks.partial import check_file, partial_path, writing
from training.callbacks import Share
from training.recipe import Recipe
from training.setup import prepare
from training.trainer import build_trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's bar is for a terminal."""
    if sys.stderr.isatty():
        yield
    else:
        with redirect_stderr(io.StringIO()):
            yield


def on_one_device(recipe: Recipe) -> Recipe:
    """`recipe` for one process: with several, Lightning would begin the whole command again in each."""
    return recipe.model_copy(
        update={"run": recipe.run.model_copy(update={"devices": 1, "nodes": 1, "strategy": "auto"})}
    )


def find_rate(recipe: Recipe, steps: int, plot: Path | None = None) -> float:
    """The rate at which the loss falls most steeply while the rate rises step by step, on one device.

    It is that of the head, found with all blocks alike; `optimiser.layer_decay` then slows down the others.

    Args:
        steps: how many are made.
        plot: a PNG of loss over rate.

    Raises:
        OnsightError: the loss never fell; or see `training.setup.prepare`.
    """
    if plot is not None:
        check_file(plot, {".png"})
    alike = recipe.optimiser.model_copy(update={"layer_decay": 1.0})  # the finder gives all groups one rate
    recipe = on_one_device(recipe).model_copy(update={"optimiser": alike})
    job = prepare(recipe, lambda line: click.echo(line, err=True))
    job.module.watch = False  # the loss is meant to explode
    with tempfile.TemporaryDirectory() as folder:
        enough = recipe.model_copy(update={"epochs": steps})  # each has a batch at least
        trainer = build_trainer(
            enough, Path(folder), [Share(job.train)], enable_progress_bar=False, enable_checkpointing=False
        )
        with _quiet():
            found = Tuner(trainer).lr_find(
                job.module, job.train, num_training=steps, min_lr=1e-6, max_lr=10, update_attr=False, attr_name="lr"
            )
    rate = None if found is None else found.suggestion(skip_begin=steps // 10, skip_end=1)
    if found is None or rate is None:
        raise OnsightError("no learning rate can be suggested: the loss never fell; try more --steps or other weights")
    if plot is not None:
        with writing(plot):
            figure: Any = found.plot(suggest=True)
            figure.savefig(partial_path(plot))
            os.replace(partial_path(plot), plot)
    return float(rate)
