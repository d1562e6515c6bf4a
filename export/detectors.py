"""The parts of which the file of a torchvision detector is made."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import DetectorSpec, Resize
from pipeline.errors import ConfigError
from training.detectors import check_size
from training.raw_heads import CANDIDATES, Detector, DetectorHead, RawDetector, count_columns
from training.recipe import Rgb


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
    check_size(model, height, width)
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
        detector=DetectorSpec(candidates=head.candidates, nms=True, iou=head.iou),
    )


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
