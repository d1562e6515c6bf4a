"""A torchvision detector cut in two: a network that gives raw tensors, and what makes boxes of them, anchors baked in.

torchvision's own `forward` resizes, loops over the images of the batch and suppresses overlaps with control flow that
follows the data: it exports for a batch of one, or not at all. Here the network ends where its head does; the rest is
written anew in tensor operations of fixed shapes, and overlaps are left to the host.

Shapes: N anchors at all levels together, C columns of the class head, M rows kept, K candidates.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from pipeline.errors import ConfigError

CANDIDATES = 2000
"""Pairs of box and class a frame; on COCO images that many lose no mAP (docs/adopting.md)."""
_RAW = ("bbox_regression", "cls_logits", "bbox_ctrness")

Detector: TypeAlias = SSD | RetinaNet | FCOS


class RawDetector(nn.Module):
    """From images to the raw tensors of the head, all levels one after the other.

    Takes floats [B, 3, H, W], RGB, normalised. Returns regression [B, N, 4] and logits [B, N, C], and for FCOS
    centerness [B, N, 1], in the dtype of the weights. The model's own `transform` is not used.

    The modules are the model's own, put into evaluation mode, and no copies: `.half()` changes the model, too.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.head = model.head
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        raw = self.head(_levels(self.backbone(images)))
        return tuple(raw[name] for name in _RAW if name in raw)


class DetectorHead(nn.Module):
    """From the raw tensors, calculated with as float32, to a detector's outputs (docs/contract.md).

    Returns `boxes` float32 [B, K, 4], xyxy in pixels of the input and clipped to it, `scores` float32 [B, K], best
    first, and `labels` int64 [B, K]; unused rows have score 0 and label -1. A candidate is a (box, class) pair: the
    best K pairs all lie among the K boxes with the highest best class, so that only those are decoded and ranked.

    Scores: softmax for SSD (Liu et al. 2016), sigmoid for RetinaNet (Lin et al. 2017), the root of class times
    centerness, both after a sigmoid, for FCOS (Tian et al. 2020).

    Attributes: `candidates`: K. `iou`: above which the model's own suppression takes boxes of a class for one object.

    Args:
        height, width: of the input, in pixels; the anchors are those of this size.
        wanted: K, unless there are fewer pairs.
        background: column 0 of the logits is a class of its own and labels are columns; otherwise it is not reported,
            and label 0 is column 1. SSD never reports it.

    Raises:
        ConfigError: the input is too small for the network.
    """

    anchors: Tensor
    limits: Tensor
    weights: Tensor

    def __init__(
        self, model: Detector, height: int, width: int, wanted: int = CANDIDATES, background: bool = True
    ) -> None:
        super().__init__()
        anchors_N4, columns = _bake(model, height, width)
        self.softmax = isinstance(model, SSD)
        self.first = 1 if self.softmax or not background else 0
        self.first_label = self.first if background else 0
        self.kept = min(wanted, len(anchors_N4))
        self.candidates = min(wanted, len(anchors_N4) * (columns - self.first))
        self.iou = float(model.nms_thresh)
        coder = model.box_coder
        self.linear = isinstance(coder, BoxLinearCoder)
        self.largest = 0.0 if self.linear else float(coder.bbox_xform_clip)
        size_N2 = anchors_N4[:, 2:] - anchors_N4[:, :2]
        centre_N2 = anchors_N4[:, :2] + 0.5 * size_N2
        if self.linear and not coder.normalize_by_size:
            size_N2 = torch.ones_like(size_N2)
        self.register_buffer("anchors", torch.cat((centre_N2, size_N2), 1))
        weights = [1.0] * 4 if self.linear else coder.weights
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("limits", torch.tensor([width, height] * 2, dtype=torch.float32))

    def forward(self, *raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        regression_BN4, *others = (each.float() for each in raw)
        scores_BNC = self._scores(*others)
        rows_BM = scores_BNC.amax(2).topk(self.kept, dim=1).indices
        boxes_BM4 = self._decode(_pick(regression_BN4, rows_BM), self.anchors[rows_BM])
        pairs_BP = _pick(scores_BNC, rows_BM).flatten(1)
        scores_BK, pairs_BK = pairs_BP.topk(self.candidates, dim=1)
        columns = scores_BNC.shape[2]
        rows_BK = pairs_BK // columns
        labels_BK = pairs_BK - rows_BK * columns + self.first_label
        # A score that is no number keeps its label: whoever hides what the model finds must see that it is broken.
        return _pick(boxes_BM4, rows_BK), scores_BK, torch.where(scores_BK <= 0, -1, labels_BK)

    def _scores(self, logits_BNC: Tensor, centerness_BN1: Tensor | None = None) -> Tensor:
        if self.softmax:
            return logits_BNC.softmax(2)[..., self.first :]
        scores_BNC = logits_BNC[..., self.first :].sigmoid()
        return scores_BNC if centerness_BN1 is None else (scores_BNC * centerness_BN1.sigmoid()).sqrt()

    def _decode(self, codes_BM4: Tensor, anchors_BM4: Tensor) -> Tensor:
        """As torchvision's BoxCoder (offset of the centre, logarithm of the size; Girshick et al. 2014) or its
        BoxLinearCoder (distances from the centre to the four edges), both in units of the anchor's size.
        """
        centre_BM2, size_BM2 = anchors_BM4[..., :2], anchors_BM4[..., 2:]
        former_BM2, latter_BM2 = codes_BM4[..., :2] / self.weights[:2], codes_BM4[..., 2:] / self.weights[2:]
        if self.linear:
            corners = (centre_BM2 - former_BM2 * size_BM2, centre_BM2 + latter_BM2 * size_BM2)
        else:
            centre_BM2 = former_BM2 * size_BM2 + centre_BM2
            half_BM2 = 0.5 * latter_BM2.clamp(max=self.largest).exp() * size_BM2
            corners = (centre_BM2 - half_BM2, centre_BM2 + half_BM2)
        return torch.minimum(torch.cat(corners, 2).clamp(min=0), self.limits)


def count_columns(model: Detector, height: int, width: int) -> int:
    """C, the columns of the class head, with the background where it has one: torchvision's `num_classes`.

    Raises:
        ConfigError: the input is too small for the network.
    """
    return _run_on_meta(model, height, width)[1][1].shape[2]


def _bake(model: Detector, height: int, width: int) -> tuple[Tensor, int]:
    """The anchors, float32 [N, 4] xyxy in pixels, as the model's own generator makes them, and C."""
    levels, raw = _run_on_meta(model, height, width)
    images = ImageList(torch.empty(1, 3, height, width), [(height, width)])
    anchors_N4: Tensor = model.anchor_generator(images, [torch.empty(1, 1, *each.shape[-2:]) for each in levels])[0]
    assert anchors_N4.shape == raw[0].shape[1:]
    return anchors_N4, raw[1].shape[2]


def _run_on_meta(model: Detector, height: int, width: int) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """The features and raw tensors of one image, as shapes without values: nothing is computed."""
    raw = RawDetector(model)
    dtype = next(raw.parameters()).dtype
    try:
        levels = _levels(_on_meta(raw.backbone, torch.empty(1, 3, height, width, dtype=dtype, device="meta")))
        found = _on_meta(raw.head, levels)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"an input of {width} x {height} does not go through the detector ({reason}); take a larger one"
        ) from None
    return levels, tuple(found[name] for name in _RAW if name in found)


def _on_meta(module: nn.Module, argument: Any) -> Any:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return functional_call(module, {name: tensor.to("meta") for name, tensor in tensors}, (argument,))


def _levels(features: Any) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features.values())


def _pick(values_BNX: Tensor, rows_BM: Tensor) -> Tensor:
    """[B, N, X] -> [B, M, X]"""
    return values_BNX.gather(1, rows_BM.unsqueeze(2).expand(-1, -1, values_BNX.shape[2]))
