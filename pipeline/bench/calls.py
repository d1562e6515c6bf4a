"""A call that is made again and again for some time: one after the other, or by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time, sleep, thread_time
from typing import NamedTuple

from pipeline.channel import Worker

_LEAST_CALLS = 3
_POLL = 0.001  # seconds


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

    The time ends with a call. The CPU time of the thread that looks on is not in it.
    """
    calls = [0] * threads

    def work(number: int, stop: threading.Event) -> None:
        call = prepare()
        while not stop.is_set():
            call()
            calls[number] += 1

    def wait() -> int:
        """Returns the calls until now."""
        for worker in workers:
            worker.check()
        sleep(_POLL)
        return sum(calls)

    workers = [Worker(partial(work, number), f"inference {number}") for number in range(threads)]
    try:
        while min(calls) < _LEAST_CALLS:
            wait()
        before, began, cpu, done = sum(calls), perf_counter(), _cpu_of_others(), 0
        wall_taken = cpu_taken = 0.0
        while done < _LEAST_CALLS or perf_counter() - began < seconds:
            if (now := wait() - before) > done:
                done, wall_taken, cpu_taken = now, perf_counter() - began, _cpu_of_others() - cpu
        return Call(wall_taken / (done * batch), cpu_taken / (done * batch))
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.close()


def _cpu_of_others() -> float:
    """CPU seconds of the process without those of this thread."""
    return process_time() - thread_time()
