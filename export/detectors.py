"""torchvision's one-stage detectors: which there are, how they are built, and the parts of which a file is made."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision import models as tv
from torchvision.models.detection.ssd import SSD

from export.raw_heads import CANDIDATES, Detector, DetectorHead, RawDetector, count_columns
from pipeline.contract import DetectorSpec, Resize
from pipeline.errors import ConfigError
from training.recipe import Rgb

FAMILIES = ("ssd", "ssdlite", "retinanet", "fcos")
_NO_EPSILON = ("retinanet_resnet50_fpn",)
SIZE = 640
"""Pixels of the input's sides for RetinaNet and FCOS. torchvision scales the shorter side to 800 and the longer one to
1333 at most, so that every aspect ratio has anchors of its own. Baked anchors want one size: a square takes upright and
lying frames alike, and this one has two fifths of the pixels of 1344 x 800. Small objects want a larger one.
"""


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """What a detector's file is made of.

    `network`: floats [B, 3, H, W], RGB, (value ÷ 255 - `mean`) ÷ `std`, to raw tensors. `head`: raw tensors to `boxes`,
    `scores` and `labels`. `resize` and `detector`: for the contract.
    """

    network: RawDetector
    head: DetectorHead
    resize: Resize
    mean: Rgb
    std: Rgb
    detector: DetectorSpec


def detector_names() -> tuple[str, ...]:
    """The names of torchvision's detectors that can be exported."""
    return tuple(name for name in tv.list_models(module=tv.detection) if _family(name) in FAMILIES)


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
    ranges = {} if _family(name).startswith("ssd") else {"min_size": size or SIZE, "max_size": size or SIZE}
    model: Detector = tv.get_model(name, weights=None, weights_backbone=None, num_classes=classes, **ranges)
    if isinstance(model, SSD) and size is not None:
        _resize_ssd(model, name, size)
    _check_size(model, *detector_size(model))
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


def detector_parts(
    model: Detector, height: int, width: int, candidates: int = CANDIDATES, labels: int | None = None
) -> DetectorParts:
    """Takes a detector apart for an input of height x width pixels.

    Args:
        candidates: K, unless the input has fewer (box, class) pairs.
        labels: how many the user names. As many as `model` has classes, or None: label ids are torchvision's, where 0
            is the background. One fewer: the background is left out, and label ids count from 0 for the first class.

    Raises:
        ConfigError: no detector of a known family, too small an input, or another number of labels.
    """
    if not isinstance(model, Detector):
        raise ConfigError(f"{type(model).__name__} cannot be exported; SSD, SSDLite, RetinaNet and FCOS can be")
    _check_size(model, height, width)
    classes = count_columns(model, height, width)
    if labels not in (None, classes, classes - 1):
        raise ConfigError(
            f"the model has {classes} classes with the background, but {labels} labels were given: "
            f"name {classes - 1}, or {classes} where the first is the background's"
        )
    network = RawDetector(model)
    head = DetectorHead(model, height, width, candidates, background=labels != classes - 1)
    mean, std = _triple(model.transform.image_mean), _triple(model.transform.image_std)
    return DetectorParts(
        network=network,
        head=head,
        resize=_resize(model, mean),
        mean=mean,
        std=std,
        detector=DetectorSpec(candidates=head.candidates, nms=True, iou=model.nms_thresh),
    )


def _family(name: str) -> str:
    """`ssdlite320_mobilenet_v3_large` -> `ssdlite`"""
    return name.partition("_")[0].rstrip("0123456789")


def _check_size(model: Detector, height: int, width: int) -> None:
    """Where a pyramid halves the size five times, torchvision pads it to multiples of 32: no other is ever trained."""
    stride = model.transform.size_divisible
    if height % stride or width % stride:
        raise ConfigError(f"the detector takes an input of multiples of {stride} pixels, not {width} x {height}")


def _resize_ssd(model: SSD, name: str, size: int) -> None:
    own = model.transform.fixed_size
    if model.anchor_generator.steps is not None and own != (size, size):
        raise ConfigError(f"the anchors of {name} are made for {own[0]} x {own[1]} pixels alone, not for {size}")
    model.transform.fixed_size = (size, size)


def _resize(model: Detector, mean: Rgb) -> Resize:
    """As GeneralizedRCNNTransform does: F.interpolate without filter, a fraction of a pixel cut off, zeros after
    normalisation, which are the mean colour, at the right and the bottom.
    """
    if model.transform.fixed_size is not None:
        return Resize(rule="stretch", interpolation="linear", antialias=False)
    grey = round(255 * sum(mean) / 3)
    return Resize(rule="letterbox", interpolation="linear", antialias=False, rounding="down", pad="end", pad_value=grey)


def _triple(values: list[float]) -> Rgb:
    red, green, blue = values
    return red, green, blue
