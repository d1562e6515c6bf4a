"""What the slowest resource allows, and how much of that the run reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.bench.result import Limit, Spread


class Cost(NamedTuple):
    """What a frame costs in one round: milliseconds of each stage alone, by the wall and of the CPU."""

    ms: Mapping[str, float]
    cpu_ms: Mapping[str, float]


def find_limit(costs: Sequence[Cost], cores: float, gpu: bool) -> Limit:
    """The limit of the rounds whose `costs` are given.

    On a CPU: `cores` ÷ the CPU seconds of a frame of all stages alone, so that waiting that keeps a core busy is not
    rewarded; the resource is the stage that takes the largest part. On a GPU the stages that cannot share a frame's
    time run side by side, so the slowest of decode, copy, infer, encode, and the cores, which share all that is not
    inference.
    """
    if gpu:
        times = [_side_by_side(cost, cores) for cost in costs]
        slowest = _largest(times)
        return Limit(resource=slowest, share=None, fps=Spread.of([1000 / max(each.values()) for each in times]))
    largest = _largest([cost.cpu_ms for cost in costs])
    sums = [sum(cost.cpu_ms.values()) for cost in costs]
    medians = _medians([cost.cpu_ms for cost in costs])
    share = medians[largest] / sum(medians.values())
    return Limit(resource=largest, share=share, fps=Spread.of([1000 * cores / total for total in sums]))


def measure_efficiency(fps: Spread, limit: Limit) -> Spread:
    """The rate of each round ÷ the rate that its limit allows."""
    return Spread.of([rate / allowed for rate, allowed in zip(fps.rounds, limit.fps.rounds, strict=True)])


def bound_efficiency(costs: Sequence[Cost], ratios: Sequence[float]) -> Spread:
    """What is left of the efficiency on a CPU where inference costs `ratios` times the CPU time that it takes alone,
    because others run beside it: the CPU time of a frame of all stages alone ÷ that with inference so much dearer.
    """
    sums = [sum(cost.cpu_ms.values()) for cost in costs]
    dearer = [(ratio - 1) * cost.cpu_ms["infer"] for cost, ratio in zip(costs, ratios, strict=True)]
    return Spread.of([alone / (alone + more) for alone, more in zip(sums, dearer, strict=True)])


def _side_by_side(cost: Cost, cores: float) -> dict[str, float]:
    times = {stage: cost.ms[stage] for stage in ("decode", "copy", "infer", "encode") if stage in cost.ms}
    host = sum(milliseconds for stage, milliseconds in cost.cpu_ms.items() if stage != "infer")
    return {**times, "the cores": host / cores}


def _largest(rounds: Sequence[Mapping[str, float]]) -> str:
    medians = _medians(rounds)
    return max(medians, key=lambda name: medians[name])


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}
