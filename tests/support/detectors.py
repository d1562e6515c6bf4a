"""Detectors that find something without having been trained."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FeaturePyramidNetwork

from export.detectors import detector_parts
from export.origin import Origin
from export.pictures import photographs
from pipeline.contract import InputSpec, ModelContract
from training.raw_heads import Detector, RawDetector

CLASSES = 6
SIDES = (96, 160)
"""Of the tiny detectors: how many classes they have with the background, and height and width of their input."""
FINAL = re.compile(r"(cls_logits|bbox_reg|bbox_ctrness|module_list\.\d(\.1)?)$")


class Levels(nn.Module):
    """A backbone of three levels, at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = 32
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 4, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU())
        self.further = nn.ModuleList(nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU()) for _ in range(2))
        self.pyramid = FeaturePyramidNetwork([32] * 3, 32)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels = [self.stem(images)]
        for conv in self.further:
            levels.append(conv(levels[-1]))
        return self.pyramid(OrderedDict((str(i), level) for i, level in enumerate(levels)))


def tiny_ssd() -> SSD:
    backbone = Levels()
    backbone.out_channels = [32] * 3  # type: ignore[assignment]
    return SSD(backbone, DefaultBoxGenerator([[2], [2, 3], [2]]), SIDES[::-1], CLASSES)


def tiny_retinanet() -> RetinaNet:
    anchors = AnchorGenerator(((16, 24), (32, 48), (64, 96)), ((0.5, 1.0, 2.0),) * 3)
    return RetinaNet(Levels(), CLASSES, min_size=SIDES[0], max_size=SIDES[1], anchor_generator=anchors)


def tiny_fcos() -> FCOS:
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    return FCOS(Levels(), CLASSES, min_size=SIDES[0], max_size=SIDES[1], anchor_generator=anchors)


def photographs_of(height: int, width: int) -> Tensor:
    """float32 [8, 3, H, W], RGB, 0 to 1."""
    images = [torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1) / 255 for image in photographs()]
    return nn.functional.interpolate(torch.stack(images), (height, width), mode="area")


@torch.no_grad()
def enliven(model: Any, images_B3HW: Tensor) -> Any:
    """Scales what a fresh network gives, which is close to nothing, to scores and boxes that differ widely.

    Args:
        images_B3HW: float32, RGB, 0 to 1, like those that it will see.
    """
    images = model.transform.normalize(images_B3HW)
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


def tiny_origin(make: Callable[[], Detector]) -> Origin:
    """To be exported: a tiny detector that finds its classes, without the background, in photographs."""
    torch.manual_seed(5)
    parts = detector_parts(enliven(make(), photographs_of(*SIDES)), *SIDES, labels=CLASSES - 1)
    contract = ModelContract(
        task="detect",
        labels=tuple(f"class {i}" for i in range(CLASSES - 1)),
        input=InputSpec(height=SIDES[0], width=SIDES[1]),
        resize=parts.resize,
        detector=parts.detector,
    )
    return Origin(parts.network, parts.head, contract, parts.mean, parts.std)
