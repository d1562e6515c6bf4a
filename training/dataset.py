"""Pictures as tensors: read as the runtime reads them, resized as it resizes them, or augmented for training."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pipeline.errors import SourceError
from pipeline.preprocess import plan_geometry, write_input
from pipeline.sources.images import read_image
from pipeline.types import Image
from training.inputs import Inputs
from training.recipe import AugmentSpec
from training.samples import Sample

_GIB = 2**30
_PROBES = 16


@dataclass(frozen=True, slots=True)
class Draw:
    """The samples of one batch; `seed` and `epoch` decide how they are augmented."""

    seed: int
    indices: tuple[int, ...]
    epoch: int = 0


class Batch(NamedTuple):
    """`images_B3HW` uint8, RGB; `labels_B` int64; `failed`: files of the batch that could not be read."""

    images_B3HW: Tensor
    labels_B: Tensor
    failed: list[str]


class Pictures(Dataset[Any]):
    """Batches of pictures; asked for by `Draw`, in the processes of a DataLoader.

    Args:
        samples: each with its `path`, and its `label` or what a subclass makes of it.
        inputs: size and resize rule of the network.
        augment: None: exactly the runtime's preprocessing.
        shrink: the largest a picture may be, as a multiple of the input's size, before it is augmented.
        alternate: mirror half of the pictures in even epochs, the other half in odd ones.
    """

    def __init__(
        self,
        samples: Sequence[Any],
        inputs: Inputs,
        augment: v2.Transform | None = None,
        shrink: float | None = None,
        alternate: bool = False,
    ) -> None:
        self.samples = samples
        self._inputs = inputs
        self._augment = augment
        self._shrink = shrink
        self._half_N = np.random.default_rng(0).random(len(samples)) < 0.5 if alternate else None
        self.kept: _Kept | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Tensor:
        """The picture as it is before it is augmented: uint8 [3, H, W], RGB."""
        if self.kept is not None:
            return self.kept[index]
        image = self._read(index)
        image = resized(image, self._inputs) if self._shrink is None else _shrunk(image, self._inputs, self._shrink)
        return torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)

    def __getitems__(self, draw: Draw) -> Any:
        """The batch that `draw` names; a picture that cannot be read is left out and named."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.seed)
            random.seed(draw.seed)
            return self._batch(draw)

    def keep(self, gigabytes: float, workers: int) -> bool:
        """Decodes all pictures once and keeps them, if they need no more memory than that, and the processes of a
        loader can share it. Returns whether it did.
        """
        step = max(len(self) // _PROBES, 1)
        probes = [size for i in range(0, len(self), step) if (size := self._bytes(i)) is not None]
        if not probes or len(self) * sum(probes) / len(probes) > gigabytes * _GIB:
            return False
        loader = DataLoader(
            _Readable(self), batch_size=64, collate_fn=list, num_workers=workers, worker_init_fn=quiet_worker
        )
        kept = _Kept(image for batch in loader for image in batch)
        if workers and get_start_method() != "fork":  # a forked process sees the memory as it is
            try:
                kept.share()
            except RuntimeError:  # the system gives no more: in containers, /dev/shm is small
                return False
        self.kept = kept
        return True

    def draw_sheet(self, draw: Draw) -> Tensor:
        """The pictures of `draw` as the network will see them: uint8 [B, 3, H, W], RGB."""
        images: Tensor = self.__getitems__(draw).images_B3HW
        return images

    def _read(self, index: int) -> Image:
        return read_image(self.samples[index].path)

    def _bytes(self, index: int) -> int | None:
        try:
            return self[index].numel()
        except SourceError:
            return None

    def _batch(self, draw: Draw) -> Any:
        images, labels, failed = [], [], []
        for index in draw.indices:
            sample = self.samples[index]
            try:
                image = self[index]
            except SourceError:
                failed.append(str(sample.path))
                continue
            if self._half_N is not None and self._half_N[index] == draw.epoch % 2:
                image = image.flip(2)
            images.append(self._augment(image) if self._augment is not None else image)
            labels.append(sample.label)
        return Batch(self._stack(images), torch.tensor(labels, dtype=torch.int64), failed)

    def _stack(self, images: Sequence[Tensor]) -> Tensor:
        height, width = self._inputs.input.height, self._inputs.input.width
        return torch.stack(list(images)) if images else torch.empty(0, 3, height, width, dtype=torch.uint8)


class _Readable(Dataset[np.ndarray]):
    """The pictures one by one, as arrays: tensors would each take an open file; empty for one that cannot be read."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        try:
            return self._pictures[index].contiguous().numpy()
        except SourceError:
            return np.empty(0, np.uint8)


class _Kept:
    """Decoded pictures, one after the other in one block of memory that grows with them."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._shapes: list[tuple[int, ...]] = []
        pixels = bytearray()
        for image in images:
            self._shapes.append(image.shape)
            pixels.extend(image.data)
        self._ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in self._shapes])
        self._pixels = torch.frombuffer(pixels, dtype=torch.uint8)

    def share(self) -> None:
        """Moves the pictures to where processes that are not forked find them, too.

        Raises:
            RuntimeError: there is too little of such memory.
        """
        self._pixels.share_memory_()

    def __getitem__(self, index: int) -> Tensor:
        shape = self._shapes[index]
        if len(shape) < 3:
            raise SourceError("it could not be read when the pictures were decoded")
        end = int(self._ends[index])
        return self._pixels[end - int(np.prod(shape)) : end].view(shape)


def resized(image: Image, inputs: Inputs) -> Image:
    """A picture uint8 [H, W, 3] as the runtime brings it to the input's size; the order of the colours stays."""
    geometry = plan_geometry(*image.shape[:2], inputs.input, inputs.resize)
    whole = np.empty((geometry.height, geometry.width, 3), np.uint8)
    write_input(image, geometry, whole)
    return whole


def _shrunk(image: Image, inputs: Inputs, factor: float) -> Image:
    """`image`, made smaller so that its shorter side is at most `factor` times the input's."""
    scale = factor * inputs.input.height / min(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def quiet_worker(_: int) -> None:
    """One thread for each process of a loader: the processes are the parallelism; signals are for the parent."""
    import signal

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or a service manager sends them to the whole group
        signal.signal(number, signal.SIG_IGN)


def shrink_factor(spec: AugmentSpec) -> float | None:
    """How much larger than the input a picture has to stay, so that its smallest crop is not enlarged."""
    return max(spec.scale[0], 1 / 16) ** -0.5 if spec.crop == "random-resized" else None


def limit_per_class(samples: Sequence[Sample], count: int | None, seed: int) -> tuple[Sample, ...]:
    """No more than `count` samples of each class, drawn by `seed`, in their order; None: all."""
    if count is None:
        return tuple(samples)
    order = np.random.default_rng(seed).permutation(len(samples))
    taken: dict[int, int] = {}
    chosen = []
    for index in order:
        label = samples[index].label
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= count:
            chosen.append(int(index))
    return tuple(samples[index] for index in sorted(chosen))


def save_sheet(pictures: Pictures, path: Path, count: int, seed: int) -> None:
    """A JPEG of `count` training pictures as the network will see them, before they are mixed."""
    from torchvision.utils import make_grid

    order = np.random.default_rng(seed).permutation(len(pictures))[:count]
    images = pictures.draw_sheet(Draw(seed, tuple(int(i) for i in order)))
    if len(images):
        sheet = make_grid(images, nrow=8, padding=2).flip(0).permute(1, 2, 0).numpy()
        path.write_bytes(cv2.imencode(".jpg", sheet)[1].tobytes())
