"""A network in training, as Lightning drives it: what is the same whatever it learns."""

from __future__ import annotations

import random
from collections.abc import Sized
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import OnsightError
from training.blocks import Freezer
from training.checkpoint import KEY
from training.inputs import Inputs
from training.optim import build_optimiser, build_schedule
from training.recipe import Recipe

_CHECK_EVERY = 50


class Learner(pl.LightningModule):
    """Trains `network`, whose tensors are all that its state dict holds.

    Args:
        network: takes normalised float32 [B, 3, H, W].
        recipe: how it is trained.
        inputs: mean and std of the input.
        about: what checkpoints carry beside the state; see `training.checkpoint.describe`.
        batches: of an epoch on this device; counted when training begins.

    Raises:
        OnsightError: while training, when the loss is no number any more.
    """

    mean: Tensor
    std: Tensor
    finite: Tensor

    def __init__(
        self, network: nn.Module, recipe: Recipe, inputs: Inputs, about: dict[str, Any], batches: Sized
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.about = about
        self._batches = batches
        self.lr = recipe.optimiser.lr  # Lightning's learning-rate finder sets it
        self.watch = True  # whether a loss that is no number ends the run
        self._freezer = Freezer(network, recipe.model.trainable)
        self._format = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
        self.network.to(memory_format=self._format)
        self.register_buffer("mean", 255 * torch.tensor(inputs.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(inputs.std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("finite", torch.tensor(True), persistent=False)

    def normalised(self, images_B3HW: Tensor) -> Tensor:
        """What the network takes, of pictures uint8 [B, 3, H, W], RGB."""
        dtype = next(self.network.parameters()).dtype
        return ((images_B3HW.float() - self.mean) / self.std).to(dtype=dtype, memory_format=self._format)

    def no_loss(self) -> Tensor:
        """Of a batch of which no picture could be read: gradients of 0, for which other devices wait."""
        return 0 * sum(p.sum() for p in self.network.parameters() if p.requires_grad)  # type: ignore[return-value]

    def note_loss(self, loss: Tensor, pictures: int) -> None:
        """Logs the loss of a batch of so many pictures, and sees to it that it is a number."""
        self._check(loss)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=pictures)

    def configure_optimizers(self) -> Any:
        spec = self.recipe.optimiser.model_copy(update={"lr": self.lr})
        optimiser = build_optimiser(self.network, spec)
        # Lightning's own count would set the loader up before a checkpoint has told it where the epoch goes on.
        steps = self.recipe.epochs * -(-len(self._batches) // self.recipe.optimiser.accumulate)
        schedule = build_schedule(optimiser, self.recipe.schedule, steps, self.recipe.epochs)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        self._freezer.apply(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        self._freezer.apply(self.current_epoch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Each step has a seed of its own, so that a run that was cut goes on with the very same numbers."""
        seed_step(self.recipe.seed, self.current_epoch, batch_idx, self.global_rank)

    def on_train_epoch_end(self) -> None:
        self._check(None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check(None)
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint[KEY] = {**self.about, "metrics": metrics}

    def _check(self, loss: Tensor | None) -> None:
        """Looks at every loss, but asks a GPU for the answer seldom: each answer makes it wait."""
        if loss is not None:
            self.finite = self.finite & loss.detach().isfinite()
            if loss.device.type != "cpu" and self.global_step % _CHECK_EVERY:
                return
        if self.watch and not self.trainer.strategy.reduce_boolean_decision(bool(self.finite), all=True):
            precision = self.recipe.run.precision
            exact = f", run.precision=32-true (now {precision})" if "16" in precision else ""
            raise OnsightError(
                f"the loss is no number any more, in epoch {self.current_epoch + 1} by step {self.global_step + 1}: "
                f"lower optimiser.lr (now {self.lr:g}), set optimiser.clip=1{exact}, or warm up longer; "
                "checkpoints saved before are intact"
            )


def seed_step(seed: int, epoch: int, step: int, rank: int) -> None:
    """Seeds torch (all devices), NumPy and Python for one step of one device."""
    state = np.random.SeedSequence((seed, epoch, step, rank)).generate_state(1)
    torch.manual_seed(int(state[0]))
    np.random.seed(state[0])
    random.seed(int(state[0]))
