"""Which pictures come when, and how long the training waited for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from training.dataset import Draw, Pictures, quiet_worker
from training.samples import Sample


class Draws(Sampler[Draw]):
    """The batches of an epoch on one device, the same for the same seed and epoch, however often it was interrupted.

    All devices have equally many, so that none waits for another in vain: validation may end with empty ones.

    Args:
        labels: of all samples.
        batch: samples of a batch. An incomplete last one is left out, except where `shuffle` is off or it is the only.
        seed: of order and augmentation.
        shuffle: `uniform`: each sample once an epoch; `balanced`: as many draws, each class as often; None: in order.
    """

    def __init__(
        self,
        labels: Sequence[int],
        batch: int,
        seed: int,
        shuffle: Literal["uniform", "balanced"] | None,
    ) -> None:
        self.epoch = 0
        self.skip = 0
        self.sampler = self  # where Lightning looks for `set_epoch`
        self._labels = np.asarray(labels)
        self._batch, self._seed, self._shuffle = batch, seed, shuffle
        self._rank, self._world = 0, 1

    def share(self, rank: int, world: int) -> None:
        """Leaves to this device, number `rank` of so many, its part."""
        self._rank, self._world = rank, world

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self._shuffle is None:
            return -(-len(self._labels) // (self._world * self._batch))
        return max(len(self._labels) // self._world // self._batch, 1)

    def __iter__(self) -> Iterator[Draw]:
        generator = np.random.default_rng((self._seed, self.epoch))
        order = self._order(generator)[self._rank :: self._world]
        seeds = generator.integers(2**31, size=(len(self), self._world))[:, self._rank]
        first, self.skip = self.skip, 0
        for i in range(first, len(self)):
            indices = order[i * self._batch : (i + 1) * self._batch]
            yield Draw(int(seeds[i]), tuple(int(index) for index in indices), self.epoch)

    def _order(self, generator: np.random.Generator) -> np.ndarray:
        count = len(self._labels)
        if self._shuffle is None:
            return np.arange(count)
        if self._shuffle == "uniform":
            return generator.permutation(count)
        _, inverse, counts = np.unique(self._labels, return_inverse=True, return_counts=True)
        weights = 1 / counts[inverse]
        return generator.choice(count, count, p=weights / weights.sum())


class Loader(DataLoader[Any]):
    """A DataLoader that measures how long it is waited for, and that can go on in the middle of an epoch."""

    def __init__(self, pictures: Pictures, draws: Draws, workers: int, pin: bool) -> None:
        super().__init__(
            pictures,
            batch_sampler=draws,  # type: ignore[arg-type]  # a Draw is more than a list of indices
            num_workers=workers,
            collate_fn=_as_it_is,  # a batch comes whole
            pin_memory=pin,
            persistent_workers=workers > 0,
            worker_init_fn=quiet_worker,
            generator=torch.Generator(),  # else it would draw from the generator of the training
        )
        self.pictures = pictures
        self.draws = draws
        self.waited = 0.0
        self._given = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self._given = self.draws.skip
        batches = super().__iter__()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How many batches of the epoch have been given; Lightning stores it in checkpoints."""
        return {"given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next epoch begins after so many batches; Lightning calls it when a run goes on within an epoch."""
        self.draws.skip = state["given"]


def _as_it_is(batch: Any) -> Any:
    return batch


def choose_workers(wanted: int | None, devices: int = 1) -> int:
    """Processes of a loader: as asked for, or the cores that the training leaves, 16 at most."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // devices - 1, 0), 16)


def class_weights(samples: Sequence[Sample], classes: int) -> torch.Tensor:
    """float32 [C]: the rarer a class, the more it counts; 1 on average over the samples."""
    counts = np.bincount([sample.label for sample in samples], minlength=classes)
    return torch.from_numpy((len(samples) / (classes * counts.clip(1))).astype(np.float32))
