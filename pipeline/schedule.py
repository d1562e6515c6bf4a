"""How many threads do what: decided here for the whole process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DECODE_THREADS = 1  # of a video's decoder: each one more costs a frame of delay and of memory
_MOST_WORKERS = 8  # one decoder feeds no more; each worker costs memory for a frame and an inference


@dataclass(frozen=True, slots=True)
class Schedule:
    """Threads of a run: `workers` infer side by side, each call shared by `model` threads; `encode` are those
    of a video's encoder, `opencv` those of OpenCV's own pool.
    """

    workers: int
    model: int
    encode: int
    opencv: int


def plan(*, live: bool, gpu: bool, cores: int | None = None) -> Schedule:
    """Files are worked at full rate: one single-threaded inference per core beats one that uses them all. A live
    picture is wanted soon: all cores work on the newest one, and a decoder thread more would cost a frame of delay.
    """
    cores = cores or available_cores()
    if gpu:
        return Schedule(workers=1, model=1, encode=min(cores, 4), opencv=cores)
    if live:
        return Schedule(workers=1, model=cores, encode=1, opencv=cores)
    return Schedule(workers=min(cores, _MOST_WORKERS), model=1, encode=1, opencv=1)


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
