"""What a model says of every picture: a checkpoint through PyTorch, an ONNX file through the runtime itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline import schedule
from pipeline.channel import Channel
from pipeline.errors import ConfigError, ModelError, SourceError
from pipeline.extras import needing
from pipeline.model import Model, OnnxModel
from pipeline.recogniser import Recogniser
from pipeline.settings import Settings, settle
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
    if os.path.isdir(path):
        raise ModelError(f"{path} is a folder; give a checkpoint in it, as {path / 'best.ckpt'}, or a .onnx file")
    if not os.path.exists(path):
        raise ModelError(f"there is no model file {path}")
    if path.suffix.lower() == ".onnx":
        return OnnxSubject(path, device)
    with needing("training"):
        from training.predict_torch import TorchSubject
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
        scores_NC = np.zeros((len(paths), classes), np.float32)
        unread: dict[int, str] = {}
        with closing(recognise_pictures(model, settings, paths, batch, unread)) as pictures:
            for recognised in pictures:
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


def recognise_pictures(
    model: Model, settings: Settings, paths: Sequence[Path], batch: int, unread: dict[int, str]
) -> Generator[Recognised]:
    """What the model sees in each picture, which takes the way of a stream's; `frame.index` is its place in `paths`.

    Args:
        unread: gets the place of each picture that cannot be read, and the reason. Those are not yielded.
    """
    plan = schedule.plan(live=False, gpu=model.device != "cpu")

    def read(stop: threading.Event) -> Iterator[Frame]:
        for i, path in enumerate(paths):
            try:
                yield Frame(read_image(path), str(path), i, None)
            except SourceError as error:
                unread[i] = str(error)

    with schedule.opencv_threads(plan.opencv), Channel[Frame, Recognised](threading.Event(), batch) as channel:
        channel.feed(read, newest=False, name="pictures")
        yield from channel.process([Recogniser(model, settings) for _ in range(plan.workers)], batch)


def match_classes(subject: Subject, first: Subject) -> list[int]:
    """Where each class of `first` stands among those of `subject`: models are compared by name, not by number.

    Raises:
        ConfigError: they know different classes.
    """
    if subject.classes == first.classes:
        return list(range(len(first.classes)))
    strange = sorted(set(subject.classes) ^ set(first.classes))
    if strange or len(set(first.classes)) < len(first.classes):
        named = ", ".join(strange[:3]) or "names that occur twice"
        raise ConfigError(f"{first.path} and {subject.path} know different classes ({named}): evaluate them one by one")
    return [subject.classes.index(label) for label in first.classes]
