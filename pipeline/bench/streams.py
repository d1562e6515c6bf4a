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
"""The share of the frames that may be dropped by a machine that still takes so many sources."""
_LAST = 1.0  # seconds at the end of a run in which its sources must be on time once


@dataclass(frozen=True, slots=True)
class Watched:
    """A round after it has settled: frames shown and due, what the slowest source was shown with, ages of frames drawn.

    `late`: the pictures of a source came behind the clock, and ever more so.
    """

    shown: int
    due: int
    fps: float
    late: bool
    drawn_N: NDArray[np.float64]
    cpu_ms: float

    @property
    def dropped(self) -> int:
        return self.due - self.shown


def run_streams(job: Job, size: str, fps: float, count: int, seconds: float, model: OnnxModel | None) -> Run:
    """`count` cameras of `size` at `fps`, `seconds` long after settling."""
    sources = tuple(synthetic_spec(size, fps, live=True, seed=seed) for seed in range(count))
    return run_sources(job, sources, model, None, SETTLING + seconds)


def judge_run(run: Run, count: int, target_fps: float) -> Watched:
    """What became of the frames that were due after settling. A source of which nothing was seen has lost all."""
    began = min(span.begin for span in run.spans if span.stage == "write") + SETTLING
    ended = max(span.end for span in run.spans)
    shown = due = 0
    rates = []
    for stream in range(count):
        seen = [span for span in run.spans if (span.stage, span.stream) == ("write", stream) and span.begin >= began]
        shown += len(seen)
        due += seen[-1].frame - seen[0].frame + 1 if seen else max(1, round((ended - began) * target_fps))
        rates.append((len(seen) - 1) / (seen[-1].begin - seen[0].begin) if len(seen) > 1 else 0.0)
    read = [[span for span in run.spans if (span.stage, span.stream) == ("decode", each)] for each in range(count)]
    late = any(is_late(spans, target_fps) for spans in read)
    drawn_N = ages((span for span in run.spans if span.begin >= began), "draw")
    return Watched(shown, due, min(rates), late, drawn_N, run.cpu_ms)


def is_late(spans: Sequence[Span], fps: float) -> bool:
    """Whether a source, of which these are the pictures, was behind the clock by a frame during its last second."""
    if not spans:
        return True
    delays = [span.end - span.frame / fps for span in spans]
    last = [delay for span, delay in zip(spans, delays, strict=True) if span.end >= spans[-1].end - _LAST]
    return min(last) - min(delays) > 1 / fps


def sum_up(count: int, rounds: Sequence[Watched], peak_memory: int) -> Streams:
    """The rounds with `count` sources."""
    due, dropped = sum(each.due for each in rounds), sum(each.dropped for each in rounds)
    late = any(each.late for each in rounds)
    tails = [float(np.percentile(each.drawn_N, 99)) for each in rounds if len(each.drawn_N)]
    return Streams(
        streams=count,
        taken=dropped <= TOLERATED * due and not late,
        fps=Spread.of([each.fps for each in rounds]),
        due=due,
        dropped=dropped,
        late=late,
        drawn=Percentiles.of(np.concatenate([each.drawn_N for each in rounds])),
        drawn_p99=Spread.of(tails) if tails else None,
        cpu_ms=Spread.of([each.cpu_ms for each in rounds]),
        peak_memory_bytes=peak_memory,
    )
