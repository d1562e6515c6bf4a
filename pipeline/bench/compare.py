"""Two benchmarks side by side: which figures differ by more than their rounds do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from pipeline.bench.result import Bench, Machine, Spread
from pipeline.bench.words import the_answer
from pipeline.extras import needing

Verdict = Literal["better", "worse", "no difference can be told", "not judged"]

LEVEL = 0.95
_LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a benchmark by round, or its one value of all of them together, which cannot be `judged`."""

    rounds: tuple[float, ...]
    unit: str
    more_is_better: bool = False
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """`old` and `new`: the geometric means of the rounds; `ratio`: new ÷ old; `interval` holds it with 95 % confidence,
    None where the rounds are too few to tell. Where a round is 0, medians, and no ratio.
    """

    name: str
    unit: str
    old: float
    new: float
    ratio: float | None
    interval: tuple[float, float] | None
    verdict: Verdict


def figures_of(bench: Bench) -> dict[str, Figure]:
    """All that two benchmarks can be compared by."""
    return dict(chain(_of_the_run(bench), _of_the_stages(bench), _of_streams(bench)))


def compare(old: Bench, new: Bench) -> list[Change]:
    """The figures that both have."""
    before, after = figures_of(old), figures_of(new)
    return [_change(name, before[name], after[name]) for name in before if name in after]


def find_answers(old: Bench, new: Bench) -> Iterator[str]:
    """How many cameras the machine took in each of the two, if they are of streams: one line for each."""
    for which, bench in (("old", old), ("new", new)):
        if bench.streams:
            yield f"{which}: {the_answer(bench)}"


def find_differences(old: Bench, new: Bench) -> Iterator[str]:
    """What was not the same in the two beside the thing to compare: one line for each."""
    pairs = {
        "model": [f"{each.model.file} ({each.model.sha256[:12]})" for each in (old, new)],
        "device": [f"{each.model.device} ({', '.join(each.model.providers)})" for each in (old, new)],
        "CUDA graphs": [_whether(each.cuda_graph) for each in (old, new)],
        "NHWC": [_whether(each.nhwc) for each in (old, new)],
        "workers": [str(each.workers or "untold") for each in (old, new)],
        "clip": [f"{each.clip.name} ({(each.clip.sha256 or 'synthetic')[:12]})" for each in (old, new)],
        "decoding": [each.decoder for each in (old, new)],
        "encoding": [f"with {each.preset or 'a preset untold'}" if each.encode else "without" for each in (old, new)],
        "encoder": [each.encoder or "x264" for each in (old, new)],
        "target rate": [f"{each.target_fps or 0:g} fps" for each in (old, new)],
        "seconds a round": [f"{each.seconds:g}" for each in (old, new)],
        "processor": [f"{each.machine.cpu}, {each.machine.usable_cores:g} cores" for each in (old, new)],
        "governor": [each.machine.governor or "untold" for each in (old, new)],
        "GPU": [each.machine.gpu.name if each.machine.gpu else "none" for each in (old, new)],
        "GPU driver": [each.machine.gpu.driver if each.machine.gpu else "none" for each in (old, new)],
        "GPU power limit": [_power_limit(each.machine) for each in (old, new)],
        "system": [each.machine.system for each in (old, new)],
    }
    for package in sorted(old.machine.versions.keys() | new.machine.versions.keys()):
        pairs[package] = [each.machine.versions.get(package, "none") for each in (old, new)]
    for name, (before, after) in pairs.items():
        if before != after:
            yield f"{name}: {before} → {after}"


def find_doubts(old: Bench, new: Bench) -> Iterator[str]:
    """What makes the comparison doubtful, the notes of both included, and why no difference can be told, if none can:
    one line for each.
    """
    for warning in dict.fromkeys(old.warnings + new.warnings):
        in_old, in_new = warning in old.warnings, warning in new.warnings
        yield f"{'both' if in_old and in_new else 'old' if in_old else 'new'}: {warning}"
    if old.streams and not {each.streams for each in old.streams} & {each.streams for each in new.streams}:
        yield "no number of streams is in both: measure again with the same --streams"
    for which, bench in (("old", old), ("new", new)):
        if bench.rounds < _LEAST_ROUNDS:
            yield f"{which} has {bench.rounds} of the {_LEAST_ROUNDS} rounds that it takes to tell a difference"


def _whether(used: bool) -> str:
    return "with" if used else "without"


def _power_limit(machine: Machine) -> str:
    watts = machine.gpu and machine.gpu.power_limit_watts
    return "untold" if watts is None else f"{watts:g} W"


def ratio_interval(old: Sequence[float], new: Sequence[float]) -> tuple[float, float] | None:
    """Where new ÷ old lies with 95 % confidence: Welch's interval of the difference of the logarithms.

    With a handful of rounds a bootstrap of them would be too narrow. None: fewer than three rounds, or no spread.

    Raises:
        ConfigError: the packages of the extra `report` are not installed.
    """
    if min(len(old), len(new)) < _LEAST_ROUNDS:
        return None
    if not (np.ptp(old) or np.ptp(new)):
        return None
    with needing("report"):
        from scipy.stats import ttest_ind
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where all rounds of one are alike
        low, high = ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval(LEVEL)
    return _exp(low), _exp(high)


def _exp(logarithm: float) -> float:
    """Infinite where a float cannot hold it."""
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf


def _change(name: str, old: Figure, new: Figure) -> Change:
    unjudged: Verdict = "no difference can be told" if old.judged else "not judged"
    if min(*old.rounds, *new.rounds) <= 0:  # too short for the clock, or none at all
        before, after = (float(np.median(each.rounds)) for each in (old, new))
        return Change(name, old.unit, before, after, None, None, unjudged)
    before, after = (float(np.log(each.rounds).mean()) for each in (old, new))
    ratio = _exp(after - before)
    interval = ratio_interval(old.rounds, new.rounds)
    verdict = unjudged
    if interval is not None and not interval[0] <= 1 <= interval[1]:
        verdict = "better" if (ratio > 1) == old.more_is_better else "worse"
    return Change(name, old.unit, _exp(before), _exp(after), ratio, interval, verdict)


def _by_round(spread: Spread, unit: str, more_is_better: bool = False) -> Figure:
    return Figure(spread.rounds, unit, more_is_better)


def _of_all(value: float, unit: str) -> Figure:
    return Figure((value,), unit, judged=False)


def _share(dropped: int, due: int) -> Figure:
    return _of_all(100 * dropped / max(1, due), "%")


def _of_the_run(bench: Bench) -> Iterator[tuple[str, Figure]]:
    whole = bench.whole
    if whole is None:
        return
    yield "frames per second", _by_round(whole.fps, "fps", more_is_better=True)
    yield "CPU time of a frame", _by_round(whole.cpu_ms, "ms")
    if whole.gpu_ms:
        yield "GPU time of a frame", _by_round(whole.gpu_ms, "ms")
    if bench.efficiency:
        yield "efficiency", _by_round(bench.efficiency, "", more_is_better=True)
    for what, age in (("drawn", whole.drawn), ("written", whole.written)):
        if age.p99 is not None:
            yield f"age {what} p99", _of_all(age.p99, "ms")
    yield "dropped", _share(whole.dropped, whole.frames * len(whole.fps.rounds) + whole.dropped)
    yield "peak memory", _of_all(whole.peak_memory_bytes / 2**20, "MiB")


def _of_the_stages(bench: Bench) -> Iterator[tuple[str, Figure]]:
    on_cpu = bench.model.device == "cpu"  # where other load makes a stage wait, but cost no more
    stages = [(f"{stage.name} alone", stage.ms, stage.cpu_ms) for stage in bench.alone]
    batches = [(f"inference, batch {batch.batch}", batch.ms, batch.cpu_ms) for batch in bench.batches]
    if together := bench.together:
        batches.append((f"inference, {together.inferences} at once", together.ms, together.cpu_ms))
    for name, wall, cpu in stages + batches:
        yield (f"{name}, CPU", _by_round(cpu, "ms")) if on_cpu else (name, _by_round(wall, "ms"))


def _of_streams(bench: Bench) -> Iterator[tuple[str, Figure]]:
    for each in bench.streams:
        what = f"{each.streams} stream{'s' if each.streams > 1 else ''}"
        yield f"{what}, frames per second", _by_round(each.fps, "fps", more_is_better=True)
        if each.drawn_p99:
            yield f"{what}, age drawn p99", _by_round(each.drawn_p99, "ms")
        yield f"{what}, CPU time of a frame", _by_round(each.cpu_ms, "ms")
        yield f"{what}, dropped", _share(each.dropped, each.due)
        yield f"{what}, peak memory", _of_all(each.peak_memory_bytes / 2**20, "MiB")
