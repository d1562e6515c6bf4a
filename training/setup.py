"""From a recipe to what a Trainer is given: samples, loaders, the network with its weights, the trainer itself."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from pipeline.errors import ConfigError, DeviceError
from training.augment import build_augment
from training.checkpoint import CheckpointFiles, describe
from training.cifarnet import CifarNet
from training.dataset import Draw, Pictures, limit_per_class, shrink_factor
from training.inputs import Inputs, plan_inputs
from training.loading import Draws, Loader, choose_workers, class_weights
from training.models import build_network, head_tensors, resolve_name
from training.module import Classifier, seed_step
from training.recipe import Recipe
from training.samples import Samples, read_samples
from training.weights import choose_state, load_weights

Tell = Callable[[str], None]
_WHITENED = 512


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a run works with."""

    recipe: Recipe
    samples: Samples
    inputs: Inputs
    module: Classifier
    train: Loader
    val: Loader | None


def prepare(recipe: Recipe, tell: Tell, split: Path | None = None, weights: bool = True) -> Job:
    """Reads the data, builds the network, loads its weights.

    Args:
        tell: is given lines for the user.
        split: a run's split.csv, to use again.
        weights: False: the network is about to be filled from a checkpoint.

    Raises:
        OnsightError: something that the user can mend, in data, recipe or weights.
    """
    samples = read_samples(recipe.data, split)
    for note in samples.notes:
        tell(note)
    chosen = limit_per_class(samples.train, recipe.data.per_class, recipe.data.seed)
    counts = f"train {len(chosen)}, val {len(samples.val)}, test {len(samples.test)}"
    tell(f"{len(samples.classes)} classes; pictures: {counts}")
    inputs = plan_inputs(recipe.model, recipe.input)
    train = _load_train(recipe, chosen, inputs, tell)
    val = _load_val(recipe, samples, inputs) if samples.val else None
    seed_step(recipe.seed, 0, 0, 0)
    network = build_network(recipe.model, len(samples.classes), inputs.input.height)
    _check_size(network, recipe, inputs)
    if weights:
        _fill(network, recipe, inputs, len(samples.classes), train.pictures, tell)
    balance = class_weights(chosen, len(samples.classes)) if recipe.data.balance == "loss" else None
    about = describe(recipe, samples.classes, inputs, samples.fingerprint)
    return Job(recipe, samples, inputs, Classifier(network, recipe, inputs, about, train.draws, balance), train, val)


def _load_train(recipe: Recipe, samples: tuple[Any, ...], inputs: Inputs, tell: Tell) -> Loader:
    spec, processes = recipe.data, _processes(recipe)
    workers = choose_workers(spec.workers, processes)
    augment = recipe.augment
    pictures = Pictures(
        samples, inputs, build_augment(augment, inputs), shrink_factor(augment), augment.flip == "alternate"
    )
    if spec.cache and pictures.keep(spec.cache / processes, workers):
        tell("decoded training pictures are kept in memory")
    shuffle: Literal["balanced", "uniform"] = "balanced" if spec.balance == "sampler" else "uniform"
    draws = Draws([each.label for each in samples], spec.batch, recipe.seed, shuffle)
    return Loader(pictures, draws, workers, pin=torch.cuda.is_available())


def _load_val(recipe: Recipe, samples: Samples, inputs: Inputs) -> Loader:
    spec, processes = recipe.data, _processes(recipe)
    draws = Draws([each.label for each in samples.val], spec.batch, recipe.seed, None)
    pictures = Pictures(samples.val, inputs)
    workers = choose_workers(spec.workers, processes)
    if spec.cache:
        pictures.keep(spec.cache / processes / 4, workers)
    return Loader(pictures, draws, workers if pictures.kept is None else 0, pin=torch.cuda.is_available())


def _fill(network: nn.Module, recipe: Recipe, inputs: Inputs, classes: int, pictures: Pictures, tell: Tell) -> None:
    spec = recipe.model
    library, name = resolve_name(spec.name)
    theirs = choose_state(spec.weights, library, name, network)
    if theirs is not None:
        head = head_tensors(spec, classes, inputs.input.height)
        new = load_weights(network, theirs, head, spec.name)
        tell(
            f"weights: {spec.weights}" + (f"; the head is new for {classes} classes ({', '.join(new)})" if new else "")
        )
    elif isinstance(network, CifarNet):
        step = max(len(pictures) // _WHITENED, 1)
        images = (
            pictures.__getitems__(Draw(recipe.seed, tuple(range(0, len(pictures), step)))).images_B3HW.float() / 255
        )
        if len(images):
            mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (inputs.mean, inputs.std))
            network.whiten((images - mean) / std)


def _check_size(network: nn.Module, recipe: Recipe, inputs: Inputs) -> None:
    """A network that the input is too small for says so before anything is spent on it."""
    sides, largest = recipe.augment.sizes.values(), inputs.input.height
    if recipe.augment.crop == "pad" and recipe.augment.padding >= largest:
        raise ConfigError(f"'augment.padding' should be less than the input's {largest} pixels")
    if max(sides, default=0) > largest:
        raise ConfigError(f"'augment.sizes' makes pictures smaller: {max(sides)} is more than the input's {largest}")
    for key, side in [("input.size", largest), *(("augment.sizes", side) for side in sides)]:
        try:
            with torch.no_grad():
                copy.deepcopy(network).to("meta")(torch.empty(2, 3, side, side, device="meta"))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ConfigError(
                f"{recipe.model.name} cannot take {key}={side}: {_first_line(error)}; leave it out, or try another"
            ) from None


def build_trainer(
    recipe: Recipe, folder: Path, callbacks: list[Callback], loggers: Any = False, **options: Any
) -> pl.Trainer:
    """Lightning's trainer, quiet, with our checkpoint files.

    Raises:
        DeviceError, ConfigError: it cannot do what the recipe's part `run` asks for.
    """
    quieten()
    run = recipe.run
    strategy = run.strategy
    if strategy in ("auto", "ddp") and recipe.model.trainable and (strategy == "ddp" or _several(recipe)):
        strategy = "ddp_find_unused_parameters_true"  # frozen blocks have no gradients to share
    try:
        return pl.Trainer(
            accelerator=run.accelerator,
            devices=run.devices,
            num_nodes=run.nodes,
            strategy=strategy,
            precision=run.precision,
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.optimiser.accumulate,
            gradient_clip_val=recipe.optimiser.clip,
            check_val_every_n_epoch=run.validate_every,
            sync_batchnorm=run.sync_batchnorm,
            deterministic=run.deterministic or None,
            callbacks=callbacks,
            logger=loggers,
            plugins=[CheckpointFiles()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            **options,
        )
    except MisconfigurationException as error:
        raise DeviceError(_first_line(error)) from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the part 'run' of the recipe: {_first_line(error)}") from None


def _several(recipe: Recipe) -> bool:
    return _processes(recipe) > 1 or recipe.run.nodes > 1


def _processes(recipe: Recipe) -> int:
    """How many processes of the run share this machine, one for each device, as far as is known before it begins."""
    run = recipe.run
    if told := os.environ.get("LOCAL_WORLD_SIZE"):
        return int(told)
    if str(run.devices).isdecimal():
        return max(int(run.devices), 1)
    return max(torch.cuda.device_count(), 1) if run.accelerator in ("auto", "gpu", "cuda") else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


def quieten() -> None:
    """Lightning's tips and its advice on things that the recipe decides are not for the user."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r".*(lr_scheduler\.step|isinstance\(treespec|IProgress).*")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
