"""A call that is made again and again for some time: one after the other, or by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time, sleep
from typing import NamedTuple

import numpy as np

from pipeline.channel import Worker

_LEAST_CALLS = 3
_POLL = 0.02  # seconds; more often it would take a core from those that work


class Call(NamedTuple):
    """Inference by batch: seconds of a frame. `copy`: to a GPU and back, apart from the others; None on a CPU."""

    wall: float
    cpu: float
    copy: float | None = None


def repeat(call: Callable[[], object], batch: int, seconds: float) -> Call:
    """`call`, which takes `batch` frames, again and again for so long."""
    call()
    calls, began, cpu = 0, perf_counter(), process_time()
    while calls < _LEAST_CALLS or perf_counter() - began < seconds:
        call()
        calls += 1
    frames = calls * batch
    return Call((perf_counter() - began) / frames, (process_time() - cpu) / frames)


def repeat_at_once(prepare: Callable[[], Callable[[], object]], threads: int, batch: int, seconds: float) -> Call:
    """As `repeat`, by so many threads at once. Each calls what `prepare`, called by itself, has returned.

    The time begins and ends with the end of a call. The thread that looks on sleeps meanwhile, but for moments.
    """
    calls = [0] * threads
    in_order = threading.Lock()
    ends: list[tuple[float, float]] = []  # of all calls: by the clock, and the CPU time of the process

    def work(number: int, stop: threading.Event) -> None:
        call = prepare()
        while not stop.is_set():
            call()
            with in_order:
                ends.append((perf_counter(), process_time()))
            calls[number] += 1

    def wait() -> None:
        for worker in workers:
            worker.check()
        sleep(_POLL)

    workers = [Worker(partial(work, number), f"inference {number}") for number in range(threads)]
    try:
        while min(calls) < _LEAST_CALLS:
            wait()
        first = len(ends) - 1
        while len(ends) - 1 - first < _LEAST_CALLS or perf_counter() - ends[first][0] < seconds:
            wait()
        last = len(ends) - 1
        wall, cpu = np.subtract(ends[last], ends[first]) / ((last - first) * batch)
        return Call(float(wall), float(cpu))
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.close()
