"""What a model says of every picture: a checkpoint through PyTorch, an ONNX file through the runtime itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline import schedule
from pipeline.channel import Channel
from pipeline.errors import ConfigError, ModelError, SourceError
from pipeline.model import OnnxModel
from pipeline.recogniser import Recogniser
from pipeline.settings import settle
from pipeline.sources.images import read_image
from pipeline.terms import Device
from pipeline.types import Classification, Frame, Recognised

Tick = Callable[[], None]
"""Called once for each picture."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities float32 [N, C] of N pictures, and for each that could not be read its place and the reason."""

    scores_NC: NDArray[np.float32]
    unread: dict[int, str]


class Subject(Protocol):
    """A classifier to evaluate.

    `how`: a few words on how pictures reach it. `temperature`: by which its logits are divided already.
    """

    path: Path
    how: str
    classes: tuple[str, ...]
    temperature: float

    def predict(self, paths: Sequence[Path], batch: int, tick: Tick) -> Predictions:
        """Scores of all pictures; the rows of those that cannot be read mean nothing."""
        ...

    def trained_on(self) -> frozenset[str]:
        """Absolute paths of the pictures that it was trained on, as far as that is known."""
        ...


def open_subject(path: Path, device: Device) -> Subject:
    """Opens a `.onnx` file or a checkpoint.

    Raises:
        OnsightError: there is no such file, it is broken, it is a detector, or the device cannot be used.
    """
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give a checkpoint in it, as {path / 'best.ckpt'}, or a .onnx file")
    if not path.exists():
        raise ModelError(f"there is no model file {path}")
    if path.suffix.lower() == ".onnx":
        return OnnxSubject(path, device)
    try:
        from training.predict_torch import TorchSubject
    except ModuleNotFoundError as error:
        raise ConfigError(f"a checkpoint needs the package {error.name}: install onsight[training]") from None
    return TorchSubject(path, device)


class OnnxSubject:
    """An exported file. Its pictures take the way of a stream's: the same reading, resizing, batching and inference."""

    temperature = 1.0  # it is in the graph

    def __init__(self, path: Path, device: Device) -> None:
        self.path = path
        self._model = OnnxModel(path, device, threads=schedule.plan(live=False, gpu=False).model)
        contract = self._model.contract
        if contract.task != "classify":
            raise ModelError(f"{path} is a detector; only classifiers can be evaluated so far")
        self.classes = contract.labels
        size = f"{contract.input.width} × {contract.input.height}"
        self.how = f"through the runtime on {self._model.device}, {contract.resize.rule} to {size}"

    def predict(self, paths: Sequence[Path], batch: int, tick: Tick) -> Predictions:
        """See `Subject.predict`."""
        model, classes = self._model, len(self.classes)
        settings = settle(model.contract, threshold=0.0, top_k=classes)
        plan = schedule.plan(live=False, gpu=model.device != "cpu")
        scores_NC = np.zeros((len(paths), classes), np.float32)
        unread: dict[int, str] = {}

        def read(stop: threading.Event) -> Iterator[Frame]:
            for i, path in enumerate(paths):
                try:
                    yield Frame(read_image(path), str(path), i, None)
                except SourceError as error:
                    unread[i] = str(error)

        with schedule.opencv_threads(plan.opencv), Channel[Frame, Recognised](threading.Event(), batch) as channel:
            channel.feed(read, newest=False, name="pictures")
            for recognised in channel.process([Recogniser(model, settings) for _ in range(plan.workers)], batch):
                found = recognised.results
                assert isinstance(found, Classification)
                if len(found) != classes:
                    raise ModelError(
                        f"{self.path} gives scores that are no probabilities for {recognised.frame.source}"
                    )
                scores_NC[recognised.frame.index, found.labels_K] = found.scores_K
                tick()
        return Predictions(scores_NC, unread)

    def trained_on(self) -> frozenset[str]:
        """See `Subject.trained_on`."""
        return frozenset()
