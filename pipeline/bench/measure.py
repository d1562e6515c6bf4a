"""Measures a job: warm-up first, then rounds in which the run and its stages alone take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from pipeline.bench.alone import Stages
from pipeline.bench.calls import Call
from pipeline.bench.doubts import find_doubts
from pipeline.bench.efficiency import find_limit, measure_cores, measure_efficiency
from pipeline.bench.gpu import watch_gpu
from pipeline.bench.job import Job, model_facts
from pipeline.bench.laps import Laps
from pipeline.bench.machine import MachineWatch, describe_machine, peak_memory
from pipeline.bench.result import Bench, Streams
from pipeline.bench.rounds import Round, cost_of, sum_up_batch, sum_up_pairs, sum_up_rounds, sum_up_stages
from pipeline.bench.spans import Span
from pipeline.bench.streams import Watched, judge_run, run_streams, sum_up
from pipeline.bench.whole import Run, run_clip
from pipeline.terms import Encoder, Preset

WARM_UP = 2.0
"""Seconds, or those of a round if they are less."""
_BATCH_PART = 0.2  # of a round's seconds, for each batch size, and for inferences at once

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and how long: the run of a round takes `seconds`. That of a clip takes about so many: it ends after as
    many frames as that is at the rate of the warm-up.
    """

    rounds: int
    seconds: float
    batches: tuple[int, ...]


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
            cuda_graph=self.model.cuda_graph,
            nhwc=self._job.nhwc and self.model.device == "cuda",
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
    rounds: list[Round] = []
    laps: list[Laps] = []
    calls: dict[int, list[Call]] = {}
    pairs: list[tuple[Call, Call]] = []
    part = _BATCH_PART * plan.seconds
    stages, peak, spans = None, 0, list[Span]()
    for number in range(plan.rounds):
        tell(f"round {number + 1} of {plan.rounds}")
        run = run_clip(job, session.model, frames)
        spans = run.spans
        rounds.append(Round.of(run))
        session.watch.sample()
        if stages is None:
            peak = peak_memory()  # before there is anything that a run would not hold
            stages = Stages(job, session.model, warm_up.workers)
            stages.measure(frames, min(WARM_UP, plan.seconds))
        laps.append(stages.measure(frames, plan.seconds))
        for batch in stages.batches(plan.batches):
            calls.setdefault(batch, []).append(stages.infer(batch, part))
        if not session.on_gpu and stages.sessions > 1:
            pairs.append((stages.infer_together(1, part), stages.infer_together(stages.sessions, part)))
        session.watch.sample()
    batches = [list(each) for each in zip(*calls.values(), strict=True)] if session.on_gpu else [[] for _ in laps]
    costs = [cost_of(lap, each) for lap, each in zip(laps, batches, strict=True)]
    cores = session.machine.usable_cores
    limit = find_limit(costs, cores, session.on_gpu)
    full = [1000 * call.wall * stages.batch for call in calls[stages.batch]] if stages and session.on_gpu else []
    whole = sum_up_rounds(rounds, peak, full)
    bench = session.sum_up(
        loops=job.loops(frames),
        whole=whole,
        alone=sum_up_stages(laps),
        batches=tuple(sum_up_batch(batch, each) for batch, each in calls.items()),
        together=sum_up_pairs(stages.sessions, pairs, costs, cores, limit) if stages and pairs else None,
        limit=limit,
        efficiency=measure_efficiency(whole.fps, limit),
        efficiency_of_cores=None if session.on_gpu else measure_cores(whole.fps, costs, cores),
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
    run = run_streams(job, size, fps, 1, min(WARM_UP, plan.seconds), None)
    session = _Session(job, plan, run)
    if run.encoder == "x264":
        job = _settle(job, run)  # but where NVENC was found, it may not open for all of more videos
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
    bench = session.sum_up(target_fps=fps, streams=tuple(found))
    return bench.model_copy(update={"encoder": run.encoder, "preset": run.preset}), spans
