"""Classifiers on pictures whose classes are known: what each of them answers, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ModelError
from training.box_layouts import find_boxes
from training.calibration import apply_temperature, fit_temperature, log_loss, scores_error
from training.evaluation import Calibration, Evaluated, Evaluation, Skipped, compare
from training.metrics import evaluate_scores
from training.options import Options
from training.predict import Predictions, Progress, Subject, match_classes, name_models
from training.samples import Sample
from training.testset import count_known, find_known, find_split, labels_of, read_other_split, read_pictures

_ENOUGH = 5000  # pictures for the one number that a temperature is


def measure_classes(subjects: Sequence[Subject], data: Path, options: Options, progress: Progress) -> Evaluation:
    """One classifier, or two side by side; writes nothing."""
    first = subjects[0]
    orders = [match_classes(subject, first) for subject in subjects]
    data, split = find_split(data, options.split, subjects)
    samples = _read_pictures(data, first, options.slice, split)
    known = find_known(subjects)
    predicted = [_predict(subject, samples, options, progress) for subject in subjects]
    unread = {i: reason for each in reversed(predicted) for i, reason in each.unread.items()}
    kept = [i for i in range(len(samples)) if i not in unread]
    if not kept:
        raise ConfigError(f"none of the {len(samples)} pictures of {data} can be read: {unread[0]}")
    read = [samples[i] for i in kept]
    labels_N = labels_of(read)
    groups = [sample.group for sample in read] if options.slice is not None else None
    names = name_models([subject.path for subject in subjects])
    evaluated = []
    for subject, name, order, found in zip(subjects, names, orders, predicted, strict=True):
        scores_NC = found.scores_NC[kept][:, order]
        metrics = evaluate_scores(scores_NC, labels_N, first.classes, groups, precision=options.precision)
        calibration = _calibrate(subject, (data, split), options, scores_NC, labels_N, progress)
        evaluated.append(Evaluated(name, subject.path, subject.how, scores_NC, metrics, calibration))
    return Evaluation(
        data=data,
        slice=options.slice,
        classes=first.classes,
        paths=tuple(sample.path for sample in read),
        labels_N=labels_N,
        models=tuple(evaluated),
        comparison=compare(evaluated[0], evaluated[1], labels_N) if len(evaluated) > 1 else None,
        skipped=tuple(Skipped(str(samples[i].path), unread[i]) for i in sorted(unread)),
        trained_on=count_known(known, (sample.path for sample in read)),
        version=version("onsight"),
    )


def _read_pictures(data: Path, first: Subject, slice: str | None, split: Path | None) -> tuple[Sample, ...]:
    try:
        return read_pictures(data, first, slice, split)
    except ConfigError:
        if find_boxes(data) is not None:
            what = f"{data} says where objects are, but {first.path} is a classifier"
            raise ConfigError(f"{what}: give class folders or a CSV, or a detector") from None
        raise


def _predict(subject: Subject, samples: Sequence[Sample], options: Options, progress: Progress) -> Predictions:
    with progress(subject.path.name, len(samples)) as tick:
        found = subject.predict([sample.path for sample in samples], options.batch, tick)
    broken = np.flatnonzero(~np.isfinite(found.scores_NC).all(1))
    if len(broken):
        raise ModelError(f"{subject.path} gives scores that are no numbers, for {samples[broken[0]].path} first")
    return found


def _calibrate(
    subject: Subject,
    where: tuple[Path, Path | None],
    options: Options,
    scores_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    progress: Progress,
) -> Calibration:
    """Fits a temperature on another split than the reported one, if the data set, with its split file, has one."""
    fitted_on, factor = "the reported pictures themselves, for want of another split", None
    if other := read_other_split(*where, subject.classes):
        folder, samples = other
        samples = samples[:: -(-len(samples) // _ENOUGH)]
        found = _predict(subject, samples, options, progress)
        if kept := [i for i in range(len(samples)) if i not in found.unread]:
            factor = fit_temperature(found.scores_NC[kept], labels_of([samples[i] for i in kept]))
            fitted_on = f"{len(kept)} pictures of {folder}"
    factor = factor or fit_temperature(scores_NC, labels_N)
    return Calibration(
        temperature=factor * subject.temperature,
        factor=factor,
        fitted_on=fitted_on,
        stored=options.store_temperature and takes_temperature(subject.path),
        ece=scores_error(apply_temperature(scores_NC, factor), labels_N),
        log_loss_before=log_loss(scores_NC, labels_N),
        log_loss=log_loss(scores_NC, labels_N, factor),
    )


def takes_temperature(model: Path) -> bool:
    """Whether a model file can store one."""
    return model.suffix.lower() != ".onnx"
