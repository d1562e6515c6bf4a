"""What a run works with, and the loaders that bring its pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from training.box_samples import BoxSamples
from training.dataset import Pictures
from training.inputs import Inputs
from training.learner import Learner
from training.loading import Draws, Loader, choose_workers
from training.recipe import Recipe
from training.samples import Samples
from training.trainer import processes_of

Tell = Callable[[str], None]
_VAL = 0.25  # of the memory for training pictures


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a run works with."""

    recipe: Recipe
    samples: Samples | BoxSamples
    inputs: Inputs
    module: Learner
    train: Loader
    val: Loader | None


def tell_samples(samples: Samples | BoxSamples, train: int, tell: Tell) -> None:
    """Says what there is, `train` pictures of which are trained on."""
    for note in samples.notes:
        tell(note)
    counts = f"train {train}, val {len(samples.val)}, test {len(samples.test)}"
    tell(f"{len(samples.classes)} classes; pictures: {counts}")


def load_train(recipe: Recipe, pictures: Pictures, labels: Sequence[int], tell: Tell) -> Loader:
    """The loader of training pictures; they are kept in memory if the recipe leaves room for them.

    Args:
        labels: of all pictures, to draw by.
    """
    spec, processes = recipe.data, processes_of(recipe)
    workers = choose_workers(spec.workers, processes)
    if spec.cache and pictures.keep(spec.cache / processes, workers):
        tell("decoded training pictures are kept in memory")
    shuffle: Literal["balanced", "uniform"] = "balanced" if spec.balance == "sampler" else "uniform"
    return Loader(pictures, Draws(labels, spec.batch, recipe.seed, shuffle), workers, pin=torch.cuda.is_available())


def load_val(recipe: Recipe, pictures: Pictures) -> Loader:
    """The loader of validation pictures, in order."""
    spec, processes = recipe.data, processes_of(recipe)
    draws = Draws([0] * len(pictures), spec.batch, recipe.seed, None)
    workers = choose_workers(spec.workers, processes)
    if spec.cache:
        pictures.keep(_VAL * spec.cache / processes, workers)
    return Loader(pictures, draws, workers if pictures.kept is None else 0, pin=torch.cuda.is_available())
