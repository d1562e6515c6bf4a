"""How many threads do what: decided here for the whole process."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """`workers` infer side by side, each call shared by `model` threads; `encode` threads write a video."""

    workers: int
    model: int
    encode: int


def plan(*, live: bool, gpu: bool, cores: int | None = None) -> Schedule:
    """Files are worked at full rate: one single-threaded inference per core beats one that uses them all. A live
    picture is wanted soon: all cores work on the newest one.
    """
    cores = cores or available_cores()
    if gpu:
        return Schedule(workers=1, model=1, encode=min(cores, 4))
    if live:
        return Schedule(workers=1, model=cores, encode=1)
    return Schedule(workers=cores, model=1, encode=1)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
