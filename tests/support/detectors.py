"""Detectors that find something without having been trained."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS

from training.raw_heads import RawDetector

FINAL = re.compile(r"(cls_logits|bbox_reg|bbox_ctrness|module_list\.\d(\.1)?)$")


@torch.no_grad()
def enliven(model: Any, height: int, width: int) -> Any:
    """Scales what a fresh network gives, which is close to nothing, to scores and boxes that differ widely."""
    images = model.transform.normalize(torch.rand(2, 3, height, width))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the running statistics become those of the images
    model.train().head(list(model.backbone(images).values()))
    finals = {name: each for name, each in model.head.named_modules() if FINAL.search(name) and hasattr(each, "weight")}
    spread: dict[nn.Module, Tensor] = {}

    def note(conv: nn.Module, _: Any, output: Tensor) -> None:
        spread.setdefault(conv, output.std())

    hooks = [each.register_forward_hook(note) for each in finals.values()]
    RawDetector(model)(images)
    for hook in hooks:
        hook.remove()
    for name, conv in finals.items():
        boxes = "regression" in name and "ctrness" not in name
        conv.weight *= (0.5 if boxes else 2.0) / spread[conv]
        nn.init.constant_(conv.bias, 1.5 if boxes and isinstance(model, FCOS) else 0.0)
    return model.eval()
