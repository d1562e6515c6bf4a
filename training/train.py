"""`onsight train`: from a recipe to the checkpoints, logs and metrics of a run."""

from __future__ import annotations

import errno
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from pipeline.errors import OnsightError, SinkError
from pipeline.sinks.partial import finish, partial_path, writing
from training import runs
from training.callbacks import Average, Checkpoints, EndOnSignal, Interrupted, Journal, Share
from training.checkpoint import check_resumable, read_checkpoint
from training.dataset import save_sheet
from training.job import Job
from training.measure_best import AnyMetrics, measure_best
from training.optim import has_bf16
from training.recipe import Recipe
from training.setup import prepare
from training.trainer import build_trainer, is_first

_SHEET = 32
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code`: 0, or 130 and 143 after a signal. `score`: the best that was monitored; None without validation pictures.
    `metrics`: of the best checkpoint on the test or, failing that, the validation pictures (`split`); None after a
    signal, on other processes than the first, and without such pictures.
    """

    folder: Path
    code: int
    score: float | None
    metrics: AnyMetrics | None
    split: str | None
    waiting: float


def train(recipe: Recipe, output: Path | None = None, resume: Path | None = None, judge: bool = True) -> Outcome:
    """Trains, or goes on training from the checkpoint `resume`; then measures the best checkpoint, if it is to `judge`.

    Raises:
        OnsightError: something that the user can mend; checkpoints saved before are whole.
    """
    folder = runs.choose_folder(recipe, output, resume)
    if resume is not None:
        read_checkpoint(resume)  # what is wrong with it is told before the pictures are decoded
    job = prepare(recipe, _tell, runs.split_file(resume), weights=resume is None)
    if resume is not None:
        check_resumable(resume, recipe, job.samples.classes, job.samples.fingerprint)
    if "bf16" in recipe.run.precision and not has_bf16():
        _tell("this machine only imitates bf16, which takes several times as long: run.precision=32-true is faster")
    journal = Journal(job.train)
    start = len(list(folder.glob("log/version_*")))  # one folder of logs for each start
    trainer = build_trainer(
        recipe,
        folder,
        _callbacks(job, folder, journal),
        [kind(folder, name="log", version=start) for kind in (CSVLogger, TensorBoardLogger)],
        enable_progress_bar=sys.stderr.isatty(),
    )
    if is_first():
        _begin(job, folder, resume)
    if recipe.run.compile:
        job.module.network.compile()
    began = time.perf_counter()
    code = _fit(trainer, job, folder, resume)
    seconds = time.perf_counter() - began
    _tell(
        f"{seconds:.1f} s in all; training waited for data {100 * journal.waiting:.1f} % of its time{_skipped(journal)}"
    )
    kept = trainer.checkpoint_callback
    best = kept.best_model_score if isinstance(kept, ModelCheckpoint) and job.val is not None else None
    score = None if best is None else float(best)
    metrics, split = measure_best(job, folder, _tell) if judge and not code and trainer.is_global_zero else (None, None)
    return Outcome(folder, code, score, metrics, split, journal.waiting)


def _fit(trainer: pl.Trainer, job: Job, folder: Path, resume: Path | None) -> int:
    """Returns the exit code: 0, or that of a signal, which only the first process has."""
    last = folder / runs.LAST
    try:
        trainer.fit(job.module, job.train, job.val, ckpt_path=resume, weights_only=True)
    except Interrupted as ended:
        _tell(f"stopped; go on with --resume {last}")
        return int(ended.code or 0) if trainer.is_global_zero else 0
    except (OnsightError, OSError) as error:
        _end_others(trainer)
        full = isinstance(error, OSError) and error.errno in _FULL
        if full or isinstance(error, SinkError):
            kept = f"; go on with --resume {last}" if last.is_file() else ""
            raise SinkError(f"{_reason(error, folder)}: make room{kept}") from error
        raise
    return 0


def _reason(error: Exception, folder: Path) -> str:
    return f"cannot write into {folder}: {error.strerror}" if isinstance(error, OSError) else str(error)


def _end_others(trainer: pl.Trainer) -> None:
    """Processes that Lightning started for further devices would wait for this one."""
    end = getattr(trainer.strategy.launcher, "kill", None)
    if end is not None:
        end(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def _begin(job: Job, folder: Path, resume: Path | None) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        best = None if resume is None else resume.with_name(runs.BEST)
        if best is not None and best.is_file() and not (folder / runs.BEST).exists():
            shutil.copyfile(best, partial_path(folder / runs.BEST))
            finish(folder / runs.BEST)
    runs.write_recipe(job.recipe, folder)
    job.samples.write_split(folder / runs.SPLIT)
    with writing(folder / runs.SHEET):
        save_sheet(job.train.pictures, folder / runs.SHEET, _SHEET, job.recipe.seed)
    _tell(f"run: {folder}")


def _callbacks(job: Job, folder: Path, journal: Journal) -> list[Callback]:
    run = job.recipe.run
    monitor = None if job.val is None else f"val/{job.recipe.monitor}"
    mode = "min" if monitor == "val/loss" else "max"
    keep: dict[str, Any] = {"dirpath": folder.absolute(), "enable_version_counter": False}
    callbacks: list[Callback] = [
        Share(*filter(None, (job.train, job.val))),
        journal,
        LearningRateMonitor("step"),
        Checkpoints(filename="best", monitor=monitor, mode=mode, save_on_train_epoch_end=True, **keep),
        Checkpoints(filename="last", save_on_train_epoch_end=True, **keep),
    ]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(leave=False))
    if run.ema is not None:
        callbacks.append(Average(run.ema))
    callbacks.append(EndOnSignal(folder / runs.LAST))  # after the average: a step is whole when it is in it
    if run.patience is not None and monitor is not None:
        callbacks.append(EarlyStopping(monitor, patience=run.patience, mode=mode, check_finite=False))
    return callbacks


def _skipped(journal: Journal) -> str:
    return f"; pictures skipped because they cannot be read: {len(journal.unreadable)}" if journal.unreadable else ""


def _tell(line: str) -> None:
    if is_first():
        click.echo(line, err=True)
