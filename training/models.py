"""Networks and their weights."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

from pipeline.errors import OnsightError
from training.packaged import EFFICIENTNET, find_packaged


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, from an installed package: nothing is downloaded.

    Takes float32 [B, 3, 224, 224], RGB scaled to -1..1, and returns logits float32 [B, 1000].

    Raises:
        OnsightError: the package that carries the weights is not installed.
    """
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_in_order(network, find_packaged(EFFICIENTNET, ".pth"))
    return network.eval()


def load_in_order(network: nn.Module, weights: Path) -> None:
    """Loads a state dict whose tensors have other names than the network's, but the same order and shapes.

    Raises:
        OnsightError: number or shapes of the tensors differ.
    """
    theirs = torch.load(weights, map_location="cpu", weights_only=True)
    ours = network.state_dict()
    if [tensor.shape for tensor in theirs.values()] != [tensor.shape for tensor in ours.values()]:
        raise OnsightError(
            f"{weights.name} does not fit {type(network).__name__}: its tensors differ in number or shape"
        )
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
