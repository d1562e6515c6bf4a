"""What a model says of every picture: a checkpoint through PyTorch, an ONNX file through the runtime itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline import schedule
from pipeline.channel import Channel
from pipeline.contract import DetectorSpec
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

Progress = Callable[[str, int], AbstractContextManager[Tick]]
"""Shows what is done, and to how many pictures."""


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


@dataclass(frozen=True, slots=True)
class BoxSubject:
    """A detector to evaluate: a model file, or a network in its place, whose pictures then take the same way.

    `how`: a few words on how pictures reach it. `trained_on`: as that of a `Subject`.
    """

    path: Path
    how: str
    model: Model
    trained_on: Callable[[], frozenset[str]] = frozenset

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of its numbers."""
        return self.model.contract.labels

    @property
    def spec(self) -> DetectorSpec:
        """Its own threshold, and what is left to suppress."""
        spec = self.model.contract.detector
        assert spec is not None
        return spec


AnySubject: TypeAlias = Subject | BoxSubject


def open_subject(path: Path, device: Device) -> AnySubject:
    """Opens a `.onnx` file or a checkpoint.

    Raises:
        OnsightError: there is no such file, it is broken, or the device cannot be used.
    """
    if os.path.isdir(path):
        raise ModelError(f"{path} is a folder; give a checkpoint in it, as {path / 'best.ckpt'}, or a .onnx file")
    if not os.path.exists(path):
        raise ModelError(f"there is no model file {path}")
    if path.suffix.lower() == ".onnx":
        model = OnnxModel(path, device, threads=schedule.plan(latency=False, gpu=False).model)
        if model.contract.task == "detect":
            return BoxSubject(path, _describe(model), model)
        return OnnxSubject(path, model)
    with needing("training"):
        from training.predict_torch import open_checkpoint
    return open_checkpoint(path, device)


class OnnxSubject:
    """An exported file. Its pictures take the way of a stream's: the same reading, resizing, batching and inference."""

    temperature = 1.0  # it is in the graph

    def __init__(self, path: Path, model: Model) -> None:
        self.path = path
        self._model = model
        self.classes = model.contract.labels
        self.how = _describe(model)

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
    plan = schedule.plan(latency=False, gpu=model.device != "cpu")

    def read(stop: threading.Event) -> Iterator[Frame]:
        for i, path in enumerate(paths):
            try:
                yield Frame(read_image(path), str(path), i, None)
            except SourceError as error:
                unread[i] = str(error)

    with schedule.opencv_threads(plan.opencv), Channel[Frame, Recognised](threading.Event(), batch) as channel:
        channel.feed(read, newest=False, name="pictures")
        yield from channel.process([Recogniser(model, settings) for _ in range(plan.workers)], batch)


def _describe(model: Model) -> str:
    contract = model.contract
    size = f"{contract.input.width} × {contract.input.height}"
    return f"through the runtime on {model.device}, {contract.resize.rule} to {size}"


def name_models(paths: Sequence[Path]) -> list[str]:
    """Short names that tell them apart: checkpoints are called alike, and have the folder of their run in front."""
    names = [path.name if path.suffix.lower() == ".onnx" else "/".join(path.absolute().parts[-2:]) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def match_classes(subject: AnySubject, first: AnySubject) -> list[int]:
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
