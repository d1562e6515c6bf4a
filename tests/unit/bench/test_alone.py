"""Stages alone, on the CPU and beside a GPU: ONNX Runtime on the CPU, and a driver whose GPU is memory of the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain, count
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import pytest
from support.gpu import FakeDriver, use
from support.models import tiny_classifier

from pipeline import model, schedule
from pipeline.bench import alone, job, laps
from pipeline.bench.alone import Stages
from pipeline.bench.job import plan_job, synthetic_spec
from pipeline.bench.measure import Plan, measure_clip
from pipeline.bench.table import print_bench
from pipeline.bench.words import the_limit
from pipeline.model import OnnxModel
from pipeline.slot import Slot
from pipeline.sources import Source, open_source


def test_looking_at_the_source_is_no_part_of_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's clock starts when its sources are open, and stops when they are closed."""
    clock = SimpleNamespace(now=0.0)

    def open_slowly(spec: str, **options: object) -> Source:
        source = open_source(spec)
        clock.now += 100
        monkeypatch.setattr(source, "close", lambda: setattr(clock, "now", clock.now + 1))
        return source

    path = tiny_classifier(tmp_path / "m.onnx")
    stages = Stages(plan_job("synthetic:64x48?frames=3", path, "cpu", encode=False), OnnxModel(path, "cpu"), 1)
    monkeypatch.setattr(job, "open_source", open_slowly)
    for module, name in ((alone, "perf_counter"), (laps, "perf_counter"), (laps, "process_time")):
        monkeypatch.setattr(module, name, lambda: clock.now)
    seen = stages.measure(frames=6, seconds=1000)  # the clip twice
    assert (seen.frames, clock.now) == (6, 202)
    assert (
        dict(seen.cpu)
        == dict(seen.wall)
        == {"decode": 2, "resize": 0, "infer": 0, "results": 0, "draw": 0, "records": 0}
    )


def test_stages_take_the_frames_in_turn_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_BLOCK", 4)
    path = tiny_classifier(tmp_path / "m.onnx")
    stages = Stages(plan_job("synthetic:64x48?frames=10", path, "cpu", encode=False), OnnxModel(path, "cpu"), 1)
    seen = list[str]()
    monkeypatch.setattr(laps.Laps, "lap", lambda _, stage: seen.append(stage))
    measured = stages.measure(frames=10, seconds=1000)
    blocks = [[stage] * size for size in (4, 4, 2) for stage in ("decode", "resize", "infer", "draw", "records")]
    assert measured.frames == 10
    assert [stage for stage in seen if stage != "results"] == list(chain(*blocks))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a model that is told to be on a GPU."""
    use(FakeDriver(), monkeypatch)
    monkeypatch.setattr(model, "_choose", lambda device: ("cuda", None))
    monkeypatch.setitem(model.PROVIDERS, "cuda", ["CPUExecutionProvider"])
    monkeypatch.setattr(model, "Slot", partial(Slot, device="cpu"))
    return tiny_classifier(tmp_path / "m.onnx")


def test_copies_and_inference_are_measured_apart(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = plan_job(synthetic_spec("64x48", 30), path, "cuda", encode=False)
    found, _ = measure_clip(job, Plan(rounds=2, seconds=0.2, batches=(1, 4)), lambda what: None)
    assert [each.batch for each in found.batches] == [1, 4, 8]  # 8: the run's
    assert all(each.copy_ms and each.copy_ms.median > 0 and each.ms.median > 0 for each in found.batches)
    assert found.limit is not None
    assert found.limit.share is None
    assert found.limit.resource in ("decode", "draw", "records", "copy", "infer", "the cores")
    assert found.whole is not None
    assert found.whole.gpu_ms is not None
    assert found.together is None
    assert found.whole.frames_per_inference is not None
    full = zip(found.batches[-1].ms.rounds, found.whole.frames_per_inference.rounds, strict=True)
    assert found.whole.gpu_ms.rounds == pytest.approx([8 * ms / frames for ms, frames in full])
    assert 1 <= found.whole.frames_per_inference.min <= found.whole.frames_per_inference.max <= 8
    print_bench(found)
    printed = capsys.readouterr().out
    assert "copies, ms" in printed
    assert the_limit(found) in printed


def test_inferences_that_fail_while_they_are_measured_are_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(plan_job("synthetic:64x48?frames=3", path, "cuda", encode=False), OnnxModel(path, "cuda"), 2)
    stages.measure(frames=3, seconds=60)

    def parts(model: OnnxModel, inputs_BHW3: object) -> dict[str, Callable[[], object]]:
        calls = count(1)

        def infer() -> None:
            if next(calls) > 3:
                sleep(0.02)  # as many as have to be seen before the measurement begins
                raise RuntimeError("the GPU has fallen off the bus")

        return {"infer": infer, "copy": lambda: None}

    monkeypatch.setattr(OnnxModel, "parts", parts)
    with pytest.raises(RuntimeError, match="fallen off the bus"):
        stages.infer(1, seconds=0.1)


def test_inferences_at_once_stand_beside_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedule, "available_cores", lambda: 3)
    job = plan_job(synthetic_spec("64x48", 30), tiny_classifier(tmp_path / "m.onnx"), "cpu", encode=False)
    found, _ = measure_clip(job, Plan(rounds=2, seconds=0.2, batches=(4,)), lambda what: None)  # 1 is measured, too
    assert [each.batch for each in found.batches] == [4]
    assert found.together is not None
    assert found.limit is not None
    assert (found.together.inferences, len(found.together.ratio.rounds)) == (3, 2)
    assert found.together.ms.min > 0
    assert found.together.cpu_ms.min > 0
    for i in range(2):
        costs = {stage.name: stage.cpu_ms.rounds[i] for stage in found.alone}
        at_once = sum(costs.values()) + (found.together.ratio.rounds[i] - 1) * costs["infer"]
        rate = 1000 * found.machine.usable_cores / at_once
        assert found.together.bound.rounds[i] == pytest.approx(min(1.0, rate / found.limit.fps.rounds[i]))
    print_bench(found)
    assert "1, 3 at once" in capsys.readouterr().out


def test_one_core_has_nothing_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "available_cores", lambda: 1)
    job = plan_job(synthetic_spec("64x48", 30), tiny_classifier(tmp_path / "m.onnx"), "cpu", encode=False)
    found, _ = measure_clip(job, Plan(rounds=1, seconds=0.1, batches=(1,)), lambda what: None)
    assert found.together is None
