"""`onsight evaluate`: one classifier, or two side by side, on pictures whose classes are known."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ModelError, OnsightError
from pipeline.sinks.partial import check_folder, partial_path, writing
from pipeline.terms import Device
from training.calibration import apply_temperature, fit_temperature, log_loss, scores_error
from training.evaluation import Calibration, Comparison, Evaluated, Evaluation, Skipped
from training.intervals import paired_difference
from training.listing import SPLITS
from training.metrics import evaluate_scores
from training.predict import Predictions, Subject, Tick, open_subject
from training.report import render
from training.samples import Sample, read_split

METRICS, REPORT = "metrics.json", "report.html"

_ENOUGH = 5000  # pictures for the one number that a temperature is

Progress = Callable[[str, int], AbstractContextManager[Tick]]
"""Shows what is done, and to how many pictures."""


@dataclass(frozen=True, slots=True)
class Options:
    """`slice`: column of the CSV, or folder level below the class. `precision`: what thresholds have to reach.
    `store_temperature`: write the fitted temperature into the checkpoint.
    """

    slice: str | None = None
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
        OnsightError: something that the user can mend; nothing was written then.
    """
    check_folder(output if output.exists() else output.absolute().parent)
    if options.store_temperature and models[0].suffix.lower() == ".onnx":
        raise ConfigError(
            f"a temperature is stored in a checkpoint, and {models[0]} is none: give the checkpoint first"
        )
    subjects = [open_subject(path, options.device) for path in models]
    evaluation = measure(subjects, data, options, progress)
    page = render(evaluation)
    if options.store_temperature:
        from training.checkpoint import store_temperature

        store_temperature(models[0], evaluation.models[0].calibration.temperature)
    _write(output, {METRICS: evaluation.dump(), REPORT: page})
    return evaluation


def measure(subjects: Sequence[Subject], data: Path, options: Options, progress: Progress = _silent) -> Evaluation:
    """What `evaluate` finds out; writes nothing."""
    first = subjects[0]
    orders = [_match(subject, first) for subject in subjects]
    samples = _read_samples(data, subjects, options.slice)
    predicted = [_predict(subject, samples, options, progress) for subject in subjects]
    unread = {i: reason for each in reversed(predicted) for i, reason in each.unread.items()}
    kept = [i for i in range(len(samples)) if i not in unread]
    if not kept:
        raise ConfigError(f"none of the {len(samples)} pictures of {data} can be read: {unread[0]}")
    read = [samples[i] for i in kept]
    labels_N = _labels(read)
    groups = [sample.group for sample in read] if options.slice is not None else None
    names = [_name(subject.path) for subject in subjects]
    if len(set(names)) < len(names):
        names = [str(subject.path) for subject in subjects]
    evaluated = []
    for subject, name, order, found in zip(subjects, names, orders, predicted, strict=True):
        scores_NC = found.scores_NC[kept][:, order]
        metrics = evaluate_scores(scores_NC, labels_N, first.classes, groups, precision=options.precision)
        calibration = _calibrate(subject, data, options, scores_NC, labels_N, progress)
        evaluated.append(Evaluated(name, subject.path, subject.how, scores_NC, metrics, calibration))
    return Evaluation(
        data=data,
        slice=options.slice,
        classes=first.classes,
        paths=tuple(sample.path for sample in read),
        labels_N=labels_N,
        models=tuple(evaluated),
        comparison=_compare(evaluated[0], evaluated[1], labels_N) if len(evaluated) > 1 else None,
        skipped=tuple(Skipped(str(samples[i].path), unread[i]) for i in sorted(unread)),
        trained_on=_count_trained_on(subjects, read),
        version=version("onsight"),
    )


def _name(model: Path) -> str:
    """Checkpoints are called alike: the folder of the run tells them apart."""
    return model.name if model.suffix.lower() == ".onnx" else "/".join(model.absolute().parts[-2:])


def _match(subject: Subject, first: Subject) -> list[int]:
    """Where each class of `first` stands among those of `subject`: models are compared by name, not by number."""
    if subject.classes == first.classes:
        return list(range(len(first.classes)))
    strange = sorted(set(subject.classes) ^ set(first.classes))
    if strange or len(set(first.classes)) < len(first.classes):
        named = ", ".join(strange[:3]) or "names that occur twice"
        raise ConfigError(f"{first.path} and {subject.path} know different classes ({named}): evaluate them one by one")
    return [subject.classes.index(label) for label in first.classes]


def _read_samples(data: Path, subjects: Sequence[Subject], slice: str | None) -> tuple[Sample, ...]:
    first = subjects[0]
    _, samples = read_split(data, first.classes, slice=slice, split=_split_file(subjects))
    if not samples:
        raise ConfigError(f"{data} holds no pictures: give another folder or CSV")
    twice = {label for label, count in Counter(first.classes).items() if count > 1}
    if used := twice & {first.classes[sample.label] for sample in samples}:
        raise ConfigError(f"{first.path} has several classes called {min(used)!r}: they cannot be told apart by name")
    return samples


def _split_file(subjects: Sequence[Subject]) -> Path | None:
    """The split that a run wrote down beside its checkpoint."""
    files = (subject.path.with_name("split.csv") for subject in subjects)
    return next((file for file in files if file.is_file()), None)


def _count_trained_on(subjects: Sequence[Subject], samples: Sequence[Sample]) -> int:
    """How many of the samples a model has been trained on: they prove nothing."""
    known = frozenset[str]().union(*(subject.trained_on() for subject in subjects))
    return sum(os.path.abspath(sample.path) in known for sample in samples) if known else 0


def _predict(subject: Subject, samples: Sequence[Sample], options: Options, progress: Progress) -> Predictions:
    with progress(subject.path.name, len(samples)) as tick:
        found = subject.predict([sample.path for sample in samples], options.batch, tick)
    broken = np.flatnonzero(~np.isfinite(found.scores_NC).all(1))
    if len(broken):
        raise ModelError(f"{subject.path} gives scores that are no numbers, for {samples[broken[0]].path} first")
    return found


def _calibrate(
    subject: Subject,
    data: Path,
    options: Options,
    scores_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    progress: Progress,
) -> Calibration:
    """Fits a temperature on another split than the reported one, if the data set has one."""
    fitted_on, factor = "the reported pictures themselves, for want of another split", None
    if other := _other_split(data, subject):
        where, samples = other
        samples = samples[:: -(-len(samples) // _ENOUGH)]
        found = _predict(subject, samples, options, progress)
        if kept := [i for i in range(len(samples)) if i not in found.unread]:
            factor = fit_temperature(found.scores_NC[kept], _labels([samples[i] for i in kept]))
            fitted_on = f"{len(kept)} pictures of {where}"
    factor = factor or fit_temperature(scores_NC, labels_N)
    return Calibration(
        temperature=factor * subject.temperature,
        factor=factor,
        fitted_on=fitted_on,
        stored=options.store_temperature and subject.path.suffix.lower() != ".onnx",
        ece=scores_error(apply_temperature(scores_NC, factor), labels_N),
        log_loss_before=log_loss(scores_NC, labels_N),
        log_loss=log_loss(scores_NC, labels_N, factor),
    )


def _other_split(data: Path, subject: Subject) -> tuple[Path, tuple[Sample, ...]] | None:
    """Validation pictures, or test pictures where validation is reported; never those that were trained on."""
    split = SPLITS.get(data.name.lower())
    if split is None:
        return None
    where = data.with_name("test" if split == "val" else "val")
    try:
        _, samples = read_split(where, subject.classes, split=_split_file([subject]))
    except OnsightError:
        return None
    return (where, samples) if samples else None


def _compare(first: Evaluated, second: Evaluated, labels_N: NDArray[np.int64]) -> Comparison:
    first_N, second_N = first.scores_NC.argmax(1), second.scores_NC.argmax(1)
    first_right_N, second_right_N = first_N == labels_N, second_N == labels_N
    difference_NC = np.abs(first.scores_NC - second.scores_NC)
    return Comparison(
        agreement=float((first_N == second_N).mean()),
        disagreements=int((first_N != second_N).sum()),
        only_first_right=int((first_right_N & ~second_right_N).sum()),
        only_second_right=int((second_right_N & ~first_right_N).sum()),
        accuracy_difference=second.metrics.accuracy - first.metrics.accuracy,
        interval=paired_difference(first_right_N, second_right_N),
        mean_difference=float(difference_NC.mean()),
        largest_difference=float(difference_NC.max()),
    )


def _labels(samples: Sequence[Sample]) -> NDArray[np.int64]:
    return np.array([sample.label for sample in samples], np.int64)


def _write(folder: Path, texts: dict[str, str]) -> None:
    with writing(folder):
        folder.mkdir(exist_ok=True)
        partials = {partial_path(folder / name): folder / name for name in texts}
        try:
            for partial, text in zip(partials, texts.values(), strict=True):
                partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            for partial, path in partials.items():
                os.replace(partial, path)
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)
