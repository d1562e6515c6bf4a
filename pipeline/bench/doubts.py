"""Why a figure is not to be trusted, or lower than it could be: one sentence for each reason."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bench.result import Bench, Conditions, Together

_BUSY = 0.05  # of the cores: others may work so much
_APART = 0.1  # of the median: rounds may differ by so much
_SLOWED = 0.9  # of its own highest value: a clock below has changed
_TOO_GOOD = 1.05
_FEW_ROUNDS = 3
_GOOD = 0.95  # an efficiency that need not be explained
_DEARER = 1.05  # times the CPU time alone: inferences at once share something, if it is so in every round


def find_doubts(bench: Bench) -> Iterator[str]:
    """All that should be said beside the figures of `bench`."""
    yield from _about_the_machine(bench.conditions, bench.machine.cores)
    if bench.rounds < _FEW_ROUNDS:
        yield f"{bench.rounds} round{'s' if bench.rounds > 1 else ''}: the spread says little; --rounds 5 says more"
    if bench.clip.sha256 is None:
        yield "the picture is synthetic: it is painted, not decoded, and a camera's video costs its decoding on top"
    if bench.loops > 1:
        yield (
            f"the clip is shorter than a round and was read {bench.loops} times in each: "
            "opening and closing files is part of the figures"
        )
    if bench.model.device != "cpu" and bench.model.cpu_nodes:
        yield f"{bench.model.cpu_nodes} of {bench.model.nodes} nodes of the network run on the CPU"
    if bench.whole and (apart := (bench.whole.fps.max - bench.whole.fps.min) / bench.whole.fps.median) > _APART:
        yield f"the rounds differ by {100 * apart:.0f} %: this machine is not quiet"
    if bench.efficiency and bench.efficiency.median > _TOO_GOOD:
        yield "the run beats what its stages alone allow: the machine was slower while they were measured"
    if bench.efficiency and bench.efficiency.median < _GOOD and bench.together:
        yield from _about_sharing(bench.together)


def _about_the_machine(seen: Conditions, cores: int) -> Iterator[str]:
    """`cores`: those that others were watched on; a container's quota may allow less of them."""
    if seen.others_cores > _BUSY * cores:
        yield f"other processes kept {seen.others_cores:.1f} of {cores} cores busy: this machine can do more"
    if seen.stolen_cores and seen.stolen_cores > _BUSY * cores:
        yield f"the host gave {seen.stolen_cores:.1f} of {cores} cores to other guests"
    if seen.cpu_throttled:
        yield f"heat slowed the CPU down {seen.cpu_throttled} times"
    if seen.quota_stops:
        yield f"the CPU quota of the container stopped this process {seen.quota_stops} times"
    if seen.gpu_throttled:
        yield f"the GPU was slowed down: {', '.join(seen.gpu_throttled)}"
    for name, clock in (("CPU", seen.clock_mhz), ("GPU", seen.gpu_clock_mhz)):
        if clock and clock.min < _SLOWED * clock.max:
            yield f"the clock of the {name} changed between {clock.min:.0f} and {clock.max:.0f} MHz"


def _about_sharing(seen: Together) -> Iterator[str]:
    sure = len(seen.ratio.rounds) >= _FEW_ROUNDS and seen.ratio.min > _DEARER
    if sure and seen.bound.median < 1:  # 1: a thread allows less than the cores
        yield (
            f"{seen.inferences} inferences at once cost {seen.ratio.median:.2f} times the CPU time of one alone: the "
            f"cores share something (cache, memory, clock), which bounds the efficiency at {seen.bound.median:.2f}"
        )
