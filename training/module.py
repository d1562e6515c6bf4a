"""A classifier in training."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from pipeline.errors import SourceError
from training.augment import Mixer
from training.dataset import Batch
from training.inputs import Inputs
from training.learner import Learner
from training.recipe import Recipe, at_epoch


class Classifier(Learner):
    """Trains a classifier by cross-entropy.

    Args:
        network: returns logits [B, C], or in training also auxiliary logits.
        class_weights: float32 [C], of the loss; None: all alike.
        recipe, inputs, about, batches: see `Learner`.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        inputs: Inputs,
        about: dict[str, Any],
        batches: Sized,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(network, recipe, inputs, about, batches)
        self.val_loss, self.val_accuracy = MeanMetric(), MeanMetric()
        self._mix = Mixer(recipe.augment, len(about["classes"]))
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, images_B3HW: Tensor) -> Any:
        """Logits of pictures uint8 [B, 3, H, W], RGB."""
        return self.network(self.normalised(images_B3HW))

    def _shrunk(self, images_B3HW: Tensor) -> Tensor:
        side = at_epoch(self.recipe.augment.sizes, self.current_epoch)
        if side is None or side >= images_B3HW.shape[2]:
            return images_B3HW
        smaller = functional.interpolate(images_B3HW, (side, side), mode="bilinear", antialias=True)
        return smaller.contiguous(memory_format=self._format)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not len(batch.labels_B):
            return self.no_loss()
        images, targets = self._mix(self._shrunk(self.normalised(batch.images_B3HW)), batch.labels_B)
        first, *auxiliary = _logits(self.network(images))
        loss = self._loss(first, targets)
        for logits in auxiliary:
            loss = loss + self.recipe.model.aux_weight * self._loss(logits, targets)
        self.note_loss(loss, len(batch.labels_B))
        return loss

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.recipe.loss.label_smoothing
        weights = None if self.class_weights is None else self.class_weights.float()
        return functional.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if len(batch.labels_B):
            logits = self(batch.images_B3HW).float()
            self.val_loss.update(functional.cross_entropy(logits, batch.labels_B, reduction="none"))
            self.val_accuracy.update((logits.argmax(1) == batch.labels_B).float())
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)
        self.log("val/accuracy", self.val_accuracy, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        if self.val_accuracy.compute().isnan():
            raise SourceError("none of the validation pictures can be read; look at: onsight data check")


def _logits(output: Any) -> Iterable[Tensor]:
    """The logits of a network and of its auxiliary heads."""
    return [each for each in output if each is not None] if isinstance(output, tuple) else [output]
