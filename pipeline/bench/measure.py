"""Measures a job: warm-up first, then rounds in which the run and its stages alone take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.alone import Laps, Stages
from pipeline.bench.calls import Call
from pipeline.bench.doubts import find_doubts
from pipeline.bench.efficiency import Cost, bound_efficiency, find_limit, measure_efficiency
from pipeline.bench.gpu import watch_gpu
from pipeline.bench.job import Job, model_facts
from pipeline.bench.machine import MachineWatch, describe_machine, peak_memory
from pipeline.bench.result import Alone, Batch, Bench, Limit, Percentiles, Spread, Streams, Together, Whole, Within
from pipeline.bench.spans import STAGES, Span, ages, milliseconds
from pipeline.bench.streams import Watched, judge_run, run_streams, sum_up
from pipeline.bench.whole import Run, run_clip
from pipeline.terms import Encoder, Preset

WARM_UP = 2.0
"""Seconds, or those of a round if they are less."""
_BATCH_PART = 0.2  # of a round's seconds, for each batch size, and for inferences at once

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and how long: `seconds` is the least that the run of a round takes."""

    rounds: int
    seconds: float
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Round:
    """What is kept of a run: times and ages in milliseconds, the spans are let go."""

    frames: int
    fps: float
    cpu_ms: float
    dropped: int
    times: dict[str, NDArray[np.float64]]
    drawn_N: NDArray[np.float64]
    written_N: NDArray[np.float64]

    @classmethod
    def of(cls, run: Run) -> _Round:
        times, drawn_N, written_N = milliseconds(run.spans), ages(run.spans, "draw"), ages(run.spans, "write")
        return cls(run.frames, run.fps, run.cpu_ms, run.dropped, times, drawn_N, written_N)


class _Session:
    """A job and the machine that it is measured on, from the end of the warm-up on."""

    def __init__(self, job: Job, plan: Plan, warm_up: Run) -> None:
        self.model = warm_up.model
        self.on_gpu = self.model.device != "cpu"
        gpu = watch_gpu() if self.on_gpu else None
        self.machine = describe_machine(gpu)
        self.watch = MachineWatch(gpu)
        self._job, self._plan, self._warm_up = job, plan, warm_up

    def sum_up(self, **found: Any) -> Bench:
        """The benchmark with what was `found`, and why it may not be trusted."""
        bench = Bench(
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=self.machine,
            conditions=self.watch.conditions(),
            model=model_facts(self.model),
            clip=self._job.clip,
            workers=self._warm_up.workers,
            cuda_graph=self._job.cuda_graph,
            nhwc=self._job.nhwc,
            decoder=self._job.decoder,
            encode=self._job.encode,
            encoder=self._warm_up.encoder,
            preset=self._warm_up.preset,
            seconds=self._plan.seconds,
            rounds=self._plan.rounds,
            warm_up_frames=self._warm_up.frames,
            warm_up_seconds=self._warm_up.seconds,
            **found,
        )
        return bench.model_copy(update={"warnings": tuple(find_doubts(bench))})


def measure_clip(job: Job, plan: Plan, tell: Tell) -> tuple[Bench, list[Span]]:
    """A benchmark of the clip, and the spans of the last round."""
    tell("warm-up")
    warm_up = run_clip(job, None, seconds=min(WARM_UP, plan.seconds))
    job = _settle(job, warm_up)
    frames = max(1, round(plan.seconds * (warm_up.rate or warm_up.fps)))
    session = _Session(job, plan, warm_up)
    rounds: list[_Round] = []
    laps: list[Laps] = []
    calls: dict[int, list[Call]] = {}
    pairs: list[tuple[Call, Call]] = []
    part = _BATCH_PART * plan.seconds
    stages, peak, spans = None, 0, list[Span]()
    for number in range(plan.rounds):
        tell(f"round {number + 1} of {plan.rounds}")
        run = run_clip(job, session.model, frames)
        spans = run.spans
        rounds.append(_Round.of(run))
        session.watch.sample()
        if stages is None:
            peak = peak_memory()  # before there is anything that a run would not hold
            stages = Stages(job, session.model)
            stages.measure(frames, min(WARM_UP, plan.seconds))
        laps.append(stages.measure(frames, plan.seconds))
        for batch in stages.batches(plan.batches):
            calls.setdefault(batch, []).append(stages.infer(batch, part))
        if not session.on_gpu and stages.sessions > 1:
            pairs.append((stages.infer_together(1, part), stages.infer_together(stages.sessions, part)))
        session.watch.sample()
    batches = [list(each) for each in zip(*calls.values(), strict=True)] if session.on_gpu else [[] for _ in laps]
    costs = [_cost(lap, each) for lap, each in zip(laps, batches, strict=True)]
    cores = session.machine.usable_cores
    limit = find_limit(costs, cores, session.on_gpu)
    whole = _sum_up_rounds(rounds, peak, [cost.ms["infer"] for cost in costs] if session.on_gpu else None)
    bench = session.sum_up(
        loops=job.loops(frames),
        whole=whole,
        alone=_sum_up_stages(laps),
        batches=tuple(_sum_up_batch(batch, each) for batch, each in calls.items()),
        together=_sum_up_pairs(stages.sessions, pairs, costs, cores, limit) if stages and pairs else None,
        limit=limit,
        efficiency=measure_efficiency(whole.fps, limit),
    )
    return bench, spans


def _settle(job: Job, warm_up: Run) -> Job:
    """With the encoder and the preset that were found: else each round, and the stages alone, might find others."""
    if warm_up.encoder is None:
        return job
    job = replace(job, encoder=cast(Encoder, warm_up.encoder))
    return replace(job, preset=cast(Preset, warm_up.preset)) if job.encoder == "x264" else job  # NVENC has but one


def measure_streams(
    job: Job, size: str, fps: float, counts: Sequence[int], plan: Plan, tell: Tell
) -> tuple[Bench, list[Span]]:
    """How many cameras of `size` at `fps` are taken: ends with the first of the `counts` that are too many."""
    tell("warm-up")
    session = _Session(job, plan, run_streams(job, size, fps, 1, min(WARM_UP, plan.seconds), None))
    found, spans = list[Streams](), list[Span]()
    for count in counts:
        rounds: list[Watched] = []
        for number in range(plan.rounds):
            tell(f"{count} stream{'s' if count > 1 else ''}, round {number + 1} of {plan.rounds}")
            run = run_streams(job, size, fps, count, plan.seconds, session.model)
            spans = run.spans
            rounds.append(judge_run(run, count, fps))
            session.watch.sample()
        found.append(sum_up(count, rounds, peak_memory()))
        if not found[-1].taken:
            break
    return session.sum_up(target_fps=fps, streams=tuple(found)), spans


def _sum_up_rounds(rounds: Sequence[_Round], peak: int, gpu_ms: Sequence[float] | None) -> Whole:
    seen = [stage for stage in STAGES if any(stage in each.times for each in rounds)]
    return Whole(
        frames=rounds[0].frames,
        fps=Spread.of([each.fps for each in rounds]),
        cpu_ms=Spread.of([each.cpu_ms for each in rounds]),
        gpu_ms=Spread.of(gpu_ms) if gpu_ms else None,
        dropped=sum(each.dropped for each in rounds),
        drawn=_percentiles(each.drawn_N for each in rounds),
        written=_percentiles(each.written_N for each in rounds),
        stages=tuple(Within(name=name, frame_ms=_percentiles(each.times[name] for each in rounds)) for name in seen),
        peak_memory_bytes=peak,
    )


def _sum_up_stages(laps: Sequence[Laps]) -> tuple[Alone, ...]:
    return tuple(
        Alone(
            name=stage,
            ms=Spread.of([_per_frame(lap, lap.wall)[stage] for lap in laps]),
            cpu_ms=Spread.of([_per_frame(lap, lap.cpu)[stage] for lap in laps]),
            frame_ms=_percentiles(1000 * np.array(lap.each[stage]) for lap in laps),
        )
        for stage in laps[0].wall
    )


def _sum_up_batch(batch: int, calls: Sequence[Call]) -> Batch:
    copies = [1000 * call.copy for call in calls if call.copy is not None]
    return Batch(
        batch=batch,
        ms=Spread.of([1000 * call.wall for call in calls]),
        cpu_ms=Spread.of([1000 * call.cpu for call in calls]),
        copy_ms=Spread.of(copies) if copies else None,
    )


def _sum_up_pairs(
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


def _cost(lap: Laps, batches: Sequence[Call]) -> Cost:
    """`batches`: inferences by batches that the run may make in place of single frames; the best one counts."""
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
