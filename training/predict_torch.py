"""A checkpoint as a subject of evaluation, whatever it does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import DeviceError, SourceError
from pipeline.sources.images import read_image
from pipeline.terms import Device
from training.box_layouts import find_boxes
from training.checkpoint import Trained, load_checkpoint
from training.dataset import Pictures
from training.frames import FrameNetwork, TorchModel
from training.inputs import Inputs
from training.loading import Draws, Loader, choose_workers
from training.predict import BoxSubject, Predictions, Tick
from training.samples import Sample
from training.tables import read_rows

_ALONE = 256  # pictures that are not worth the start of other processes


def open_checkpoint(path: Path, device: Device) -> TorchSubject | BoxSubject:
    """What `onsight train` saved at `path`: a classifier, or a detector that takes the place of a model file.

    Raises:
        OnsightError: see `load_checkpoint`; or the device cannot be used.
    """
    trained = load_checkpoint(path)
    where = _choose(device)
    if trained.head is None:
        return TorchSubject(path, trained, where)
    network = FrameNetwork(trained.network, trained.head, trained.mean, trained.std).to(where)
    trained_on = partial(_read_trained_on, path, trained.recipe.data.path, _root_of_boxes)
    return BoxSubject(path, _describe(trained, where), TorchModel(network, trained.contract, where), trained_on)


def _describe(trained: Trained, device: str) -> str:
    size = f"{trained.input.width} × {trained.input.height}"
    return f"{trained.recipe.model.name} in PyTorch on {device}, {trained.resize.rule} to {size}"


class TorchSubject:
    """A classifier of `onsight train`; its pictures are read and resized as in validation, which is as in a stream."""

    def __init__(self, path: Path, trained: Trained, device: str) -> None:
        self.path = path
        self._trained = trained
        self._device = device
        self.classes = trained.classes
        self.temperature = trained.temperature or 1.0
        self.how = _describe(trained, device)
        if trained.temperature:
            self.how += f", temperature {trained.temperature:.3f}"

    def predict(self, paths: Sequence[Path], batch: int, tick: Tick) -> Predictions:
        """See `Subject.predict`."""
        trained = self._trained
        inputs = Inputs(trained.input, trained.resize, trained.mean, trained.std)
        pictures = Pictures([Sample(path, 0) for path in paths], inputs)
        draws = Draws([0] * len(paths), batch, 0, None)
        workers = choose_workers(None) if len(paths) > _ALONE else 0
        loader = Loader(pictures, draws, workers, pin=self._device == "cuda")
        scores_NC = np.zeros((len(paths), len(self.classes)), np.float32)
        unread: dict[int, str] = {}
        network = trained.network.to(self._device)
        mean, std = (torch.tensor(each, device=self._device).view(1, 3, 1, 1) for each in (inputs.mean, inputs.std))
        for draw, found in zip(Draws([0] * len(paths), batch, 0, None), loader, strict=True):
            failed = set(found.failed)
            read = [i for i in draw.indices if str(paths[i]) not in failed]
            unread |= {i: _reason(paths[i]) for i in draw.indices if str(paths[i]) in failed}
            if read:
                images_B3HW = found.images_B3HW.to(self._device, non_blocking=True).float()
                with torch.inference_mode():
                    logits_BC = network((images_B3HW / 255 - mean) / std).float()
                scores_NC[read] = (logits_BC / self.temperature).softmax(1).cpu().numpy()
            for _ in draw.indices:
                tick()
        return Predictions(scores_NC, unread)

    def trained_on(self) -> frozenset[str]:
        """See `Subject.trained_on`."""
        return _read_trained_on(self.path, self._trained.recipe.data.path, _root_of_samples)


def _read_trained_on(checkpoint: Path, data: Path, root_of: Callable[[Path], Path | None]) -> frozenset[str]:
    """Absolute paths of the pictures of `data` that the split file beside a checkpoint has in train.

    Args:
        root_of: what names in the data set at a path are relative to; None: there is none.
    """
    split = checkpoint.with_name("split.csv")
    if not split.is_file():
        return frozenset()
    # a relative path counts from where the training ran: mostly the folder around runs/
    places = (data, *(at / data for at in checkpoint.absolute().parents))
    root = next((root for place in places if (root := root_of(place)) is not None), data)
    rows = read_rows(split, exact=True)
    return frozenset(os.path.abspath(os.path.join(root, row.name)) for row in rows if row.split == "train")


def _root_of_samples(data: Path) -> Path | None:
    if not data.exists():
        return None
    return data.parent if data.is_file() else data


def _root_of_boxes(data: Path) -> Path | None:
    found = find_boxes(data)
    return None if found is None else found.root


def _reason(path: Path) -> str:
    try:
        read_image(path)
    except SourceError as error:
        return str(error)
    return f"{path} could not be read at first: it changed meanwhile"


def _choose(device: Device) -> str:
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise DeviceError("cuda cannot be used: PyTorch finds no GPU; use --device cpu, or run: onsight doctor")
    return "cuda" if there and device != "cpu" else "cpu"
