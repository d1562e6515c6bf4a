"""What the best checkpoint of a run is worth, on pictures that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from training import runs
from training.annotated import AnnotatedImage
from training.coco import average_precision
from training.job import Job, Tell
from training.metrics import Metrics, evaluate_scores
from training.metrics_boxes import BoxMetrics, evaluate_boxes
from training.predict import BoxSubject
from training.predict_boxes import check_sizes, detect
from training.predict_torch import TorchSubject, open_checkpoint
from training.samples import Sample

AnyMetrics: TypeAlias = Metrics | BoxMetrics


def measure_best(job: Job, folder: Path, tell: Tell) -> tuple[AnyMetrics | None, str | None]:
    """Measures best.ckpt as the runtime would see it, and writes metrics.json.

    Returns:
        The metrics and their split: test or, failing that, val; None without such pictures.
    """
    split, samples = ("test", job.samples.test) if job.samples.test else ("val", job.samples.val)
    if not samples:
        return None, None
    subject = open_checkpoint(folder / runs.BEST, "auto")
    measure: Any = _measure_boxes if isinstance(subject, BoxSubject) else _measure_classes
    metrics: AnyMetrics | None = measure(subject, samples, job, tell)
    if metrics is None:
        return None, None
    runs.write_metrics({"split": split, **metrics.to_json()}, folder)
    return metrics, split


def summarise(metrics: AnyMetrics) -> str:
    """A few words."""
    if isinstance(metrics, Metrics):
        low, high = metrics.intervals["accuracy"]
        return f"accuracy {metrics.accuracy:.4f} ({low:.4f} to {high:.4f})"
    average, point = metrics.average, metrics.point
    return (
        f"mAP {average.map or 0:.4f}, mAP50 {average.map50 or 0:.4f}, mAP75 {average.map75 or 0:.4f}; "
        f"F1 {point.f1:.4f} from a score of {point.threshold:.3g} on"
    )


def _measure_classes(subject: TorchSubject, samples: Sequence[Sample], job: Job, tell: Tell) -> Metrics | None:
    found = subject.predict([sample.path for sample in samples], job.recipe.data.batch, lambda: None)
    kept = _kept(len(samples), found.unread, tell)
    if not kept:
        return None
    labels_N = np.array([samples[i].label for i in kept], np.int64)
    groups = [samples[i].group for i in kept] if job.recipe.data.slice is not None else None
    return evaluate_scores(found.scores_NC[kept], labels_N, job.samples.classes, groups)


def _measure_boxes(subject: BoxSubject, images: Sequence[AnnotatedImage], job: Job, tell: Tell) -> BoxMetrics | None:
    """Overlaps are suppressed as a stream suppresses them."""
    seen = detect(subject.model, [image.path for image in images], batch=job.recipe.data.batch)
    check_sizes(images, seen)
    kept = _kept(len(images), seen.unread, tell)
    if not kept:
        return None
    truth, found = [images[i] for i in kept], [seen.found[i] for i in kept]
    average = average_precision(truth, found, subject.classes)
    return evaluate_boxes(truth, found, subject.classes, average, threshold=subject.spec.threshold)


def _kept(count: int, unread: dict[int, str], tell: Tell) -> list[int]:
    if unread:
        tell(f"{len(unread)} of {count} pictures to judge by cannot be read, and are left out")
    return [i for i in range(count) if i not in unread]
