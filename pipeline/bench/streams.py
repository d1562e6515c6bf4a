"""How many live sources this machine takes: so many synthetic cameras at once, paced by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.job import Job, synthetic_spec
from pipeline.bench.result import Percentiles, Spread, Streams
from pipeline.bench.spans import Span, ages
from pipeline.bench.whole import Run, run_sources
from pipeline.model import OnnxModel

SETTLING = 1.0
"""Seconds at the start of a run of live sources that are not judged."""
TOLERATED = 0.001
"""The share of the frames of a source that may be dropped by a machine that still takes so many sources."""
_HICCUP = 0.1  # seconds at the end of a run in which no frame is due by the clock: it is no stall yet
_LAST = 1.0  # seconds at the end of a run in which its sources must be on time once


@dataclass(frozen=True, slots=True)
class Watched:
    """A round after it has settled: frames shown and due of each source, what the slowest one was shown with, ages of
    frames drawn.

    `late`: the pictures of a source came behind the clock, and ever more so.
    """

    shown: tuple[int, ...]
    due: tuple[int, ...]
    fps: float
    late: bool
    drawn_N: NDArray[np.float64]
    cpu_ms: float


def run_streams(job: Job, size: str, fps: float, count: int, seconds: float, model: OnnxModel | None) -> Run:
    """`count` cameras of `size` at `fps`, `seconds` long after settling."""
    sources = tuple(synthetic_spec(size, fps, live=True, seed=seed) for seed in range(count))
    return run_sources(job, sources, model, None, SETTLING + seconds)


def judge_run(run: Run, count: int, target_fps: float) -> Watched:
    """What became of the frames that were due after settling: by their numbers, and by the clock, so that a source that
    came late, stalled or never came has lost what it did not give.
    """
    writes = [span for span in run.spans if span.stage == "write"]
    began, ended = min(span.begin for span in writes) + SETTLING, max(span.end for span in writes)
    by_clock = max(1, int((ended - began - _HICCUP) * target_fps) - 1)  # frames at either end may be under way
    shown, due, rates = [], [], []
    for stream in range(count):
        seen = [span for span in writes if span.stream == stream and span.begin >= began]
        shown.append(len(seen))
        due.append(max(by_clock, seen[-1].frame - seen[0].frame + 1 if seen else 0))
        rates.append(_rate(seen, ended - began, complete=len(seen) == due[-1]))
    read = [[span for span in run.spans if (span.stage, span.stream) == ("decode", each)] for each in range(count)]
    late = any(is_late(spans, target_fps) for spans in read)
    drawn_N = ages((span for span in run.spans if span.begin >= began), "draw")
    return Watched(tuple(shown), tuple(due), min(rates), late, drawn_N, run.cpu_ms)


def _rate(seen: Sequence[Span], seconds: float, complete: bool) -> float:
    """Frames a second: between those `seen` if they are all, else in all the `seconds`."""
    if complete and len(seen) > 1:
        return (len(seen) - 1) / (seen[-1].begin - seen[0].begin)
    return len(seen) / seconds


def is_late(spans: Sequence[Span], fps: float) -> bool:
    """Whether a source, of which these are the pictures, was behind the clock by a frame during its last second."""
    if not spans:
        return True
    delays = [span.end - span.frame / fps for span in spans]
    last = [delay for span, delay in zip(spans, delays, strict=True) if span.end >= spans[-1].end - _LAST]
    return min(last) - min(delays) > 1 / fps


def sum_up(count: int, rounds: Sequence[Watched], peak_memory: int) -> Streams:
    """The rounds with `count` sources."""
    due_S = np.sum([each.due for each in rounds], axis=0)  # of each source
    dropped_S = due_S - np.sum([each.shown for each in rounds], axis=0)
    late = any(each.late for each in rounds)
    tails = [tail for each in rounds if (tail := Percentiles.of(each.drawn_N).p99) is not None]
    return Streams(
        streams=count,
        taken=bool(np.all(dropped_S <= TOLERATED * due_S)) and not late,
        fps=Spread.of([each.fps for each in rounds]),
        due=int(due_S.sum()),
        dropped=int(dropped_S.sum()),
        late=late,
        drawn=Percentiles.of(np.concatenate([each.drawn_N for each in rounds])),
        drawn_p99=Spread.of(tails) if len(tails) == len(rounds) else None,
        cpu_ms=Spread.of([each.cpu_ms for each in rounds]),
        peak_memory_bytes=peak_memory,
    )
