"""Benchmarks with figures that a test chooses."""

from __future__ import annotations

from typing import Any

from pipeline.bench.result import (
    Alone,
    Batch,
    Bench,
    ClipFacts,
    Conditions,
    Limit,
    Machine,
    ModelFacts,
    Percentiles,
    Spread,
    Streams,
    Whole,
    Within,
)

PERCENTILES = Percentiles(p50=1.0, p95=2.0, p99=None, n=60)
STEADY = (1.0, 1.01, 0.99, 1.005, 0.995)
"""Rounds of a quiet machine, to be multiplied."""


def rounds(value: float, by: tuple[float, ...] = STEADY) -> Spread:
    return Spread.of([value * each for each in by])


def clip_bench(fps: float = 100.0, **changes: Any) -> Bench:
    """A benchmark of a clip on two cores of which inference takes 8 of 10 ms; `changes` are fields of `Bench`."""
    whole = Whole(
        frames=500,
        fps=rounds(fps),
        cpu_ms=rounds(11),
        gpu_ms=None,
        dropped=0,
        drawn=PERCENTILES,
        written=PERCENTILES,
        stages=(Within(name="infer", frame_ms=PERCENTILES), Within(name="write", frame_ms=PERCENTILES)),
        peak_memory_bytes=2**28,
    )
    return _bench(
        whole=whole,
        alone=tuple(
            Alone(name=name, ms=rounds(ms), cpu_ms=rounds(ms), frame_ms=PERCENTILES)
            for name, ms in (("decode", 2), ("infer", 8))
        ),
        batches=(Batch(batch=1, ms=rounds(8), cpu_ms=rounds(8)),),
        limit=Limit(resource="infer", share=0.8, fps=rounds(200)),
        efficiency=rounds(fps / 200),
        **changes,
    )


def streams_bench(taken: dict[int, bool], **changes: Any) -> Bench:
    """A benchmark of live streams: for each number of them, whether the machine takes them."""
    streams = tuple(
        Streams(
            streams=count,
            taken=yes,
            fps=rounds(30),
            due=450,
            dropped=0 if yes else 50,
            late=False,
            drawn=PERCENTILES,
            drawn_p99=rounds(20),
            cpu_ms=rounds(9),
            peak_memory_bytes=2**28,
        )
        for count, yes in taken.items()
    )
    return _bench(streams=streams, target_fps=30, **changes)


def quiet(**changes: Any) -> Conditions:
    """A machine that did nothing else."""
    values: dict[str, Any] = dict.fromkeys(Conditions.model_fields)
    return Conditions.model_validate({**values, "others_cores": 0.0, **changes})


def _bench(**changes: Any) -> Bench:
    machine = Machine(
        system="Linux",
        cpu="A CPU <fast>",
        cores=2,
        cpu_quota=None,
        memory_bytes=2**34,
        clock_mhz=None,
        highest_clock_mhz=None,
        governor=None,
        load=None,
        gpu=None,
        versions={"onsight": "1.0", "numpy": "2.4"},
    )
    model = ModelFacts(
        file="m.onnx",
        sha256="a" * 64,
        task="detect",
        input="64x64",
        device="cpu",
        reason=None,
        providers=("CPUExecutionProvider",),
        nodes=9,
        cpu_nodes=9,
    )
    clip = ClipFacts(name="clip.mp4", sha256="b" * 64, codec="h264", width=160, height=120, frames=500, seconds=20)
    values = {"machine": machine, "conditions": quiet(), "model": model, "clip": clip, "encode": True}
    settings = {"made": "2026-01-01T00:00:00+00:00", "seconds": 5, "rounds": 5}
    return Bench.model_validate({**values, **settings, "warm_up_frames": 50, "warm_up_seconds": 1, **changes})
