"""What a detector finds in every picture, through the runtime itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError, ModelError
from pipeline.model import Model
from pipeline.settings import settle
from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.box_refusals import tell_other_size
from training.predict import Tick, recognise_pictures


@dataclass(frozen=True, slots=True, eq=False)
class BoxPredictions:
    """What was found in each picture.

    Args:
        found: boxes in pixels of the picture, one item for each; of one that could not be read, no boxes.
        sizes: height and width of each picture as the runtime sees it, 0 of one that could not be read. They differ
            from the annotated ones where a picture was turned or replaced since: its boxes fit nothing then.
        unread: for each picture that could not be read its place and the reason, which names it.
    """

    found: tuple[Detections, ...]
    sizes: tuple[tuple[int, int], ...]
    unread: dict[int, str]


def detect(
    model: Model,
    paths: Sequence[Path],
    *,
    threshold: float = 0.001,
    iou: float | None = None,
    tiles: tuple[int, int] | None = None,
    shown: float | None = None,
    batch: int = 8,
    tick: Tick = lambda: None,
) -> BoxPredictions:
    """Finds objects in pictures, which take the way of a stream's: the same reading, resizing, batching and inference.

    Args:
        threshold: the lowest score to keep; a low one, for a curve of precision that is whole.
        iou: boxes of a class that overlap by more are one object; None: as the contract says.
        tiles: the columns and rows that pictures are cut into, too; None: they are looked at as a whole.
        shown: from which score on a stream would show boxes, which decides what becomes of pieces in tiles; None: as
            the contract says.
        batch: pictures that share one inference.
        tick: called for each picture that was read.

    Raises:
        ModelError: it is a classifier. ContractError: it finds a class for which it has no label.
        ConfigError: `iou` is given, and the graph leaves nothing to suppress.
    """
    contract = model.contract
    if contract.task != "detect":
        raise ModelError("the model is a classifier: it finds no boxes; give a detector")
    lowest_C = np.full(len(contract.labels), threshold, np.float32)
    settings = replace(settle(contract, threshold=shown, iou=iou, tiles=tiles), lowest_C=lowest_C)
    nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32), contract.labels)
    found, sizes, unread = [nothing] * len(paths), [(0, 0)] * len(paths), dict[int, str]()
    with closing(recognise_pictures(model, settings, paths, batch, unread)) as pictures:
        for recognised in pictures:
            frame, results = recognised.frame, recognised.results
            assert isinstance(results, Detections)
            found[frame.index], sizes[frame.index] = results, (frame.height, frame.width)
            tick()
    return BoxPredictions(tuple(found), tuple(sizes), unread)


def check_sizes(images: Sequence[AnnotatedImage], seen: BoxPredictions) -> None:
    """Every picture that could be read has to have the size that its annotation says.

    Raises:
        ConfigError: one has not.
    """
    for i, (image, (height, width)) in enumerate(zip(images, seen.sizes, strict=True)):
        if i not in seen.unread and (height, width) != (image.height, image.width):
            raise ConfigError(tell_other_size(image.path, (width, height), (image.width, image.height)))
