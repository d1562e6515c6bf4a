"""Detectors on pictures whose objects are known: what each of them finds, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.types import Detections
from training.annotated import AnnotatedImage, read_annotated
from training.coco import average_precision
from training.evaluation import Skipped
from training.evaluation_boxes import BoxEvaluation, EvaluatedBoxes, Protocol, compare_boxes
from training.metrics_boxes import evaluate_boxes
from training.options import Options
from training.predict import BoxSubject, Progress, match_classes, name_models
from training.predict_boxes import BoxPredictions, check_sizes, detect
from training.testset import count_known, find_known, find_split

SCORE, IOU, BOXES = 0.001, 0.65, 300
"""Lowest score, suppression and boxes a picture of the usual mAP of YOLOX and its kin."""


def measure_boxes(detectors: Sequence[BoxSubject], data: Path, options: Options, progress: Progress) -> BoxEvaluation:
    """One detector, or two side by side; writes nothing.

    Raises:
        OnsightError: data that cannot be read or does not fit, or detectors that cannot be compared.
    """
    first = detectors[0]
    orders = [match_classes(each, first) for each in detectors]
    data, split = find_split(data, options.split, detectors)
    annotated = read_annotated(data, first.classes, split)
    images = annotated.images
    known = find_known(detectors)
    seen = [_detect(each, images, options, progress) for each in detectors]
    unread = {i: reason for taken in reversed(seen) for i, reason in taken.unread.items()}
    kept = [i for i in range(len(images)) if i not in unread]
    truth = tuple(images[i] for i in kept)
    if not any((~image.crowd_N).any() for image in truth):
        why = unread[min(unread)] if unread else "there are only crowds"
        raise ConfigError(f"no picture of {data} that can be read shows an object: {why}")
    evaluated = []
    names = name_models([each.path for each in detectors])
    for detector, name, order, taken in zip(detectors, names, orders, seen, strict=True):
        strict, shown = (_renumber(found, kept, order, first.classes) for found in (taken.strict, taken.shown))
        spec = detector.spec
        metrics = evaluate_boxes(
            truth,
            shown,
            first.classes,
            average_precision(truth, strict, first.classes, BOXES),
            threshold=spec.threshold if options.threshold is None else options.threshold,
            precision=options.precision,
        )
        iou, stream_iou = (IOU, spec.iou) if spec.nms else (None, None)
        tiles = None if options.tiles is None else "{}x{}".format(*options.tiles)
        protocol = Protocol(SCORE, BOXES, iou, stream_iou, tiles)
        evaluated.append(EvaluatedBoxes(name, detector.path, detector.how, protocol, shown, metrics))
    return BoxEvaluation(
        data=data,
        labels=first.classes,
        images=truth,
        models=tuple(evaluated),
        comparison=compare_boxes(evaluated[0].metrics, evaluated[1].metrics) if len(evaluated) > 1 else None,
        skipped=tuple(Skipped(str(images[i].path), unread[i]) for i in sorted(unread)),
        trained_on=count_known(known, (image.path for image in truth)),
        cut=annotated.cut,
        left_out=annotated.dropped,
        version=version("onsight"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What one detector found in each picture: as COCO's figures take it (`strict`), and as a stream shows it."""

    strict: tuple[Detections, ...]
    shown: tuple[Detections, ...]
    unread: dict[int, str]


def _detect(detector: BoxSubject, images: Sequence[AnnotatedImage], options: Options, progress: Progress) -> _Seen:
    """Two ways to suppress overlaps are two passes: what one leaves out, the other would have let suppress others."""
    spec, paths = detector.spec, [image.path for image in images]

    def take(iou: float | None) -> BoxPredictions:
        with progress(detector.path.name, len(paths)) as tick:
            found = detect(
                detector.model,
                paths,
                threshold=SCORE,
                iou=iou,
                tiles=options.tiles,
                shown=options.threshold,
                batch=options.batch,
                tick=tick,
            )
        check_sizes(images, found)
        return found

    shown = take(None)
    strict = take(IOU) if spec.nms and spec.iou != IOU else shown
    best = tuple(found.where(np.arange(len(found)) < BOXES) for found in strict.found)
    return _Seen(best, shown.found, shown.unread | strict.unread)


def _renumber(
    found: Sequence[Detections], kept: Sequence[int], order: Sequence[int], labels: tuple[str, ...]
) -> tuple[Detections, ...]:
    """Those of the pictures `kept` by the numbers of the first model; `order`: the numbers that each replaces."""
    numbers = np.argsort(order)
    return tuple(replace(found[i], labels_N=numbers[found[i].labels_N], names=labels) for i in kept)
