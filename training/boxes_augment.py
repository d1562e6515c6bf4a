"""What happens to training pictures and the boxes in them, before they are resized as the runtime resizes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from training.augment import colours, turns
from training.recipe import AugmentSpec

_LEAST = 2.0  # pixels of the smaller side of a box that is left in a part


class Boxed(NamedTuple):
    """A picture uint8 [3, H, W], RGB, and its boxes float32 [N, 4], xyxy in pixels of it, with labels int64 [N]."""

    image_3HW: Tensor
    boxes_N4: Tensor
    labels_N: Tensor


class BoxAugment:
    """The augmentation of a recipe; it draws from torch's global generator.

    Args:
        pad_value: grey around pictures, as in the contract.

    Attributes:
        mosaic: the chance that a picture is to meet others.
    """

    def __init__(self, spec: AugmentSpec, pad_value: int) -> None:
        fill = [pad_value] * 3
        self.mosaic = spec.mosaic
        self._fill = pad_value
        self._scales = spec.scale_jitter
        self._zoom = v2.RandomZoomOut(fill, (1.0, spec.zoom_sides), p=spec.zoom_out)
        self._crop = v2.RandomApply([v2.RandomIoUCrop(*spec.crop_sides)], p=spec.iou_crop)
        clean: list[v2.Transform] = [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(_LEAST)]
        self._further = v2.Compose([*turns(spec, fill), *clean, *colours(spec)])

    def __call__(self, pictures: Sequence[Boxed]) -> Boxed:
        """One picture of any size, made of the first, or of up to four that meet in it."""
        boxed = join(pictures, self._fill) if len(pictures) > 1 else pictures[0]
        if self._scales is not None:
            boxed = jitter(boxed, self._scales, self._fill)
        size = boxed.image_3HW.shape[1:]
        values = {
            "image": tv_tensors.Image(boxed.image_3HW),
            "boxes": tv_tensors.BoundingBoxes(boxed.boxes_N4, format="XYXY", canvas_size=size),
            "labels": boxed.labels_N,
        }
        values = self._zoom(values)
        if len(boxed.labels_N):  # a part is chosen by the boxes that it shows
            values = self._crop(values)
        values = self._further(values)
        return Boxed(*(values[name].as_subclass(Tensor) for name in ("image", "boxes", "labels")))


def join(pictures: Sequence[Boxed], pad_value: int) -> Boxed:
    """A mosaic: up to four pictures meet in a point, drawn at random, of a picture of the size of the largest.

    A box stays, cut at the edge, if its centre is still to be seen.
    """
    height, width = (max(each.image_3HW.shape[axis] for each in pictures) for axis in (1, 2))
    y, x = (int(torch.randint(side // 4, side - side // 4 + 1, ())) for side in (height, width))
    canvas_3HW = torch.full((3, height, width), pad_value, dtype=torch.uint8)
    seen = []
    for place, picture in enumerate(pictures):
        down, right = divmod(place, 2)
        top = y if down else y - picture.image_3HW.shape[1]
        left = x if right else x - picture.image_3HW.shape[2]
        seen.append(_paste(picture, canvas_3HW, left, top))
    boxes, labels = zip(*seen, strict=True)
    return Boxed(canvas_3HW, torch.cat(boxes), torch.cat(labels))


def jitter(picture: Boxed, factors: tuple[float, float], pad_value: int) -> Boxed:
    """Everything larger or smaller by a factor drawn evenly from a range, the picture's size as it was: of a larger one
    a part, drawn at random, a smaller one somewhere on grey (large scale jittering of Ghiasi et al. 2021).

    A box stays, cut at the edge, if its centre is still to be seen.
    """
    sides = picture.image_3HW.shape[1:]
    factor = float(torch.empty(()).uniform_(*factors))
    height, width = (max(round(side * factor), 1) for side in sides)
    top, left = (
        int(torch.randint(min(old - new, 0), max(old - new, 0) + 1, ()))
        for old, new in zip(sides, (height, width), strict=True)
    )
    ratio_4 = torch.tensor([width / sides[1], height / sides[0]] * 2)
    image_3HW = functional.resize(picture.image_3HW, [height, width], antialias=True)
    canvas_3HW = torch.full_like(picture.image_3HW, pad_value)
    larger = Boxed(image_3HW, picture.boxes_N4 * ratio_4, picture.labels_N)
    return Boxed(canvas_3HW, *_paste(larger, canvas_3HW, left, top))


def _paste(picture: Boxed, canvas_3HW: Tensor, left: int, top: int) -> tuple[Tensor, Tensor]:
    """Lays a picture on a canvas, as far as it lies there. Returns boxes and labels of the objects to be seen."""
    height, width = canvas_3HW.shape[1:]
    image_3HW = picture.image_3HW
    ys, xs = slice(max(top, 0), top + image_3HW.shape[1]), slice(max(left, 0), left + image_3HW.shape[2])
    part_3HW = canvas_3HW[:, ys, xs]
    first_y, first_x = ys.start - top, xs.start - left
    part_3HW[:] = image_3HW[:, first_y : first_y + part_3HW.shape[1], first_x : first_x + part_3HW.shape[2]]
    limit_4 = torch.tensor([width, height, width, height], dtype=torch.float32)
    moved_N4 = picture.boxes_N4 + torch.tensor([left, top, left, top])
    centre_N2 = (moved_N4[:, :2] + moved_N4[:, 2:]) / 2
    seen_N = ((centre_N2 > 0) & (centre_N2 < limit_4[:2])).all(1)
    return torch.minimum(moved_N4[seen_N].clamp(min=0), limit_4), picture.labels_N[seen_N]
