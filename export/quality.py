"""What files are worth on pictures whose classes or boxes are known, next to the network that they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
from pydantic import JsonValue

from export.frames import FrameModel
from export.options import Precision
from export.pictures import fingerprint
from pipeline.contract import ModelContract
from pipeline.errors import ConfigError
from pipeline.model import Model, OnnxModel
from pipeline.settings import settle
from pipeline.types import Classification
from training.annotated import AnnotatedImage, read_annotated
from training.coco import average_precision
from training.frames import TorchModel
from training.measure_boxes import BOXES, IOU, SCORE
from training.predict import recognise_pictures
from training.predict_boxes import check_sizes, detect
from training.samples import Sample, read_split

_BATCH = 8

Metric = Literal["accuracy", "map"]
Unread = dict[int, str]
"""The places of pictures that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Quality:
    """`values`: accuracy or COCO mAP, 0 to 1, of the `network` in PyTorch and of the file in each precision.

    `pictures` could be read; `fingerprint` is that of what is in them and of what is known of them. `skipped`: why the
    others could not.
    """

    metric: Metric
    pictures: int
    fingerprint: str
    values: Mapping[str, float]
    skipped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, for the provenance."""
        return {"metric": self.metric, "pictures": self.pictures, "fingerprint": self.fingerprint, **self.values}


class Truth(Protocol):
    """Pictures of which is known what they show."""

    metric: Metric
    paths: tuple[Path, ...]

    def judge(self, model: Model) -> tuple[float, Unread]:
        """How well a model says so, 0 to 1, of the pictures that can be read."""
        ...

    def tell(self, place: int) -> str:
        """What is known of a picture, letter by letter."""
        ...


def open_truth(data: Path, contract: ModelContract, split: Path | None = None) -> Truth:
    """The pictures of `data` and what they show, by the labels of a contract.

    Args:
        data: for a classifier class folders or a CSV (docs/data.md), for a detector annotated boxes (the same).
        split: the run's split file; where `data` names a split that does not lie there, it says what is in it.

    Raises:
        OnsightError: there are none, or they are not of the model's labels.
    """
    if contract.task == "detect":
        return _Boxes(read_annotated(data, contract.labels, split).images, contract)
    _, samples = read_split(data, contract.labels, split=split)
    if not samples:
        raise ConfigError(f"{data} holds no pictures: give another folder or CSV")
    return _Classes(samples)


def measure(truth: Truth, network: FrameModel, models: Mapping[Precision, OnnxModel]) -> Quality:
    """Judges the network and the files that were made of it."""
    contract = next(iter(models.values())).contract
    of_network, unread = truth.judge(TorchModel(network, contract))
    values = {"network": of_network} | {str(precision): truth.judge(model)[0] for precision, model in models.items()}
    read = [i for i in range(len(truth.paths)) if i not in unread]
    known = fingerprint([truth.paths[i] for i in read], [truth.tell(i) for i in read])
    return Quality(truth.metric, len(read), known, values, tuple(unread.values()))


class _Classes:
    metric: Metric = "accuracy"

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.paths = tuple(sample.path for sample in samples)
        self._labels = [sample.label for sample in samples]

    def tell(self, place: int) -> str:
        return str(self._labels[place])

    def judge(self, model: Model) -> tuple[float, Unread]:
        unread: Unread = {}
        right = 0
        settings = settle(model.contract, threshold=0.0, top_k=1)
        with closing(recognise_pictures(model, settings, self.paths, _BATCH, unread)) as pictures:
            for recognised in pictures:
                found = cast(Classification, recognised.results)
                right += int(len(found) > 0 and found.labels_K[0] == self._labels[recognised.frame.index])
        if len(unread) == len(self.paths):
            raise ConfigError(f"none of the {len(self.paths)} pictures can be read: {unread[0]}")
        return right / (len(self.paths) - len(unread)), unread


class _Boxes:
    metric: Metric = "map"

    def __init__(self, images: Sequence[AnnotatedImage], contract: ModelContract) -> None:
        self.paths = tuple(image.path for image in images)
        self._images = images
        self._labels = contract.labels
        self._iou = IOU if contract.detector and contract.detector.nms else None

    def tell(self, place: int) -> str:
        image = self._images[place]
        return f"{image.boxes_N4.tolist()} {image.labels_N.tolist()} {image.crowd_N.tolist()}"

    def judge(self, model: Model) -> tuple[float, Unread]:
        seen = detect(model, self.paths, threshold=SCORE, iou=self._iou, batch=_BATCH)
        read = [i for i in range(len(self.paths)) if i not in seen.unread]
        check_sizes(self._images, seen)
        best = [each.where(np.arange(len(each)) < BOXES) for each in seen.found]
        found = average_precision([self._images[i] for i in read], [best[i] for i in read], self._labels, BOXES).map
        if found is None:
            raise ConfigError("the pictures that can be read show no objects of the model's classes: give others")
        return found, seen.unread
