"""What files are worth on pictures whose classes or boxes are known, next to the network that they were made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from export.frames import FrameModel
from export.gate import run_network
from export.options import Precision
from export.pictures import fingerprint
from pipeline.contract import ModelContract
from pipeline.errors import ConfigError
from pipeline.model import OnnxModel, Outputs
from pipeline.settings import settle
from pipeline.types import Classification, Image
from training.annotated import read_annotated
from training.coco import average_precision
from training.predict import recognise_pictures
from training.predict_boxes import detect
from training.samples import Sample, read_split

_BATCH = 8
_SUPPRESSED = 0.65  # intersection over union: what COCO's mAP is usually taken with

Metric = Literal["accuracy", "map"]
Judge = Callable[[OnnxModel], float]


@dataclass(frozen=True, slots=True)
class Quality:
    """`values`: accuracy or COCO mAP, 0 to 1, of the `network` in PyTorch and of the file in each precision."""

    metric: Metric
    pictures: int
    fingerprint: str
    values: Mapping[str, float]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, for the provenance."""
        return {"metric": self.metric, "pictures": self.pictures, "fingerprint": self.fingerprint, **self.values}


@dataclass(frozen=True, slots=True)
class Truth:
    """Pictures of which is known what they show, and how well a model says so: by `judge`, 0 to 1."""

    metric: Metric
    paths: tuple[Path, ...]
    judge: Judge

    def measure(self, network: FrameModel, models: Mapping[Precision, OnnxModel]) -> Quality:
        """Judges the network and the files that were made of it."""
        contract = next(iter(models.values())).contract
        subjects: dict[str, OnnxModel] = {"network": cast(OnnxModel, _Network(network, contract))}
        subjects.update(models.items())
        values = {name: self.judge(subject) for name, subject in subjects.items()}
        return Quality(self.metric, len(self.paths), fingerprint(self.paths), values)


class _Network:
    """A network in the place of an `OnnxModel`: its pictures take the same way."""

    device = "cpu"
    path = Path("network")

    def __init__(self, network: FrameModel, contract: ModelContract) -> None:
        self.contract = contract
        self._network = network

    def infer(self, frames_BHW3: Image) -> Outputs:
        return run_network(self._network, self.contract, frames_BHW3)


def open_truth(data: Path, contract: ModelContract) -> Truth:
    """The pictures of `data` and what they show, by the labels of a contract.

    Args:
        data: for a classifier class folders or a CSV (docs/data.md), for a detector a COCO JSON or its folder.

    Raises:
        OnsightError: there are none, or they are not of the model's labels.
    """
    if contract.task == "detect":
        annotated = read_annotated(data, contract.labels)
        paths = tuple(image.path for image in annotated.images)

        def judge_boxes(model: OnnxModel) -> float:
            iou = _SUPPRESSED if contract.detector and contract.detector.nms else None
            seen = detect(model, paths, iou=iou, batch=_BATCH)
            read = [i for i in range(len(paths)) if i not in seen.unread]
            truth = [annotated.images[i] for i in read]
            return average_precision(truth, [seen.found[i] for i in read], contract.labels).map or 0.0

        return Truth("map", paths, judge_boxes)
    _, samples = read_split(data, contract.labels)
    if not samples:
        raise ConfigError(f"{data} holds no pictures: give another folder or CSV")
    return Truth("accuracy", tuple(sample.path for sample in samples), lambda model: _accuracy(model, samples))


def _accuracy(model: OnnxModel, samples: Sequence[Sample]) -> float:
    """Of the pictures that can be read."""
    unread: dict[int, str] = {}
    paths, right = [sample.path for sample in samples], 0
    settings = settle(model.contract, threshold=0.0, top_k=1)
    with closing(recognise_pictures(model, settings, paths, _BATCH, unread)) as pictures:
        for recognised in pictures:
            found = cast(Classification, recognised.results)
            right += int(found.labels_K[0] == samples[recognised.frame.index].label) if len(found) else 0
    if len(unread) == len(samples):
        raise ConfigError(f"none of the {len(samples)} pictures can be read: {unread[0]}")
    return right / (len(samples) - len(unread))
