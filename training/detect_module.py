"""A detector in training."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import Any, cast

import torch
from torch import Tensor

from pipeline.errors import SourceError
from pipeline.postprocess import find_objects
from pipeline.preprocess import plan_geometry
from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.box_dataset import BoxBatch
from training.coco import average_precision
from training.dataset import Batch
from training.inputs import Inputs
from training.learner import Learner
from training.metrics_boxes import best_point
from training.raw_heads import Detector, DetectorHead, RawDetector
from training.recipe import Recipe

_LOWEST = 0.001  # score of what still counts for the average precision
_STEPS = 1000  # of a threshold, from 0 to 1: what scores differ by from device to device is less


class ObjectDetector(Learner):
    """Trains a detector of torchvision by its own losses; validates by COCO's mean average precision.

    Checkpoints carry the threshold that had the highest F1 in the last validation.

    Args:
        network: of `training.detect_model.build_trainable`.
        truth: the validation pictures; the labels of validation batches are indices into them.
        recipe, inputs, about, batches: see `Learner`.
    """

    def __init__(
        self,
        network: Detector,
        recipe: Recipe,
        inputs: Inputs,
        about: dict[str, Any],
        batches: Sized,
        truth: Sequence[AnnotatedImage],
    ) -> None:
        super().__init__(network, recipe, inputs, about, batches)
        self._inputs = inputs
        self._truth = truth
        self._classes = tuple(about["classes"])
        self._found: dict[int, Detections] = {}
        network.head.register_forward_hook(_in_float)

    @property
    def _detector(self) -> Detector:
        return cast(Detector, self.network)

    def training_step(self, batch: BoxBatch, batch_idx: int) -> Tensor:
        if not len(batch.images_B3HW):
            return self.no_loss()
        targets = [{"boxes": each["boxes"], "labels": each["labels"] + 1} for each in batch.targets]
        losses = self.network(list(self.normalised(batch.images_B3HW)), targets)
        loss: Tensor = sum(losses.values())
        self.note_loss(loss, len(targets))
        return loss

    def on_validation_epoch_start(self) -> None:
        size = self._inputs.input
        raw, head = RawDetector(self._detector), DetectorHead(self._detector, size.height, size.width, background=False)
        self._parts = raw, head.to(self.device)  # a tuple: they are no modules to be saved
        self._found = {}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if not len(batch.labels_B):
            return
        raw, head = self._parts
        boxes_BK4, scores_BK, labels_BK = (
            each.cpu().numpy() for each in head(*raw(self.normalised(batch.images_B3HW)))
        )
        indices = batch.labels_B.tolist()
        geometries = [
            plan_geometry(image.height, image.width, self._inputs.input, self._inputs.resize)
            for image in (self._truth[index] for index in indices)
        ]
        found = find_objects(boxes_BK4, scores_BK, labels_BK, geometries, self._classes, _LOWEST, head.iou)
        self._found.update(zip(indices, found, strict=True))

    def on_validation_epoch_end(self) -> None:
        found = self._gather()
        if not found:
            raise SourceError("none of the validation pictures can be read; look at: onsight data check")
        truth = [self._truth[index] for index in found]
        metrics = average_precision(truth, list(found.values()), self._classes)
        if metrics.map is None or metrics.map50 is None:
            raise SourceError("no validation picture that can be read shows an object; look at: onsight data check")
        self.log("val/map", metrics.map)
        self.log("val/map50", metrics.map50)
        best = best_point(truth, list(found.values()), len(self._classes))
        threshold = None if best is None else math.floor(_STEPS * best.threshold) / _STEPS
        self.about = {**self.about, "threshold": threshold}

    def _gather(self) -> dict[int, Detections]:
        """What all devices found, in the order of the pictures."""
        parts = [self._found]
        if self.trainer.world_size > 1:
            parts = [{}] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, self._found)
        return {index: part[index] for index, part in sorted((i, part) for part in parts for i in part)}


def _in_float(head: Any, images: Any, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses are calculated in float32, whatever the precision of the network."""
    return {name: each.float() for name, each in outputs.items()}
