"""`onsight evaluate`: one classifier, or two side by side, on pictures whose classes are known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ModelError
from pipeline.sinks.partial import check_folder, partial_path, writing
from pipeline.terms import Device
from training.calibration import apply_temperature, fit_temperature, log_loss, scores_error
from training.evaluation import Calibration, Evaluated, Evaluation, Skipped, compare
from training.metrics import evaluate_scores
from training.predict import Predictions, Subject, Tick, match_classes, open_subject
from training.report import render
from training.samples import Sample
from training.testset import count_trained_on, find_split, labels_of, read_other_split, read_pictures

METRICS, REPORT = "metrics.json", "report.html"

_ENOUGH = 5000  # pictures for the one number that a temperature is

Progress = Callable[[str, int], AbstractContextManager[Tick]]
"""Shows what is done, and to how many pictures."""


@dataclass(frozen=True, slots=True)
class Options:
    """`slice`: column of the CSV, or folder level below the class. `precision`: what thresholds have to reach.
    `split`: a run's split file, for data that brings no splits; None: the one beside a model.
    `store_temperature`: write the fitted temperature into each checkpoint.
    """

    slice: str | None = None
    split: Path | None = None
    precision: float = 0.95
    device: Device = "auto"
    batch: int = 32
    store_temperature: bool = False


@contextmanager
def _silent(what: str, total: int) -> Iterator[Tick]:
    yield lambda: None


def evaluate(
    models: Sequence[Path], data: Path, output: Path, options: Options, progress: Progress = _silent
) -> Evaluation:
    """Evaluates one or two models and writes `report.html` and `metrics.json` into the folder `output`.

    Both files appear when they are whole; the folder is made if only it is missing.

    Raises:
        OnsightError: something that the user can mend; nothing was written then, but for the temperature of a first
            checkpoint where the disk fills up with the second.
    """
    check_folder(output if os.path.exists(output) else output.absolute().parent)
    checkpoints = [path for path in models if _takes_temperature(path)] if options.store_temperature else []
    if options.store_temperature and not checkpoints:
        raise ConfigError(f"a temperature is stored in a checkpoint, and {models[0]} is none: give the checkpoint, too")
    for path in checkpoints:
        check_folder(path.absolute().parent)
    subjects = [open_subject(path, options.device) for path in models]
    evaluation = measure(subjects, data, options, progress)
    with _written(output, {METRICS: evaluation.dump(), REPORT: render(evaluation)}):
        for model in evaluation.models:
            if model.calibration.stored:
                from training.checkpoint import store_temperature

                store_temperature(model.path, model.calibration.temperature)
    return evaluation


def measure(subjects: Sequence[Subject], data: Path, options: Options, progress: Progress = _silent) -> Evaluation:
    """What `evaluate` finds out; writes nothing."""
    first = subjects[0]
    orders = [match_classes(subject, first) for subject in subjects]
    split = options.split or find_split(subjects)
    samples = read_pictures(data, first, options.slice, split)
    predicted = [_predict(subject, samples, options, progress) for subject in subjects]
    unread = {i: reason for each in reversed(predicted) for i, reason in each.unread.items()}
    kept = [i for i in range(len(samples)) if i not in unread]
    if not kept:
        raise ConfigError(f"none of the {len(samples)} pictures of {data} can be read: {unread[0]}")
    read = [samples[i] for i in kept]
    labels_N = labels_of(read)
    groups = [sample.group for sample in read] if options.slice is not None else None
    names = [_name(subject.path) for subject in subjects]
    if len(set(names)) < len(names):
        names = [str(subject.path) for subject in subjects]
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
        trained_on=count_trained_on(subjects, read),
        version=version("onsight"),
    )


def _name(model: Path) -> str:
    """Checkpoints are called alike: the folder of the run tells them apart."""
    return model.name if model.suffix.lower() == ".onnx" else "/".join(model.absolute().parts[-2:])


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
        stored=options.store_temperature and _takes_temperature(subject.path),
        ece=scores_error(apply_temperature(scores_NC, factor), labels_N),
        log_loss_before=log_loss(scores_NC, labels_N),
        log_loss=log_loss(scores_NC, labels_N, factor),
    )


def _takes_temperature(model: Path) -> bool:
    return model.suffix.lower() != ".onnx"


@contextmanager
def _written(folder: Path, texts: dict[str, str]) -> Iterator[None]:
    """Around what has to succeed first: the files are on the disk before it, and get their names after it."""
    partials = {partial_path(folder / name): folder / name for name in texts}
    there = folder.is_dir()
    with writing(folder):
        folder.mkdir(exist_ok=True)
        try:
            for partial, text in zip(partials, texts.values(), strict=True):
                partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            yield
            for partial, path in partials.items():
                os.replace(partial, path)
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)
            if not there and not any(folder.iterdir()):
                folder.rmdir()
