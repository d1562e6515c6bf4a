"""Pictures with boxes as tensors for training: augmented, then resized as the runtime resizes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from pipeline.errors import SourceError
from pipeline.palette import colour_of
from pipeline.preprocess import plan_geometry
from pipeline.types import Image
from training.annotated import AnnotatedImage
from training.box_refusals import tell_other_size
from training.boxes_augment import BoxAugment, Boxed
from training.dataset import Draw, Pictures, resized
from training.inputs import Inputs

_PARTNERS = 3


class BoxBatch(NamedTuple):
    """`images_B3HW` uint8, RGB; `targets`: of each picture `boxes` float32 [N, 4], xyxy in pixels of the input, and
    `labels` int64 [N]; `failed`: files of the batch that could not be read.
    """

    images_B3HW: Tensor
    targets: list[dict[str, Tensor]]
    failed: list[str]


class BoxPictures(Pictures):
    """Batches of pictures with boxes; asked for by `Draw`, in the processes of a DataLoader. Crowds are left out.

    Args:
        samples: pictures and boxes.
        inputs: size and resize rule of the network.
        augment: what happens to them before they are resized.
        shrink: see `Pictures`.
        classes: names of the labels, for the sheet.
    """

    def __init__(
        self,
        samples: Sequence[AnnotatedImage],
        inputs: Inputs,
        augment: BoxAugment,
        shrink: float,
        classes: Sequence[str],
    ) -> None:
        super().__init__(samples, inputs, shrink=shrink)
        self._boxed = augment
        self._classes = tuple(classes)

    def draw_sheet(self, draw: Draw) -> Tensor:
        """With the boxes drawn."""
        batch: BoxBatch = self.__getitems__(draw)
        return self._stack([self._draw(*each) for each in zip(batch.images_B3HW, batch.targets, strict=True)])

    def _draw(self, image_3HW: Tensor, target: dict[str, Tensor]) -> Tensor:
        labels = target["labels"].tolist()
        if not labels:
            return image_3HW
        colours = [colour_of(self._classes[label])[::-1] for label in labels]
        return draw_bounding_boxes(
            image_3HW, target["boxes"], [self._classes[label] for label in labels], colors=colours, width=2
        )

    def _read(self, index: int) -> Image:
        image, sample = super()._read(index), self.samples[index]
        shown, stated = (image.shape[1], image.shape[0]), (sample.width, sample.height)
        if shown != stated:
            raise SourceError(tell_other_size(sample.path, shown, stated))
        return image

    def _batch(self, draw: Draw) -> BoxBatch:
        images, targets, failed = [], [], []
        for index in draw.indices:
            try:
                boxed = self._augmented(index)
            except SourceError:
                failed.append(str(self.samples[index].path))
                continue
            images.append(boxed.image_3HW)
            targets.append({"boxes": boxed.boxes_N4, "labels": boxed.labels_N})
        return BoxBatch(self._stack(images), targets, failed)

    def _augmented(self, index: int) -> Boxed:
        pictures = [self._boxes(index)]
        if torch.rand(()) < self._boxed.mosaic:
            for partner in torch.randint(len(self), (_PARTNERS,)).tolist():
                try:
                    pictures.append(self._boxes(partner))
                except SourceError:  # it is named when its own turn comes
                    continue
        return self._placed(self._boxed(pictures))

    def _boxes(self, index: int) -> Boxed:
        """The picture as it is before it is augmented."""
        image, sample = self[index], self.samples[index]
        scale = np.array([image.shape[2] / sample.width, image.shape[1] / sample.height] * 2, np.float32)
        alone_N = ~sample.crowd_N
        boxes_N4 = sample.boxes_N4[alone_N] * scale
        return Boxed(image, torch.from_numpy(boxes_N4), torch.from_numpy(sample.labels_N[alone_N]))

    def _placed(self, boxed: Boxed) -> Boxed:
        """At the input's size, by the rule of the contract."""
        image_HW3 = np.ascontiguousarray(boxed.image_3HW.permute(1, 2, 0).numpy())
        geometry = plan_geometry(*image_HW3.shape[:2], self._inputs.input, self._inputs.resize)
        image = torch.from_numpy(resized(image_HW3, self._inputs)).permute(2, 0, 1)
        ratio, shift = ([getattr(geometry.x, part), getattr(geometry.y, part)] * 2 for part in ("ratio", "shift"))
        boxes_N4 = boxed.boxes_N4 * torch.tensor(ratio) + torch.tensor(shift)
        return Boxed(image, boxes_N4, boxed.labels_N)
