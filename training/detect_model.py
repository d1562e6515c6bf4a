"""Detectors to be trained: torchvision's own by name, or one of its families on a backbone of choice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block, _normal_init
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from pipeline.errors import ConfigError
from training.backbones import build_backbone, load_backbone
from training.detectors import TORCHVISION, build_detector, check_size
from training.models import class_tensors
from training.raw_heads import Detector
from training.recipe import ModelSpec
from training.weights import State, choose_state, load_weights, read_state

_STRIDES = (8, 16, 32, 64, 128)  # of a pyramid; the last two are its own
_LEAST = 160  # pixels of the input, so that no level is a single point
_GROUPS = 32  # channels are normalised in as many groups
_EXTRA = (512, 256, 256, 128)  # channels of the levels that SSDLite adds
_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)  # as in torchvision's SSDLite


class PyramidBackbone(nn.Module):
    """Levels [B, width, H ÷ stride, W ÷ stride] at the strides 8 to 128 (Lin et al. 2017)."""

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.body, channels = build_backbone(name, _STRIDES[:3])
        self.fpn = FeaturePyramidNetwork(channels, width, extra_blocks=LastLevelP6P7(width, width))
        self.out_channels = width

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.fpn(_numbered(self.body(images)))


class SsdBackbone(nn.Module):
    """Six levels from stride 16 on, each half as large as the one before it (Sandler et al. 2018)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body, channels = build_backbone(name, (16, 32))
        self.out_channels = [*channels, *_EXTRA]
        sides = self.out_channels[1:]
        self.extra = nn.ModuleList(_extra_block(*pair, _NORM) for pair in pairwise(sides))
        _normal_init(self.extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels = list(self.body(images))
        for block in self.extra:
            levels.append(block(levels[-1]))
        return _numbered(levels)


def _numbered(levels: Sequence[Tensor]) -> dict[str, Tensor]:
    return OrderedDict((str(i), level) for i, level in enumerate(levels))


def build_trainable(spec: ModelSpec, classes: int, size: int) -> Detector:
    """A detector of so many classes, without the background, freshly initialised, in training mode.

    It takes images as they come, normalised and of size x size pixels. Column 0 of its class head is the background,
    in every family, so that label n is torchvision's n + 1.

    Raises:
        ConfigError: an unknown detector or backbone, or a size that it is not made for.
    """
    model = _build(spec, classes + 1, size)
    check_size(model, size, size)
    rule = model.transform
    rule.image_mean, rule.image_std, rule.fixed_size, rule._skip_resize = [0.0] * 3, [1.0] * 3, (size, size), True
    return model.train()


def _build(spec: ModelSpec, classes: int, size: int) -> Detector:
    family = _FAMILIES.get(spec.name)
    if family is None:
        if spec.backbone is not None:
            families = " or ".join(_FAMILIES)
            raise ConfigError(f"{spec.name} has a backbone: leave out model.backbone, or take model.name={families}")
        return build_detector(spec.name.removeprefix(TORCHVISION), classes, size, spec.weights == "pretrained")
    if spec.backbone is None:
        raise ConfigError(f"{spec.name} needs a backbone: set model.backbone, as timm:tf_efficientnet_lite0")
    if spec.name != "ssdlite" and size < _LEAST:
        raise ConfigError(f"the pyramid of {spec.name} takes an input of {_LEAST} pixels or more, not {size}")
    return family(spec, spec.backbone, classes, size)


def _build_fcos(spec: ModelSpec, backbone: str, classes: int, size: int) -> Detector:
    """A point for each place of each level; its size is the stride, by which objects are shared out to the levels."""
    anchors = AnchorGenerator(tuple((stride,) for stride in _STRIDES), ((1.0,),) * len(_STRIDES))
    head = FCOSHead(_grouped(spec.width), 1, classes, spec.depth)
    return FCOS(PyramidBackbone(backbone, spec.width), classes, anchor_generator=anchors, head=head)


def _build_retinanet(spec: ModelSpec, backbone: str, classes: int, size: int) -> Detector:
    """Nine anchors for each place: from a twentieth of the input's side on, each level twice as large."""
    sides = [size / 20 * 2**level for level in range(len(_STRIDES))]
    octaves = tuple(tuple(side * 2 ** (third / 3) for third in range(3)) for side in sides)
    anchors = AnchorGenerator(octaves, ((0.5, 1.0, 2.0),) * len(_STRIDES))
    norm = partial(nn.GroupNorm, _GROUPS)
    head = RetinaNetHead(_grouped(spec.width), anchors.num_anchors_per_location()[0], classes, norm)
    head.regression_head._loss_type = "giou"  # as in torchvision's second version
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: spec.depth]
    return RetinaNet(PyramidBackbone(backbone, spec.width), classes, anchor_generator=anchors, head=head)


def _build_ssdlite(spec: ModelSpec, backbone: str, classes: int, size: int) -> Detector:
    """Six anchors for each place: from a tenth of the input's side on, evenly up to nearly the whole."""
    anchors = DefaultBoxGenerator([[2, 3]] * (2 + len(_EXTRA)), min_ratio=0.1, max_ratio=0.95)
    body = SsdBackbone(backbone)
    head = SSDLiteHead(body.out_channels, anchors.num_anchors_per_location(), classes, _NORM)
    return SSD(body, anchors, (size, size), classes, head=head, nms_thresh=0.55)


_FAMILIES: dict[str, Callable[[ModelSpec, str, int, int], Detector]] = {
    "fcos": _build_fcos,
    "retinanet": _build_retinanet,
    "ssdlite": _build_ssdlite,
}


def _grouped(width: int) -> int:
    if width % _GROUPS:
        raise ConfigError(f"'model.width' has to be a multiple of {_GROUPS}, not {width}")
    return width


def fill_detector(model: Detector, spec: ModelSpec, classes: int, size: int) -> str | None:
    """Loads the weights that `spec` names: of the backbone, where it names one, or of a whole detector.

    Returns:
        What was loaded, for the user.

    Raises:
        OnsightError: they cannot be had, or do not fit.
    """
    if spec.weights == "none":
        return None
    state = _whole_state(model, spec)
    if state is None:
        assert spec.backbone is not None
        load_backbone(model.backbone.body, spec.backbone, spec.weights)
        return f"weights of the backbone: {spec.weights}; pyramid and head are new"
    ours = model.state_dict()
    head = class_tensors(lambda count: build_trainable(spec, count, size), classes)
    new = {key: ours[key] for key in sorted(head) if key not in state or state[key].shape != ours[key].shape}
    load_weights(model, {**state, **new}, set(), spec.name)
    return f"weights: {spec.weights}" + (f"; the head is new for {classes} classes" if new else "")


def _whole_state(model: Detector, spec: ModelSpec) -> State | None:
    """The tensors of a whole detector; None: they are those of a backbone alone."""
    if spec.backbone is None:
        return choose_state(spec.weights, "torchvision", spec.name.removeprefix(TORCHVISION), model)
    if spec.weights == "pretrained" or spec.weights.startswith("package:"):
        return None
    state = read_state(Path(spec.weights))
    return state if any(key.startswith("head.classification_head.") for key in state) else None
