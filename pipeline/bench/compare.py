"""Two benchmarks side by side: which figures differ by more than their rounds do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from pipeline.bench.result import Bench, Spread
from pipeline.extras import needing

Verdict = Literal["better", "worse", "no difference can be told"]

LEVEL = 0.95
_LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a benchmark, by round."""

    spread: Spread
    unit: str
    more_is_better: bool = False


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
        "GPU": [each.machine.gpu.name if each.machine.gpu else "none" for each in (old, new)],
        "system": [each.machine.system for each in (old, new)],
    }
    for package in sorted(old.machine.versions.keys() | new.machine.versions.keys()):
        pairs[package] = [each.machine.versions.get(package, "none") for each in (old, new)]
    for name, (before, after) in pairs.items():
        if before != after:
            yield f"{name}: {before} → {after}"


def find_doubts(old: Bench, new: Bench) -> Iterator[str]:
    """Why no difference can be told, if none can: one line for each."""
    for which, bench in (("old", old), ("new", new)):
        if bench.rounds < _LEAST_ROUNDS:
            yield f"{which} has {bench.rounds} of the {_LEAST_ROUNDS} rounds that it takes to tell a difference"


def _whether(used: bool) -> str:
    return "with" if used else "without"


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
    verdict: Verdict = "no difference can be told"
    if min(*old.spread.rounds, *new.spread.rounds) <= 0:  # too short for the clock
        return Change(name, old.unit, old.spread.median, new.spread.median, None, None, verdict)
    before, after = (float(np.log(each.spread.rounds).mean()) for each in (old, new))
    ratio = _exp(after - before)
    interval = ratio_interval(old.spread.rounds, new.spread.rounds)
    if interval is not None and not interval[0] <= 1 <= interval[1]:
        verdict = "better" if (ratio > 1) == old.more_is_better else "worse"
    return Change(name, old.unit, _exp(before), _exp(after), ratio, interval, verdict)


def _of_the_run(bench: Bench) -> Iterator[tuple[str, Figure]]:
    if bench.whole is None:
        return
    yield "frames per second", Figure(bench.whole.fps, "fps", more_is_better=True)
    yield "CPU time of a frame", Figure(bench.whole.cpu_ms, "ms")
    if bench.whole.gpu_ms:
        yield "GPU time of a frame", Figure(bench.whole.gpu_ms, "ms")
    if bench.efficiency:
        yield "efficiency", Figure(bench.efficiency, "", more_is_better=True)


def _of_the_stages(bench: Bench) -> Iterator[tuple[str, Figure]]:
    on_cpu = bench.model.device == "cpu"  # where other load makes a stage wait, but cost no more
    stages = [(f"{stage.name} alone", stage.ms, stage.cpu_ms) for stage in bench.alone]
    batches = [(f"inference, batch {batch.batch}", batch.ms, batch.cpu_ms) for batch in bench.batches]
    if together := bench.together:
        batches.append((f"inference, {together.inferences} at once", together.ms, together.cpu_ms))
    for name, wall, cpu in stages + batches:
        yield (f"{name}, CPU", Figure(cpu, "ms")) if on_cpu else (name, Figure(wall, "ms"))


def _of_streams(bench: Bench) -> Iterator[tuple[str, Figure]]:
    for each in bench.streams:
        what = f"{each.streams} stream{'s' if each.streams > 1 else ''}"
        yield f"{what}, frames per second", Figure(each.fps, "fps", more_is_better=True)
        if each.drawn_p99:
            yield f"{what}, age drawn p99", Figure(each.drawn_p99, "ms")
        yield f"{what}, CPU time of a frame", Figure(each.cpu_ms, "ms")
