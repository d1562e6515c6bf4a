"""A second model takes a closer look: a classifier on the objects that a detector found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Recognition
from pipeline.errors import ConfigError
from pipeline.model import Model, OnnxModel
from pipeline.postprocess import best_classes
from pipeline.recogniser import Recogniser
from pipeline.settings import Settings, find_labels, settle
from pipeline.track import LOST_AFTER
from pipeline.types import Classification, Detections, Frame, Recognised

LOOK_AGAIN = 2.0
"""Seconds after which a track is looked at again, though its box has not grown."""

BATCH = 32
"""Crops that share an inference, at most."""
GPU_BATCH = 8
"""The same on a GPU, where fewer are made up to so many."""

_CLOSER = 1.2  # times the largest area in which a track was looked at: worth another look


class SecondModel:
    """Classifies the objects of a detector. A stage of the journey: give it every frame of a source, in order.

    It looks at the square around a box. Without tracks it looks at every box of every frame. With tracks it looks at a
    track that is new, that has grown by a fifth, or that it has not looked at for `LOOK_AGAIN` seconds. The answer is
    the mean of the probabilities of all looks, weighted with the areas of the boxes, and stays until the next look.
    Boxes without a number then have none. It does not look into boxes that are predicted.

    Args:
        model: a classifier.
        on: the label ids of the boxes to look at; None: all.
    """

    def __init__(self, model: Model, on: frozenset[int] | None = None) -> None:
        assert model.contract.classifier is not None
        self._labels, self._spec = model.contract.labels, model.contract.classifier
        self._recogniser = Recogniser(model, settle(model.contract, top_k=len(self._labels), threshold=0.0))
        self._batch = BATCH if model.device == "cpu" else GPU_BATCH
        self._on = on
        self._tracks: defaultdict[int, dict[int, _Object]] = defaultdict(dict)

    def __call__(self, recognised: Recognised) -> Recognised:
        """The same frame with `results.then_N`.

        Raises:
            ValueError: its results are not of a detector.
        """
        frame, found = recognised.frame, recognised.results
        if not isinstance(found, Detections):
            raise ValueError("only the boxes of a detector can be looked at")
        pts = 0.0 if frame.pts is None else frame.pts  # images are not tracked
        boxes_N4 = found.boxes_N4.clip(0, (frame.width, frame.height) * 2)
        sides_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
        areas = sides_N2.prod(axis=1).tolist()
        objects = dict(self._objects(found, frame.stream, pts, (sides_N2 > 0).all(axis=1)))
        due = [row for row, each in objects.items() if frame.look != "ahead" and each.is_due(areas[row], pts)]
        for row, scores_C in zip(due, self._look(frame, boxes_N4[due]), strict=True):
            objects[row].add(scores_C, areas[row], pts)
            scores_1C = objects[row].scores_C[None]
            (objects[row].answer,) = best_classes(scores_1C, self._labels, self._spec.top_k, self._spec.threshold)
        then_N = tuple(objects[row].answer if row in objects else None for row in range(len(found)))
        return replace(recognised, results=replace(found, then_N=then_N))

    def forget(self, stream: int) -> None:
        """No frame of this source comes any more."""
        self._tracks.pop(stream, None)

    def _objects(
        self, found: Detections, stream: int, pts: float, keep_N: NDArray[np.bool_]
    ) -> Iterator[tuple[int, _Object]]:
        """The rows to classify among those for which `keep_N` holds, each with what is known of its object."""
        if self._on is not None:
            keep_N = keep_N & np.isin(found.labels_N, list(self._on))
        if found.tracks_N is None:
            yield from ((row, self._new(pts)) for row in np.flatnonzero(keep_N).tolist())
            return
        tracks = {track: each for track, each in self._tracks[stream].items() if pts - each.seen <= LOST_AFTER}
        self._tracks[stream] = tracks
        for row in np.flatnonzero(keep_N & (found.tracks_N > 0)).tolist():
            each = tracks.setdefault(int(found.tracks_N[row]), self._new(pts))
            each.seen = pts
            yield row, each

    def _new(self, pts: float) -> _Object:
        return _Object(np.zeros(len(self._labels), np.float32), pts)

    def _look(self, frame: Frame, boxes_N4: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """The probabilities of every class, float32 [C], for each box."""
        squares = squares_around(boxes_N4, frame.height, frame.width).tolist()
        crops = [
            replace(frame, picture=frame.image[top:bottom, left:right], look=None)
            for left, top, right, bottom in squares
        ]
        for first in range(0, len(crops), self._batch):
            for seen in self._recogniser(crops[first : first + self._batch]):
                assert isinstance(seen.results, Classification)
                scores_C = np.zeros(len(self._labels), np.float32)
                scores_C[seen.results.labels_K] = seen.results.scores_K
                yield scores_C


@dataclass(slots=True)
class _Object:
    """What is known of an object.

    Args:
        scores_C: float32 [C], the mean of the probabilities of its looks, weighted with the areas.
        seen: when it was last there, in seconds.
        looked: when it was last looked at.
        area: in pixels, the largest of its looks; 0: there was none.
        areas: the sum of those of all looks.
    """

    scores_C: NDArray[np.float32]
    seen: float
    looked: float = 0.0
    area: float = 0.0
    areas: float = 0.0
    answer: Classification | None = None

    def is_due(self, area: float, pts: float) -> bool:
        return area > _CLOSER * self.area or pts - self.looked >= LOOK_AGAIN

    def add(self, scores_C: NDArray[np.float32], area: float, pts: float) -> None:
        self.looked, self.area, self.areas = pts, max(self.area, area), self.areas + area
        self.scores_C += (scores_C - self.scores_C) * np.float32(area / self.areas)


def squares_around(boxes_N4: NDArray[np.float32], height: int, width: int) -> NDArray[np.int64]:
    """int64 [N, 4]: first column and row, and those behind the last, of the square around each box.

    Its side is the longer one of the box, so that a classifier sees the whole object undistorted, whether it stretches
    its input or cuts out the middle. It is moved into the frame, and cut where that is smaller.
    """
    first_N2, last_N2 = boxes_N4[:, :2].astype(np.float64), boxes_N4[:, 2:].astype(np.float64)
    limit = np.array((width, height))
    sides_N2 = np.minimum((last_N2 - first_N2).max(axis=1, keepdims=True), limit)
    start_N2 = ((first_N2 + last_N2 - sides_N2) / 2).clip(0, limit - sides_N2)
    return np.hstack((np.floor(start_N2), np.ceil(start_N2 + sides_N2))).astype(np.int64)


def open_second(config: Recognition, first: OnnxModel, settings: Settings, threads: int) -> SecondModel:
    """The second model of a run, on the device of the `first`.

    Args:
        config: its `then` and `on`.
        settings: of the first model.
        threads: as for `OnnxModel`.

    Raises:
        ConfigError: a model whose task does not fit, or a label in `on` that the first model or the run has not.
    """
    assert config.then is not None
    if first.contract.task != "detect":
        raise ConfigError("'then' needs the boxes of a detector, but this model is a classifier")
    on = _settle_on(config.on, first.contract.labels, settings.classes)
    model = OnnxModel(config.then, first.device, threads, cuda_graph=config.cuda_graph, nhwc=config.nhwc)
    model.prepare(1 if model.contract.resize.rule == "graph" else GPU_BATCH)
    if model.contract.task != "classify":
        raise ConfigError(f"'then' needs a classifier, but {config.then} is a detector")
    return SecondModel(model, on)


def _settle_on(
    names: tuple[str, ...], labels: tuple[str, ...], classes: frozenset[int] | None
) -> frozenset[int] | None:
    if not names:
        return None
    try:
        on = find_labels(names, labels)
    except ConfigError as error:
        raise ConfigError(f"'on': {error}") from None
    if classes is not None and (left_out := on - classes):
        raise ConfigError(f"'on' has {labels[min(left_out)]}, but 'classes' leaves it out")
    return on
