"""How a picture becomes the input of a network, in the contract's own words: the runtime will do the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import timm
import torch
from torchvision import models as tv

from pipeline import contract
from pipeline.terms import Interpolation, ResizeRule
from training.detectors import LITE_SIZE, SIZE, TORCHVISION, build_detector, detector_size
from training.models import resolve_name
from training.recipe import InputSpec, ModelSpec, Rgb

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_HALVED = ("inception_v3", "googlenet")  # torchvision's weights of these were trained on -1..1
_INTERPOLATIONS: dict[str, Interpolation] = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Size and resize rule as the contract has them; mean and std of red, green and blue on the scale 0..1."""

    input: contract.InputSpec
    resize: contract.Resize
    mean: Rgb
    std: Rgb

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {
            "input": self.input.model_dump(mode="json"),
            "resize": self.resize.model_dump(mode="json"),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Reads `to_json` back."""
        return cls(
            contract.InputSpec.model_validate(values["input"]),
            contract.Resize.model_validate(values["resize"]),
            _rgb(values["mean"]),
            _rgb(values["std"]),
        )


def plan_inputs(model: ModelSpec, wanted: InputSpec) -> Inputs:
    """What `wanted` says, and where it is silent, what the model's weights were trained with."""
    size, rule, interpolation, crop_pct, mean, std = _published(model)
    size, rule = wanted.size or size, wanted.rule or rule
    return Inputs(
        contract.InputSpec(height=size, width=size),
        contract.Resize(
            rule=rule,
            interpolation=wanted.interpolation or interpolation,
            crop_pct=(wanted.crop_pct or crop_pct) if rule == "crop" else 1.0,
        ),
        wanted.mean or mean,
        wanted.std or std,
    )


def _published(model: ModelSpec) -> tuple[int, ResizeRule, Interpolation, float, Rgb, Rgb]:
    if model.task == "detect":
        return _published_detector(model)
    library, name = resolve_name(model.name)
    if library == "own":
        return 32, "crop", "linear", 1.0, *_CIFAR
    if library == "torchvision":
        preset = tv.get_model_weights(name).DEFAULT.transforms()
        crop, resize = preset.crop_size[0], preset.resize_size[0]
        mean, std = _HALF if name in _HALVED else (_rgb(preset.mean), _rgb(preset.std))
        return crop, "crop", _INTERPOLATIONS[preset.interpolation.value], crop / resize, mean, std
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return 224, "crop", "linear", 0.875, *_IMAGENET
    interpolation = _INTERPOLATIONS.get(config.interpolation, "cubic")
    return config.input_size[-1], "crop", interpolation, config.crop_pct, _rgb(config.mean), _rgb(config.std)


def _published_detector(model: ModelSpec) -> tuple[int, ResizeRule, Interpolation, float, Rgb, Rgb]:
    rule: ResizeRule = "stretch" if model.name.removeprefix(TORCHVISION).startswith("ssd") else "letterbox"
    if model.backbone is not None:
        *_, mean, std = _published(ModelSpec(name=model.backbone))
        return LITE_SIZE if model.name == "ssdlite" else SIZE, rule, "linear", 1.0, mean, std
    with torch.device("meta"):
        built = build_detector(model.name.removeprefix(TORCHVISION), 2)
    mean, std = _rgb(built.transform.image_mean), _rgb(built.transform.image_std)
    return detector_size(built)[0], rule, "linear", 1.0, mean, std


def _rgb(values: Sequence[float]) -> Rgb:
    red, green, blue = (float(each) for each in values)
    return red, green, blue
