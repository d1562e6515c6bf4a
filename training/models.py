"""Classifiers by name: torchvision's, timm's and a small one of our own."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache, partial
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from torchvision import models as tv
from torchvision.ops import StochasticDepth

from pipeline.errors import ConfigError
from training.cifarnet import CifarNet
from training.packaged import EFFICIENTNET, find_packaged
from training.recipe import ModelSpec
from training.weights import load_in_order

_OWN: dict[str, Callable[[int], nn.Module]] = {
    "cifarnet": CifarNet,
    "cifarnet-large": partial(CifarNet, widths=(256, 768, 768), depth=3),
}
_OLD = ("inception_v3", "googlenet")  # they want to be told that they are to be initialised


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, from an installed package: nothing is downloaded.

    Takes float32 [B, 3, 224, 224], RGB scaled to -1..1, and returns logits float32 [B, 1000].

    Raises:
        OnsightError: the package that carries the weights is not installed.
    """
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_in_order(network, find_packaged(EFFICIENTNET, ".pth"))
    return network.eval()


def resolve_name(name: str) -> tuple[str, str]:
    """The library (`own`, `torchvision`, `timm`) and the name in it that `name` stands for.

    Raises:
        ConfigError: nobody knows it.
    """
    library, colon, bare = name.rpartition(":")
    if not colon:
        library = next((each for each, names in _known().items() if bare in names), "timm")
    if library not in _known():
        raise ConfigError(f"unknown library '{library}' of the model '{name}'; known are: torchvision, timm")
    if bare in _known()[library] or (library == "timm" and timm.is_model(bare)):
        return library, bare
    near = get_close_matches(bare, [each for names in _known().values() for each in names], n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "; torchvision's and timm's names are known"
    raise ConfigError(f"there is no model '{name}'{hint}")


@cache
def _known() -> dict[str, tuple[str, ...]]:
    return {"own": tuple(_OWN), "torchvision": tuple(tv.list_models(module=tv)), "timm": tuple(timm.list_models())}


def build_network(spec: ModelSpec, classes: int, size: int | None = None) -> nn.Module:
    """The network of `spec` for so many classes, freshly initialised; its weights are not loaded.

    Args:
        spec: name, dropout and stochastic depth count here.
        classes: outputs of the head.
        size: pixels of the input's sides, for networks that are built for one size.

    Raises:
        ConfigError: an unknown name, or a dropout or drop path that the network has no place for.
    """
    library, name = resolve_name(spec.name)
    network: nn.Module
    if library == "own":
        network = _OWN[name](classes)
    elif library == "torchvision":
        options: dict[str, Any] = {"init_weights": True} if name in _OLD else {}
        if name.startswith("vit_") and size is not None:
            options["image_size"] = size
        network = tv.get_model(name, weights=None, num_classes=classes, **options)
    else:
        return _build_timm(spec, name, classes, size)
    if spec.dropout is not None:
        _set_dropout(network, spec.dropout, spec.name)
    if spec.drop_path is not None:
        _set_drop_path(network, spec.drop_path, spec.name)
    return network


def head_tensors(spec: ModelSpec, classes: int, size: int | None = None) -> set[str]:
    """The names of the tensors of a classifier whose shape depends on the number of classes."""
    return class_tensors(lambda count: build_network(spec, count, size), classes)


def class_tensors(build: Callable[[int], nn.Module], classes: int) -> set[str]:
    """The same of any network that `build` makes for so many classes."""
    try:
        with torch.device("meta"):
            one, other = (build(count).state_dict() for count in (classes, classes + 1))
    except NotImplementedError:  # it computes its own shape with tensors
        one, other = (build(count).state_dict() for count in (classes, classes + 1))
    return {name for name, tensor in one.items() if tensor.shape != other[name].shape}


def _build_timm(spec: ModelSpec, name: str, classes: int, size: int | None) -> nn.Module:
    options: dict[str, Any] = {} if spec.dropout is None else {"drop_rate": spec.dropout}
    if size is not None and getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        options["img_size"] = size
    if spec.drop_path is not None:
        options["drop_path_rate"] = spec.drop_path
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **options)
    except TypeError as error:
        refused = next((each for each in options if each in str(error)), None)
        if refused is None:
            raise
        key = {"drop_rate": "model.dropout", "drop_path_rate": "model.drop_path"}.get(refused, "input.size")
        raise ConfigError(f"{spec.name} does not take '{key}'; leave it out") from None
    return network


def _set_dropout(network: nn.Module, rate: float, name: str) -> None:
    found = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    for module in found:
        module.p = rate
    if not found:
        _drop_before_head(network, rate, name)


class DroppedLinear(nn.Linear):
    """A linear layer with dropout in front of it, and the tensor names of a linear layer."""

    rate: float = 0.0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.dropout(input, self.rate, self.training))


def _drop_before_head(network: nn.Module, rate: float, name: str) -> None:
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linears:
        raise ConfigError(f"{name} has no place for 'model.dropout'; leave it out")
    linears[-1].__class__ = DroppedLinear
    linears[-1].rate = rate  # type: ignore[assignment]


def _set_drop_path(network: nn.Module, rate: float, name: str) -> None:
    found = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    if not found:
        raise ConfigError(f"{name} has no stochastic depth; leave 'model.drop_path' out")
    for i, module in enumerate(found):
        module.p = rate * i / max(len(found) - 1, 1)


def library_versions() -> dict[str, str]:
    """The versions of what built and trained a network."""
    return {module.__name__: str(module.__version__) for module in (torch, torchvision, timm)}
