"""From the recipe of a detector to a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.annotated import AnnotatedImage
from training.box_dataset import BoxPictures
from training.box_samples import read_box_samples
from training.boxes_augment import BoxAugment
from training.checkpoint import describe
from training.dataset import Pictures
from training.detect_model import build_trainable, fill_detector
from training.detect_module import ObjectDetector
from training.inputs import Inputs, plan_inputs
from training.job import Job, Tell, load_train, load_val, tell_samples
from training.learner import seed_step
from training.raw_heads import count_columns
from training.recipe import Recipe
from training.samples import Sample

_SHRINK = 2.0  # training pictures stay twice as large as the input, for parts of them


def prepare_detector(recipe: Recipe, tell: Tell, split: Path | None, weights: bool) -> Job:
    """See `training.setup.prepare`."""
    samples = read_box_samples(recipe.data, split)
    tell_samples(samples, len(samples.train), tell)
    inputs = plan_inputs(recipe.model, recipe.input)
    size = inputs.input.height
    seed_step(recipe.seed, 0, 0, 0)
    network = build_trainable(recipe.model, len(samples.classes), size)
    count_columns(network, size, size)  # one that the input is too small for says so before anything is spent on it
    if weights and (loaded := fill_detector(network, recipe.model, len(samples.classes), size)):
        tell(loaded)
    augment = BoxAugment(recipe.augment, inputs.resize.pad_value)
    pictures = BoxPictures(samples.train, inputs, augment, _SHRINK, samples.classes)
    train = load_train(recipe, pictures, [0] * len(samples.train), tell)
    val = load_val(recipe, _in_order(samples.val, inputs)) if samples.val else None
    about = describe(recipe, samples.classes, inputs, samples.fingerprint)
    module = ObjectDetector(network, recipe, inputs, about, train.draws, samples.val)
    return Job(recipe, samples, inputs, module, train, val)


def _in_order(images: Sequence[AnnotatedImage], inputs: Inputs) -> Pictures:
    """Each is labelled by its place."""
    return Pictures([Sample(image.path, place) for place, image in enumerate(images)], inputs)
