"""What happens around the steps of a run: averaged weights, a line for each epoch, and ending on a signal."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor

from pipeline.errors import SourceError
from training.loading import Loader

_NAMED = 10


class Average(WeightAveraging):
    """The exponential moving average of the weights; it forgets faster in the first steps.

    Args:
        decay: what is kept of the average in a step.
    """

    def __init__(self, decay: float) -> None:
        def mean(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            if not current.is_floating_point():
                return current
            kept = torch.as_tensor((1 + count) / (10 + count)).clamp(max=decay)  # stays on the device
            return average.lerp(current, (1 - kept).to(average))  # leaves what does not change exactly as it is

        super().__init__(avg_fn=mean)


class Checkpoints(ModelCheckpoint):
    """Knows which was the best of its files also after the folder was moved or renamed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths}
        kept = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": kept, "dirpath": self.dirpath})


class Share(Callback):
    """Gives each device its part of the batches, as soon as it is known how many devices there are."""

    def __init__(self, *loaders: Loader) -> None:
        self._loaders = loaders

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for loader in self._loaders:
            loader.draws.share(trainer.global_rank, trainer.world_size)


class Interrupted(SystemExit):
    """A signal ended the run; `code` is the exit code: 130 for Ctrl-C, 143 for SIGTERM."""


class EndOnSignal(Callback):
    """Ctrl-C and SIGTERM: the step is finished, last.ckpt is saved, the run ends. A second signal ends it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._code = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.setdefault(number, signal.signal(number, self._note))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        within = not loop.batch_progress.is_last_batch and (loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if within and self._told(trainer):
            trainer.save_checkpoint(self._path)
            raise Interrupted(self._code)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._told(trainer):  # the epoch before it has been saved
            raise Interrupted(self._code)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._told(trainer):
            raise Interrupted(self._code)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._code:
            raise KeyboardInterrupt
        self._code = 128 + number

    def _told(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return bool(self._code)
        told = bool(trainer.strategy.reduce_boolean_decision(bool(self._code), all=False))
        self._code = self._code or (128 + signal.SIGTERM if told else 0)
        return told


class Journal(Callback):
    """One line for each epoch, the share of the time that was spent waiting for data, and files that cannot be read.

    Args:
        loader: of the training pictures.

    Attributes:
        unreadable: the files skipped so far.
        waiting: the share of the whole training time, so far, that went into waiting for data.
    """

    def __init__(self, loader: Loader) -> None:
        self.unreadable: set[str] = set()
        self.seconds = 0.0
        self._loader = loader
        self._waited = 0.0
        self._began = 0.0

    @property
    def waiting(self) -> float:
        return self._loader.waited / self.seconds if self.seconds else 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start()

    def _start(self) -> None:
        self._began, self._waited, self._trained = time.perf_counter(), self._loader.waited, 0.0
        self._pictures = 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._note(batch.failed)
        self._pictures += len(batch.images_B3HW)
        self._trained = time.perf_counter() - self._began

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self._note(batch.failed)

    def _note(self, failed: list[str]) -> None:
        for name in failed:
            if name not in self.unreadable and len(self.unreadable) < _NAMED:
                click.echo(f"skipped: {name} cannot be read", err=True)
            self.unreadable.add(name)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.strategy.reduce_boolean_decision(self._pictures > 0, all=False):
            raise SourceError("none of the training pictures can be read; look at: onsight data check")
        self._gather(trainer)
        self.seconds += self._trained
        share = (self._loader.waited - self._waited) / max(self._trained, 1e-9)
        values = {"waiting": share, "seconds": self._trained}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
        if trainer.is_global_zero:
            click.echo(self._line(trainer, share), err=True)

    def _gather(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1 and torch.distributed.is_available() and torch.distributed.is_initialized():
            found: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(found, self.unreadable)
            self.unreadable.update(*found)

    def _line(self, trainer: pl.Trainer, share: float) -> str:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        parts = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
        parts += [f"train loss {metrics['train/loss']:.4f}"] if "train/loss" in metrics else []
        if "val/loss" in metrics:
            parts += [f"val loss {metrics['val/loss']:.4f}, accuracy {100 * metrics['val/accuracy']:.2f} %"]
        if "val/map" in metrics:
            parts += [f"val mAP {metrics['val/map']:.4f}, mAP50 {metrics['val/map50']:.4f}"]
        return "  ".join([*parts, f"{self._trained:.1f} s, {100 * share:.0f} % waiting for data"])
