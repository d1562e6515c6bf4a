"""Backbones: classifiers of timm and torchvision that give their feature maps."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from training.blocks import open_containers
from training.models import build_network, resolve_name
from training.recipe import ModelSpec
from training.weights import choose_state, load_weights

_SIDE = 256  # of the picture that is sent through to see what comes out
_CLASSES = 1000
_FAILURES = (AttributeError, RuntimeError, IndexError, AssertionError, TypeError, ValueError, NotImplementedError)


class Stages(nn.ModuleDict):
    """The layers of a network one after the other, by their names in it; returns what those in `taps` give."""

    def __init__(self, layers: dict[str, nn.Module], taps: Sequence[str]) -> None:
        super().__init__(layers)
        self.taps = frozenset(taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for name, layer in self.items():
            images = layer(images)
            if name in self.taps:
                maps.append(images)
        return maps


def build_backbone(name: str, strides: Sequence[int]) -> tuple[nn.Module, list[int]]:
    """The network `name` without its head, freshly initialised, and how many channels it has at each of `strides`.

    From images [B, 3, H, W] it makes a list of feature maps [B, channels, H ÷ stride, W ÷ stride].

    Raises:
        ConfigError: nobody knows it, or it has no such maps.
    """
    library, bare = resolve_name(name)
    network, found = _open_timm(bare, strides) if library == "timm" else _open_layers(name, strides)
    if network is None:
        wanted, there = (", ".join(map(str, each)) for each in (strides, found))
        raise ConfigError(
            f"{name} cannot be a backbone: it has no feature maps at the strides {wanted} (only at {there or 'none'}); "
            "take a network that halves its pictures step by step, such as timm:tf_efficientnet_lite0"
        )
    return network, [each.shape[1] for each in _try(network)]


def load_backbone(network: nn.Module, name: str, weights: str) -> bool:
    """Loads into what `build_backbone` made of `name` the weights of the whole classifier; see `ModelSpec.weights`.

    Returns:
        False: there are none to load.

    Raises:
        OnsightError: they cannot be had, or do not fit.
    """
    library, bare = resolve_name(name)
    whole = build_network(ModelSpec(name=name), _CLASSES)
    state = choose_state(weights, library, bare, whole)
    if state is None:
        return False
    theirs = {_plain(key): tensor for key, tensor in state.items()}
    ours = network.state_dict()
    load_weights(network, {key: theirs[_plain(key)] for key in ours if _plain(key) in theirs}, set(), name)
    return True


def _plain(key: str) -> str:
    """Taken apart, `stages.0.weight` may be called `stages_0.weight` or `model.stages.0.weight`."""
    return re.sub(r"[._]", "_", key.removeprefix("model."))


def _open_timm(name: str, strides: Sequence[int]) -> tuple[nn.Module | None, list[int]]:
    """The network, or None, and the strides that there are."""
    try:
        with torch.device("meta"):
            probe: Any = timm.create_model(name, features_only=True)
        found: list[int] = probe.feature_info.reduction()
        if set(strides) <= set(found):
            places = [max(i for i, each in enumerate(found) if each == stride) for stride in strides]
            network: nn.Module = timm.create_model(name, features_only=True, out_indices=places)
            _try(network)
            return network, found
    except _FAILURES:  # how it fails is up to the code of each network
        return None, []
    return None, sorted(set(found))


def _open_layers(name: str, strides: Sequence[int]) -> tuple[nn.Module | None, list[int]]:
    """The same of a network whose layers follow each other, as all of torchvision's that have feature maps."""
    whole = build_network(ModelSpec(name=name), _CLASSES)
    layers: dict[str, nn.Module] = {}
    last: dict[int, str] = {}
    images = torch.empty(2, 3, _SIDE, _SIDE, device="meta")
    for part, layer in _layers(whole):
        try:
            with torch.no_grad():
                images = copy.deepcopy(layer).to("meta")(images)
            height, width = images.shape[2:]
        except _FAILURES:
            break
        if height != width or height < 2:
            break
        key = part.replace(".", "_")
        layers[key] = layer
        last[_SIDE // height] = key
    if not set(strides) <= set(last):
        return None, sorted(last)
    taps = [last[stride] for stride in strides]
    names = list(layers)
    return Stages({key: layers[key] for key in names[: names.index(taps[-1]) + 1]}, taps), sorted(last)


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    for inner in ("features", "layers"):
        if type(getattr(network, inner, None)) is nn.Sequential:
            return list(open_containers(getattr(network, inner), f"{inner}."))
    return list(open_containers(network))


def _try(network: nn.Module) -> list[Tensor]:
    with torch.no_grad():
        return list(copy.deepcopy(network).to("meta")(torch.empty(2, 3, _SIDE, _SIDE, device="meta")))
