"""What happens to training pictures: to one of them (on the CPU, uint8) and to a whole batch (MixUp, CutMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from training.inputs import Inputs
from training.recipe import AugmentSpec

_MODES = {
    "nearest": InterpolationMode.NEAREST,
    "linear": InterpolationMode.BILINEAR,
    "cubic": InterpolationMode.BICUBIC,
    "area": InterpolationMode.BILINEAR,
}


def build_augment(spec: AugmentSpec, inputs: Inputs) -> v2.Transform:
    """From a picture uint8 [3, H, W], RGB, to one of the input's size; it draws from torch's global generator.

    Unless `spec.crop` is `random-resized`, the picture already has that size.
    """
    size, fill = (inputs.input.height, inputs.input.width), [int(255 * each) for each in inputs.mean]
    mode = _MODES[inputs.resize.interpolation]
    steps: list[v2.Transform] = []
    if spec.crop == "random-resized":
        steps.append(v2.RandomResizedCrop(size, spec.scale, spec.ratio, interpolation=mode, antialias=True))
    elif spec.crop == "pad":
        steps.append(v2.RandomCrop(size, padding=spec.padding, padding_mode="reflect"))
    steps += [*turns(spec, fill), *colours(spec)]
    if spec.policy == "rand":
        steps.append(v2.RandAugment(spec.rand_ops, spec.rand_magnitude, fill=fill))
    elif spec.policy == "trivial":
        steps.append(v2.TrivialAugmentWide(fill=fill))
    if spec.erasing:
        steps.append(v2.RandomErasing(spec.erasing, value=fill))
    return v2.Compose(steps) if steps else v2.Identity()


def turns(spec: AugmentSpec, fill: list[int]) -> list[v2.Transform]:
    """Mirror images and rotations; boxes go with the picture."""
    steps: list[v2.Transform] = []
    if spec.flip and spec.flip != "alternate":
        steps.append(v2.RandomHorizontalFlip(spec.flip))
    if spec.flip_vertical:
        steps.append(v2.RandomVerticalFlip(spec.flip_vertical))
    if spec.rotation:
        steps.append(v2.RandomRotation(spec.rotation, interpolation=InterpolationMode.BILINEAR, fill=fill))
    return steps


def colours(spec: AugmentSpec) -> list[v2.Transform]:
    """Other light and other colours."""
    if not (spec.brightness or spec.contrast or spec.saturation or spec.hue):
        return []
    return [v2.ColorJitter(spec.brightness, spec.contrast, spec.saturation, spec.hue)]


class Mixer:
    """MixUp and CutMix of a batch: labels int64 [B] become shares float32 [B, C]."""

    def __init__(self, spec: AugmentSpec, classes: int) -> None:
        kinds: list[tuple[Any, float]] = [(v2.MixUp, spec.mixup), (v2.CutMix, spec.cutmix)]
        self._mixers = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha > 0]
        self._chance = spec.mix_chance if self._mixers else 0.0

    def __call__(self, images_B3HW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes the batch, or returns it as it is, by chance."""
        if not self._mixers or torch.rand(()) >= self._chance or len(labels_B) < 2:
            return images_B3HW, labels_B
        chosen = self._mixers[int(torch.randint(len(self._mixers), ()))]
        images, shares = chosen(images_B3HW, labels_B)
        return images, shares
