"""torchvision's one-stage detectors by name: which there are, and how they are built."""

from __future__ import annotations

from torch import nn
from torchvision import models as tv
from torchvision.models.detection.ssd import SSD

from pipeline.errors import ConfigError
from training.raw_heads import Detector

FAMILIES = ("ssd", "ssdlite", "retinanet", "fcos")
_NO_EPSILON = ("retinanet_resnet50_fpn",)
TORCHVISION = "torchvision:"  # may stand in front of a name
LITE_SIZE = 320
SIZE = 640
"""Pixels of the input's sides for RetinaNet and FCOS. torchvision scales the shorter side to 800 and the longer one to
1333 at most, so that every aspect ratio has anchors of its own. Baked anchors want one size: a square takes upright and
lying frames alike, and this one has two fifths of the pixels of 1344 x 800. Small objects want a larger one.
"""


def detector_names() -> tuple[str, ...]:
    """The names of torchvision's detectors that can be trained and exported."""
    return tuple(name for name in tv.list_models(module=tv.detection) if family_of(name) in FAMILIES)


def build_detector(name: str, classes: int, size: int | None = None, published: bool = False) -> Detector:
    """A torchvision detector in evaluation mode, freshly initialised; nothing is downloaded.

    Its `transform` is set so that the model itself, fed images of size x size, does not resize them.

    Args:
        classes: as torchvision counts them, with the background.
        size: pixels of the input's sides; None: 300 for SSD, 320 for SSDLite, else `SIZE`.
        published: torchvision's own COCO weights will be loaded; those of retinanet_resnet50_fpn want batch norms
            without epsilon (`overwrite_eps` in torchvision), which no state dict says.

    Raises:
        ConfigError: no such detector, or none that can be exported; or it is not made for the size.
    """
    if name not in detector_names():
        known = name in tv.list_models(module=tv.detection)
        raise ConfigError(
            f"{name} {'is a detector that cannot be exported' if known else 'is no detector of torchvision'}; SSD, "
            f"SSDLite, RetinaNet and FCOS can be: {', '.join(detector_names())}"
        )
    ranges = {} if family_of(name).startswith("ssd") else {"min_size": size or SIZE, "max_size": size or SIZE}
    model: Detector = tv.get_model(name, weights=None, weights_backbone=None, num_classes=classes, **ranges)
    if isinstance(model, SSD) and size is not None:
        _resize_ssd(model, name, size)
    check_size(model, *detector_size(model))
    if published and name in _NO_EPSILON:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return model.eval()


def detector_size(model: Detector) -> tuple[int, int]:
    """Height and width of the input for which `model` was built, in pixels; `SIZE` where it takes a range of sizes."""
    transform = model.transform
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return height, width
    side = transform.max_size if transform.min_size[-1] == transform.max_size else SIZE
    return side, side


def family_of(name: str) -> str:
    """`ssdlite320_mobilenet_v3_large` -> `ssdlite`"""
    return name.partition("_")[0].rstrip("0123456789")


def check_size(model: Detector, height: int, width: int) -> None:
    """Where a pyramid halves the size five times, torchvision pads it to multiples of 32: no other is ever trained.

    Raises:
        ConfigError: no such multiples.
    """
    stride = model.transform.size_divisible
    if height % stride or width % stride:
        raise ConfigError(f"the detector takes an input of multiples of {stride} pixels, not {width} x {height}")


def _resize_ssd(model: SSD, name: str, size: int) -> None:
    own = model.transform.fixed_size
    if model.anchor_generator.steps is not None and own != (size, size):
        raise ConfigError(f"the anchors of {name} are made for {own[0]} x {own[1]} pixels alone, not for {size}")
    model.transform.fixed_size = (size, size)
