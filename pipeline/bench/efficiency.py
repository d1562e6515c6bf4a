"""What the slowest resource allows, and how much of that the run reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.bench.result import Limit, Spread

_THREADS = {"the decoder": ("decode",), "the caller": ("draw", "encode", "records")}
"""The threads of which the run of a clip has one each, and their stages; the other stages are spread over workers."""


class Cost(NamedTuple):
    """What a frame costs in one round: milliseconds of each stage alone, by the wall and of the CPU."""

    ms: Mapping[str, float]
    cpu_ms: Mapping[str, float]


def find_limit(costs: Sequence[Cost], cores: float, gpu: bool) -> Limit:
    """The limit of the rounds whose `costs` are given: what takes longest for a frame of all that works side by side.

    On a CPU that is the cores, which take the CPU seconds of all stages alone ÷ `cores`, so that waiting that keeps a
    core busy is not rewarded; or a thread that has stages to itself, which takes their seconds by the wall. On a GPU it
    is one of these threads, the copies, the inferences, or the cores, which share all that is not inference. The
    resource is the stage that takes most of it.
    """
    times = [_beside_gpu(cost, cores) if gpu else _on_cpu(cost, cores) for cost in costs]
    fps = Spread.of([1000 / max(each.values()) for each in times])
    slowest = _largest(times)
    if slowest in _THREADS:
        return Limit(resource=_largest([_stages_of(slowest, cost) for cost in costs]), share=None, fps=fps)
    if gpu:
        return Limit(resource=slowest, share=None, fps=fps)
    stage, medians = _largest([cost.cpu_ms for cost in costs]), _medians([cost.cpu_ms for cost in costs])
    return Limit(resource=stage, share=medians[stage] / sum(medians.values()), fps=fps)


def measure_efficiency(fps: Spread, limit: Limit) -> Spread:
    """The rate of each round ÷ the rate that its limit allows."""
    return Spread.of([rate / allowed for rate, allowed in zip(fps.rounds, limit.fps.rounds, strict=True)])


def measure_cores(fps: Spread, costs: Sequence[Cost], cores: float) -> Spread:
    """The rate of each round ÷ the one that `cores` allow which do nothing but the stages, on a CPU."""
    return Spread.of([rate / _cores_allow(cost, cores) for rate, cost in zip(fps.rounds, costs, strict=True)])


def bound_efficiency(costs: Sequence[Cost], ratios: Sequence[float], cores: float, limit: Limit) -> Spread:
    """What is left of the efficiency on a CPU where inference costs `ratios` times the CPU time that it takes alone,
    because others run beside it: the rate that `cores` allow with inference so much dearer ÷ that of the `limit`, or 1.
    """
    rates = []
    for cost, ratio in zip(costs, ratios, strict=True):
        dearer = (ratio - 1) * cost.cpu_ms["infer"]
        rates.append(_cores_allow(cost, cores, dearer))
    return Spread.of([min(1.0, rate / allowed) for rate, allowed in zip(rates, limit.fps.rounds, strict=True)])


def _cores_allow(cost: Cost, cores: float, dearer: float = 0.0) -> float:
    """Frames a second of frames that cost so many milliseconds more."""
    return 1000 * cores / (sum(cost.cpu_ms.values()) + dearer)


def _on_cpu(cost: Cost, cores: float) -> dict[str, float]:
    return {"the cores": 1000 / _cores_allow(cost, cores), **_threads(cost)}


def _threads(cost: Cost) -> dict[str, float]:
    return {thread: sum(_stages_of(thread, cost).values()) for thread in _THREADS}


def _stages_of(thread: str, cost: Cost) -> dict[str, float]:
    return {stage: cost.ms[stage] for stage in _THREADS[thread] if stage in cost.ms}


def _beside_gpu(cost: Cost, cores: float) -> dict[str, float]:
    device = {stage: cost.ms[stage] for stage in ("copy", "infer") if stage in cost.ms}
    host = sum(milliseconds for stage, milliseconds in cost.cpu_ms.items() if stage != "infer")
    return {**_threads(cost), **device, "the cores": host / cores}


def _largest(rounds: Sequence[Mapping[str, float]]) -> str:
    medians = _medians(rounds)
    return max(medians, key=lambda name: medians[name])


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}
