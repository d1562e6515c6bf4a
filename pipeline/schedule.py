"""How many threads do what: decided here for the whole process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

DECODE_THREADS = 1  # of a video's decoder: each one more costs a frame of delay and of memory
_MOST_WORKERS = 16  # one decoder feeds no more of small networks; each costs memory for a frame and an inference
_LATENCY_WORKERS = 2  # on a CPU, if it has as many cores: no inference that is late holds up the next
_MOST_BATCHES = 8  # in flight on a GPU; each costs memory for itself there and on the host
_MOST_PASSING = 16  # frames without an inference that are under way beside those with one; each costs its memory
_GPU_BATCH = 8
_GPU_WAIT = 0.005  # seconds: what a camera's picture may get older, for an inference less
_GPU_FILL = 0.05  # and one of a file: a decoder has filled a batch long before


@dataclass(frozen=True, slots=True)
class Schedule:
    """Threads and queues of a run.

    Attributes:
        mode: what it is made for.
        workers: inferences side by side, at most.
        alone: an inference is to have all cores, or the GPU, to itself: another begins beside it only where it is late.
        batch: frames that share an inference at most.
        wait: seconds, at most, for which a frame waits for others to share an inference with: a camera's for those of
            other cameras, a file's for the next ones.
        waiting: frames of a file that are decoded ahead.
        ahead: batches that are under way, or have ended before the caller wants them.
        model: threads of the network on the CPU: those of its pool and one of the workers, which all share the pool;
            `encode`: of a video's encoder; `opencv`: of its own pool.
    """

    mode: Literal["throughput", "latency"]
    workers: int
    alone: bool
    batch: int
    wait: float
    waiting: int
    ahead: int
    model: int
    encode: int
    opencv: int


def plan(
    *,
    latency: bool,
    gpu: bool,
    workers: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    wait: float | None = None,
    cameras: int = 0,
    stride: int = 1,
    cores: int | None = None,
) -> Schedule:
    """In the mode throughput one single-threaded inference per core beats one that uses them all, and cores without a
    worker help with all inferences; a GPU is given batches, two to eight at a time. In the mode latency a picture is
    wanted soon: all cores work on the newest one, and none waits in a queue, nor for an inference that is late; where
    there are no more cores than workers, each worker has one thread instead, and none waits for another. A GPU is given
    the newest ones of several cameras together.

    Args:
        workers, batch, wait: None: as the mode and the device want it.
        threads: of the network on the CPU, where it is open already; None: as the mode wants it.
        cameras: how many live sources share the model.
        stride: one frame in so many has an inference, about; the others pass by meanwhile.
        cores: None: those of this process.
    """
    cores = cores or available_cores()
    together = max(1, min(cameras, _GPU_BATCH)) if latency else _GPU_BATCH
    most = batch or (together if gpu else 1)
    if latency:
        workers = workers or (1 if gpu else min(_LATENCY_WORKERS, cores))
        waiting, ahead = batch or 1, workers
        share = cores if workers < cores else 1
    else:
        workers = workers or (min(max(2, cores // 2), _MOST_BATCHES) if gpu else min(cores, _MOST_WORKERS))
        passing = min((stride - 1) * workers, _MOST_PASSING)
        waiting = max(4, most + min(most, _GPU_BATCH) if gpu else most) + passing
        ahead = workers + 1 + passing // most
        share = max(1, cores - workers + 1)
    threads = 1 if gpu else threads or share
    return Schedule(
        mode="latency" if latency else "throughput",
        workers=workers,
        alone=latency and (gpu or threads > 1),
        batch=most,
        wait=_wait(gpu, live=latency or cameras > 0) if wait is None else wait,
        waiting=waiting,
        ahead=ahead,
        model=threads,
        encode=min(cores, 4) if gpu else 1,
        opencv=cores if gpu else share,
    )


def _wait(gpu: bool, live: bool) -> float:
    """A GPU needs as long for a few frames, which are made up to a batch, as for a full one."""
    if not gpu:
        return 0.0
    return _GPU_WAIT if live else _GPU_FILL


@contextmanager
def opencv_threads(threads: int) -> Iterator[None]:
    """Gives OpenCV's pool, which belongs to the process, `threads` threads while the context lasts."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
