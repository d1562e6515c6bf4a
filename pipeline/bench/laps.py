"""The time of stages that follow each other on one thread."""

from __future__ import annotations

from collections import defaultdict
from time import perf_counter, process_time, sleep

_AT_REST = 0.002  # seconds in which the process does next to nothing, so that no helper thread works any more


class Laps:
    """Wall and CPU time of stages that follow each other, in seconds.

    Attributes:
        frames: how many went through.
        wall, cpu: of each stage in sum.
        each: wall time of each stage for single frames.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self.each: dict[str, list[float]] = defaultdict(list)
        self.began = perf_counter()
        self.start()

    def start(self) -> None:
        """What was until now belongs to no stage."""
        self._wall, self._cpu = perf_counter(), process_time()

    def end(self, stage: str) -> float:
        """The time since the last end belongs to `stage`, but to no frame. Returns its wall time."""
        wall, cpu = perf_counter(), process_time()
        took = wall - self._wall
        self.wall[stage] += took
        self.cpu[stage] += cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        return took

    def settle(self, stage: str) -> None:
        """The CPU time of helper threads that still work belongs to `stage`, the wait for them to none."""
        for _ in range(round(1 / _AT_REST)):
            before = process_time()
            sleep(_AT_REST)
            if process_time() - before < _AT_REST / 10:
                break
        self.cpu[stage] += process_time() - self._cpu
        self.start()

    def lap(self, stage: str) -> None:
        """The time since the last end belongs to `stage` and the frame at hand."""
        self.each[stage].append(self.end(stage))
