"""The rounds of a clip, summed up: what each kept, as the figures of a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.calls import Call
from pipeline.bench.efficiency import Cost, bound_efficiency
from pipeline.bench.laps import Laps
from pipeline.bench.result import Alone, Batch, Limit, Percentiles, Spread, Together, Whole, Within
from pipeline.bench.spans import STAGES, ages, milliseconds
from pipeline.bench.whole import Run


@dataclass(frozen=True, slots=True)
class Round:
    """What is kept of a run: times and ages in milliseconds, the spans are let go."""

    frames: int
    inferences: int
    fps: float
    cpu_ms: float
    dropped: int
    times: dict[str, NDArray[np.float64]]
    drawn_N: NDArray[np.float64]
    written_N: NDArray[np.float64]

    @classmethod
    def of(cls, run: Run) -> Round:
        times, drawn_N, written_N = milliseconds(run.spans), ages(run.spans, "draw"), ages(run.spans, "write")
        inferences = sum(span.stage == "infer" for span in run.spans)
        return cls(run.frames, inferences, run.fps, run.cpu_ms, run.dropped, times, drawn_N, written_N)


def sum_up_rounds(rounds: Sequence[Round], peak: int, inference_ms: Sequence[float]) -> Whole:
    """The run of all rounds. `peak`: bytes; `inference_ms`: of one inference of a full batch on a GPU in each round, up
    to which a run makes all batches; empty on a CPU.
    """
    pairs = zip(inference_ms, rounds, strict=True) if inference_ms else ()
    gpu_ms = [ms * each.inferences / each.frames for ms, each in pairs]
    seen = [stage for stage in STAGES if any(stage in each.times for each in rounds)]
    return Whole(
        frames=rounds[0].frames,
        fps=Spread.of([each.fps for each in rounds]),
        cpu_ms=Spread.of([each.cpu_ms for each in rounds]),
        gpu_ms=Spread.of(gpu_ms) if gpu_ms else None,
        frames_per_inference=Spread.of([each.frames / max(1, each.inferences) for each in rounds]),
        dropped=sum(each.dropped for each in rounds),
        drawn=_percentiles(each.drawn_N for each in rounds),
        written=_percentiles(each.written_N for each in rounds),
        stages=tuple(Within(name=name, frame_ms=_percentiles(each.times[name] for each in rounds)) for name in seen),
        peak_memory_bytes=peak,
    )


def sum_up_stages(laps: Sequence[Laps]) -> tuple[Alone, ...]:
    """Each stage alone, in the order in which they were first seen."""
    return tuple(
        Alone(
            name=stage,
            ms=Spread.of([_per_frame(lap, lap.wall)[stage] for lap in laps]),
            cpu_ms=Spread.of([_per_frame(lap, lap.cpu)[stage] for lap in laps]),
            frame_ms=_percentiles(1000 * np.array(lap.each[stage]) for lap in laps),
        )
        for stage in laps[0].wall
    )


def sum_up_batch(batch: int, calls: Sequence[Call]) -> Batch:
    """Inference alone with `batch` frames a call, of which there is one `Call` a round."""
    copies = [1000 * call.copy for call in calls if call.copy is not None]
    return Batch(
        batch=batch,
        ms=Spread.of([1000 * call.wall for call in calls]),
        cpu_ms=Spread.of([1000 * call.cpu for call in calls]),
        copy_ms=Spread.of(copies) if copies else None,
    )


def sum_up_pairs(
    inferences: int, pairs: Sequence[tuple[Call, Call]], costs: Sequence[Cost], cores: float, limit: Limit
) -> Together | None:
    """Of each round an inference alone and so many at once; None where one was too short for the clock."""
    if not all(one.cpu for one, _ in pairs):
        return None
    ratios = [together.cpu / one.cpu for one, together in pairs]
    return Together(
        inferences=inferences,
        ms=Spread.of([1000 * together.wall for _, together in pairs]),
        cpu_ms=Spread.of([1000 * together.cpu for _, together in pairs]),
        ratio=Spread.of(ratios),
        bound=bound_efficiency(costs, ratios, cores, limit),
    )


def cost_of(lap: Laps, batches: Sequence[Call]) -> Cost:
    """What a frame cost in a round. `batches`: inferences by batches that the run may make in place of single frames;
    the best one counts.
    """
    ms = _per_frame(lap, lap.wall)
    if batches:
        best = min(batches, key=lambda call: call.wall)
        ms["infer"] = 1000 * best.wall
        if best.copy is not None:
            ms["copy"] = 1000 * best.copy
    return Cost(ms, _per_frame(lap, lap.cpu))


def _per_frame(lap: Laps, seconds: dict[str, float]) -> dict[str, float]:
    return {stage: 1000 * each / lap.frames for stage, each in seconds.items()}


def _percentiles(rounds: Iterable[NDArray[np.float64]]) -> Percentiles:
    return Percentiles.of(np.concatenate(list(rounds)))
