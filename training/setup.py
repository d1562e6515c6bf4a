"""From a recipe to what a Trainer is given: samples, loaders, the network with its weights, the trainer itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from pipeline.errors import ConfigError
from training.augment import build_augment
from training.box_layouts import find_boxes
from training.checkpoint import describe
from training.cifarnet import CifarNet
from training.dataset import Draw, Pictures, limit_per_class, shrink_factor
from training.detect_setup import prepare_detector
from training.inputs import Inputs, plan_inputs
from training.job import Job, Tell, load_train, load_val, tell_samples
from training.learner import seed_step
from training.loading import class_weights
from training.models import build_network, head_tensors, resolve_name
from training.module import Classifier
from training.recipe import Recipe
from training.samples import Sample, read_samples
from training.tasks import check_task
from training.trainer import first_line
from training.weights import choose_state, load_weights

_WHITENED = 512


def prepare(recipe: Recipe, tell: Tell, split: Path | None = None, weights: bool = True) -> Job:
    """Reads the data, builds the network, loads its weights.

    Args:
        tell: is given lines for the user.
        split: a run's split.csv, to use again.
        weights: False: the network is about to be filled from a checkpoint.

    Raises:
        OnsightError: something that the user can mend, in data, recipe or weights.
    """
    check_task(recipe)
    if recipe.model.task == "detect":
        return prepare_detector(recipe, tell, split, weights)
    if (found := find_boxes(recipe.data.path)) is not None:
        raise ConfigError(
            f"{found.path} holds boxes, in the layout {found.layout}, and {recipe.model.name} is a classifier: take a "
            "detector, such as model.name=fcos model.backbone=timm:tf_efficientnet_lite0"
        )
    return _prepare_classifier(recipe, tell, split, weights)


def _prepare_classifier(recipe: Recipe, tell: Tell, split: Path | None, weights: bool) -> Job:
    samples = read_samples(recipe.data, split)
    chosen = limit_per_class(samples.train, recipe.data.per_class, recipe.data.seed)
    tell_samples(samples, len(chosen), tell)
    inputs = plan_inputs(recipe.model, recipe.input)
    train = load_train(recipe, _augmented(recipe, chosen, inputs), [each.label for each in chosen], tell)
    val = load_val(recipe, Pictures(samples.val, inputs)) if samples.val else None
    seed_step(recipe.seed, 0, 0, 0)
    network = build_network(recipe.model, len(samples.classes), inputs.input.height)
    _check_size(network, recipe, inputs)
    if weights:
        _fill(network, recipe, inputs, len(samples.classes), train.pictures, tell)
    balance = class_weights(chosen, len(samples.classes)) if recipe.data.balance == "loss" else None
    about = describe(recipe, samples.classes, inputs, samples.fingerprint)
    return Job(recipe, samples, inputs, Classifier(network, recipe, inputs, about, train.draws, balance), train, val)


def _augmented(recipe: Recipe, samples: Sequence[Sample], inputs: Inputs) -> Pictures:
    spec = recipe.augment
    return Pictures(samples, inputs, build_augment(spec, inputs), shrink_factor(spec), spec.flip == "alternate")


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
                f"{recipe.model.name} cannot take {key}={side}: {first_line(error)}; leave it out, or try another"
            ) from None
