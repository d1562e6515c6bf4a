"""`onsight evaluate`: one model, or two side by side, on pictures of which is known what they show."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.sinks.partial import check_folder, partial_path, writing
from training.evaluation import Evaluated, Evaluation
from training.evaluation_boxes import BoxEvaluation
from training.measure_boxes import measure_boxes
from training.measure_classes import measure_classes, takes_temperature
from training.options import Options as Options
from training.predict import BoxSubject, Progress, Subject, Tick, open_subject
from training.report import render
from training.report_boxes import render_boxes

METRICS, REPORT = "metrics.json", "report.html"


@contextmanager
def _silent(what: str, total: int) -> Iterator[Tick]:
    yield lambda: None


def evaluate(
    models: Sequence[Path], data: Path, output: Path, options: Options, progress: Progress = _silent
) -> Evaluation | BoxEvaluation:
    """Evaluates one or two models and writes `report.html` and `metrics.json` into the folder `output`.

    Both files appear when they are whole; the folder is made if only it is missing.

    Raises:
        OnsightError: something that the user can mend; nothing was written then, but for the temperature of a first
            checkpoint where the disk fills up with the second.
    """
    check_folder(output if os.path.exists(output) else output.absolute().parent)
    checkpoints = [path for path in models if takes_temperature(path)] if options.store_temperature else []
    if options.store_temperature and not checkpoints:
        raise ConfigError(f"a temperature is stored in a checkpoint, and {models[0]} is none: give the checkpoint, too")
    for path in checkpoints:
        check_folder(path.absolute().parent)
    subjects = [open_subject(path, options.device) for path in models]
    detectors = [each for each in subjects if isinstance(each, BoxSubject)]
    classifiers = [each for each in subjects if not isinstance(each, BoxSubject)]
    _check_task(detectors, classifiers, options)
    evaluation: Evaluation | BoxEvaluation
    if detectors:
        evaluation = measure_boxes(detectors, data, options, progress)
        page = render_boxes(evaluation)
    else:
        evaluation = measure_classes(classifiers, data, options, progress)
        page = render(evaluation)
    with _written(output, {METRICS: evaluation.dump(), REPORT: page}):
        for model in evaluation.models:
            if isinstance(model, Evaluated) and model.calibration.stored:
                from training.checkpoint import store_temperature

                store_temperature(model.path, model.calibration.temperature)
    return evaluation


def _check_task(detectors: Sequence[BoxSubject], classifiers: Sequence[Subject], options: Options) -> None:
    if detectors and classifiers:
        kinds = f"{detectors[0].path} is a detector and {classifiers[0].path} a classifier"
        raise ConfigError(f"{kinds}: evaluate them one by one")
    this, other = ("detector", "classifier") if detectors else ("classifier", "detector")
    for name in ("slice", "store_temperature") if detectors else ("threshold", "tiles"):
        if getattr(options, name) not in (None, False):
            raise ConfigError(f"'{name}' is for {other}s, but {(detectors or classifiers)[0].path} is a {this}")


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
