"""The model as a stage: frames in, results in pixels of the frame out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import prod

import numpy as np
from numpy.typing import NDArray

from pipeline import cuda
from pipeline.contract import ModelContract
from pipeline.model import Model, Outputs
from pipeline.postprocess import best_classes, find_hidden, find_objects
from pipeline.preprocess import Geometry, plan_geometry, write_input
from pipeline.settings import Settings
from pipeline.tiles import join_hidden, join_objects, plan_views
from pipeline.types import Classification, Detections, Frame, Frames, Recognised, Results

VIEWS = 8  # views of a frame that share an inference at most: each one more takes the memory of a frame more
_BOXES = 300  # of a view, the best: joining those of all views takes the square of their number


class Recogniser:
    """Runs a model on frames. Owns its batch buffer: each thread has a recogniser of its own; the model is shared."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._buffer = np.empty(0, np.uint8)
        self._nothing = _nothing(model.contract)

    def __call__(self, frames: list[Frame]) -> list[Recognised]:
        """Recognises frames of any sizes; those whose inputs have the same size share a batch.

        Where the settings have tiles, the views of each frame share batches instead. A frame that is not to be looked
        at has no results.
        """
        looked = iter(self._look([frame for frame in frames if frame.looked]))
        return [next(looked) if frame.looked else Recognised(frame, self._nothing) for frame in frames]

    def _look(self, frames: list[Frame]) -> list[Recognised]:
        if self._settings.tiles is None:
            return self._as_they_are(frames)
        return [self._in_tiles(frame, *self._settings.tiles) for frame in frames]

    def _in_tiles(self, frame: Frame, columns: int, rows: int) -> Recognised:
        views_V4 = plan_views(frame.height, frame.width, columns, rows)
        views = [replace(frame, picture=frame.image[y1:y2, x1:x2]) for x1, y1, x2, y2 in views_V4.tolist()]
        seen = [each for i in range(0, len(views), VIEWS) for each in self._as_they_are(views[i : i + VIEWS])]
        found = [each.results for each in seen if isinstance(each.results, Detections)]
        found = [each.where(np.arange(len(each)) < _BOXES) for each in found]
        hidden = [each.hide_N4 for each in seen if each.hide_N4 is not None]
        objects = join_objects(views_V4, found, self._settings.thresholds_C)
        return Recognised(frame, objects, join_hidden(views_V4, hidden) if hidden else None)

    def _as_they_are(self, frames: list[Frame]) -> list[Recognised]:
        return [recognised for batch in self.batches(frames) for recognised in self._recognise(*batch)]

    def batches(self, frames: list[Frame]) -> Iterator[tuple[list[Frame], list[Geometry]]]:
        """Frames in a row whose inputs have the same size, and how each lies in its input."""
        contract = self._model.contract
        planned = [(f, plan_geometry(f.height, f.width, contract.input, contract.resize)) for f in frames]
        for _, group in groupby(planned, key=lambda pair: (pair[1].height, pair[1].width)):
            batch = list(group)
            yield [frame for frame, _ in batch], [geometry for _, geometry in batch]

    def _recognise(self, frames: list[Frame], geometries: list[Geometry]) -> list[Recognised]:
        return self.results(self._model.infer(self.inputs(frames, geometries)), frames, geometries)

    def results(self, outputs: Outputs, frames: list[Frame], geometries: list[Geometry]) -> list[Recognised]:
        """What the model's `outputs` for a batch say of each of its frames."""
        found, hidden = self._objects(outputs, geometries), self._hidden(outputs, geometries)
        return [Recognised(*each) for each in zip(frames, found, hidden, strict=True)]

    def inputs(self, frames: list[Frame], geometries: list[Geometry]) -> Frames:
        """The input of the model for a batch. It lies in the recogniser's buffer, which the next one overwrites."""
        if self._model.contract.resize.rule == "graph":
            lent = [frame.on_device for frame in frames]
            on_device = [each for each in lent if each is not None]
            if len(on_device) == len(frames) and self._model.device != "cpu":
                return on_device
            if len(frames) == 1:
                return np.ascontiguousarray(frames[0].image[None])
        shape = (len(frames), geometries[0].height, geometries[0].width, 3)
        size = prod(shape)
        if self._buffer.size < size:
            self._grow(size)
        inputs_BHW3 = self._buffer[:size].reshape(shape)
        for frame, geometry, input_HW3 in zip(frames, geometries, inputs_BHW3, strict=True):
            write_input(frame.image, geometry, input_HW3)
        return inputs_BHW3

    def _grow(self, size: int) -> None:
        if self._model.device == "cpu":
            self._buffer = np.empty(size, np.uint8)
            return
        larger = cuda.pinned(size)
        with cuda.turnstile.together():  # the smaller one is given back
            self._buffer = larger

    def _objects(self, outputs: Outputs, geometries: list[Geometry]) -> Sequence[Results]:
        contract, settings = self._model.contract, self._settings
        if contract.task == "classify":
            return best_classes(outputs["scores"], contract.labels, settings.top_k, settings.thresholds_C)
        rows = (outputs["boxes"], outputs["scores"], outputs["labels"])
        return find_objects(*rows, geometries, contract.labels, settings.lowest_C, settings.iou, settings.kept)

    def _hidden(self, outputs: Outputs, geometries: list[Geometry]) -> Sequence[NDArray[np.float32] | None]:
        settings = self._settings
        if settings.hide is None:
            return [None] * len(geometries)
        rows = (outputs["boxes"], outputs["scores"], outputs["labels"])
        return find_hidden(*rows, geometries, settings.hide, settings.hide_threshold)


def _nothing(contract: ModelContract) -> Results:
    labels_N, scores_N = np.empty(0, np.int64), np.empty(0, np.float32)
    if contract.task == "classify":
        return Classification(labels_N, scores_N, contract.labels)
    return Detections(np.empty((0, 4), np.float32), labels_N, scores_N, contract.labels)
