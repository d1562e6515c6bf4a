import math
import warnings

import numpy as np
import pytest
from support.benches import clip_bench, rounds, streams_bench

from pipeline.bench.compare import compare, find_answers, find_differences, find_doubts, ratio_interval
from pipeline.bench.result import Gpu, Percentiles, Spread, Together


def change_of(old, new, name="frames per second"):
    return next(each for each in compare(old, new) if each.name == name)


def with_run(bench, **changes):
    return bench.model_copy(update={"whole": bench.whole.model_copy(update=changes)})


def with_machine(bench, **changes):
    return bench.model_copy(update={"machine": bench.machine.model_copy(update=changes)})


def test_more_frames_are_better_and_more_milliseconds_are_worse():
    old, new = clip_bench(100), clip_bench(120)
    faster = change_of(old, new)
    assert (faster.verdict, faster.ratio) == ("better", pytest.approx(1.2))
    assert faster.interval[0] < 1.2 < faster.interval[1]
    assert change_of(new, old).verdict == "worse"
    costly = new.model_copy(update={"whole": new.whole.model_copy(update={"cpu_ms": rounds(22)})})
    assert change_of(old, costly, "CPU time of a frame").verdict == "worse"


def test_what_differs_less_than_the_rounds_do_is_no_difference():
    assert change_of(clip_bench(100), clip_bench(100.5)).verdict == "no difference can be told"


def test_two_rounds_prove_nothing():
    whole = clip_bench().whole
    few = [{"whole": whole.model_copy(update={"fps": rounds(fps, (1, 1.01))})} for fps in (100, 200)]
    found = change_of(*(clip_bench().model_copy(update=each) for each in few))
    assert (found.interval, found.verdict) == (None, "no difference can be told")


def test_the_ratio_is_that_of_the_figures_beside_it():
    """Whose medians rise, and whose geometric means fall."""
    skewed = Spread.of([29.4, 29.4, 29.4, 20, 24])
    found = change_of(clip_bench(), with_run(clip_bench(), cpu_ms=skewed), "CPU time of a frame")
    assert (found.new, found.ratio) == pytest.approx((math.prod(skewed.rounds) ** 0.2, found.new / found.old))


def test_rounds_that_no_float_can_hold_the_ratio_of_are_compared():
    wild, tiny = Spread.of([1e308, 1e308, 1e-300]), Spread.of([1e-300, 2e-300, 3e-300])
    found = change_of(with_run(clip_bench(), fps=tiny), with_run(clip_bench(), fps=wild))
    assert (found.interval, found.verdict) == ((0.0, math.inf), "no difference can be told")


def test_rounds_that_are_all_alike_in_one_of_two_raise_no_warning():
    with warnings.catch_warnings(action="error"):
        assert ratio_interval([5, 5, 5], [5.1, 5.2, 5.0]) is not None


def test_what_has_one_value_for_all_rounds_is_shown_and_not_judged():
    ages = Percentiles(p50=1, p95=2, p99=40, n=500)
    old = with_run(clip_bench(), drawn=ages, written=ages)
    new = with_run(old, drawn=ages.model_copy(update={"p99": 80}), dropped=9, peak_memory_bytes=2**29)
    found = {each.name: each for each in compare(old, new) if each.verdict == "not judged"}
    assert {name: each.ratio for name, each in found.items()} == {
        "age drawn p99": pytest.approx(2),
        "age written p99": pytest.approx(1),
        "dropped": None,
        "peak memory": pytest.approx(2),
    }
    assert (found["dropped"].old, found["dropped"].new) == (0, pytest.approx(100 * 9 / 2509))
    assert {each.interval for each in found.values()} == {None}
    assert "age drawn p99" not in [each.name for each in compare(clip_bench(), new)]  # of 60 frames


def test_a_stage_below_the_resolution_of_the_clock_is_not_compared():
    old = clip_bench()
    new = old.model_copy(update={"batches": (old.batches[0].model_copy(update={"cpu_ms": rounds(0)}),)})
    found = change_of(old, new, "inference, batch 1, CPU")
    assert (found.ratio, found.interval, found.verdict) == (None, None, "no difference can be told")


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """2000 pairs of five rounds with a true ratio of 1.1: 95 % of the intervals hold it, give or take."""
    random = np.random.default_rng(0)
    old = np.exp(random.normal(0, 0.03, (2000, 5)))
    new = 1.1 * np.exp(random.normal(0, 0.06, (2000, 5)))
    intervals = np.array([ratio_interval(a, b) for a, b in zip(old, new, strict=True)])
    held = ((intervals[:, 0] < 1.1) & (intervals[:, 1] > 1.1)).mean()
    assert 0.93 < held < 0.975


def test_equal_benchmarks_differ_in_nothing():
    assert list(find_differences(clip_bench(), clip_bench(120))) == []


def test_what_was_not_the_same_is_told():
    old = clip_bench()
    new = old.model_copy(
        update={
            "model": old.model.model_copy(update={"sha256": "c" * 64, "device": "cuda"}),
            "clip": old.clip.model_copy(update={"name": "other.mp4"}),
            "machine": old.machine.model_copy(update={"cores": 4, "versions": {"onsight": "1.1", "av": "18.0"}}),
            "encode": False,
        }
    )
    told = [line.partition(":")[0] for line in find_differences(old, new)]
    assert told == ["model", "device", "clip", "encoding", "processor", "av", "numpy", "onsight"]
    assert "onsight: 1.0 → 1.1" in find_differences(old, new)


def test_another_way_to_infer_is_told():
    old = clip_bench()
    new = old.model_copy(update={"nhwc": True, "cuda_graph": True, "workers": 4})
    told = ["CUDA graphs: without → with", "NHWC: without → with", "workers: untold → 4"]
    assert list(find_differences(old, new)) == told


def test_another_preset_is_told():
    fast, slow = clip_bench(preset="ultrafast"), clip_bench(preset="veryfast")
    assert list(find_differences(fast, slow)) == ["encoding: with ultrafast → with veryfast"]


def test_another_encoder_is_told():
    untold, nvenc = clip_bench(preset="p4"), clip_bench(encoder="nvenc", preset="p4")
    assert list(find_differences(untold, nvenc)) == ["encoder: x264 → nvenc"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"driver": "580.1"}, "GPU driver: 570.2 → 580.1"),
        ({"power_limit_watts": 250.5}, "GPU power limit: 700 W → 250.5 W"),
        ({"power_limit_watts": None}, "GPU power limit: 700 W → untold"),
    ],
)
def test_another_state_of_the_gpu_is_told(change, told):
    gpu = Gpu(name="H", driver="570.2", memory_bytes=1, power_limit_watts=700, clock_mhz=None, highest_clock_mhz=None)
    old, new = (with_machine(clip_bench(), gpu=each) for each in (gpu, gpu.model_copy(update=change)))
    assert list(find_differences(old, new)) == [told]


def test_another_governor_is_told():
    old, new = clip_bench(), with_machine(clip_bench(), governor="powersave")
    assert list(find_differences(old, new)) == ["governor: untold → powersave"]


def test_the_notes_of_both_are_repeated_and_once_where_they_are_the_same():
    old, new = clip_bench(warnings=("busy", "short")), clip_bench(warnings=("hot", "short"))
    assert list(find_doubts(old, new)) == ["old: busy", "both: short", "new: hot"]


def test_that_the_machine_takes_fewer_cameras_is_told():
    old, new = streams_bench({1: True, 2: True, 4: True, 8: False}), streams_bench({1: True, 2: False})
    assert list(find_answers(old, new)) == [
        "old: this machine takes 4 cameras, but not 8 of 160x120 at 30 fps",
        "new: this machine takes 1 camera, but not 2 of 160x120 at 30 fps",
    ]
    assert list(find_answers(clip_bench(), clip_bench())) == []
    lost = change_of(old, new, "2 streams, dropped")
    assert (lost.old, lost.new, lost.unit) == (0, pytest.approx(100 * 50 / 450), "%")


def test_streams_are_compared_by_their_number():
    names = [each.name for each in compare(streams_bench({1: True, 2: True}), streams_bench({2: True, 4: False}))]
    assert names
    assert all(name.startswith("2 streams, ") for name in names)


def test_inferences_at_once_are_compared_where_both_have_them():
    together = Together(inferences=2, ms=rounds(4), cpu_ms=rounds(9), ratio=rounds(1.1), bound=rounds(0.9))
    old, new = clip_bench(together=together), clip_bench(together=together.model_copy(update={"cpu_ms": rounds(12)}))
    assert change_of(old, new, "inference, 2 at once, CPU").verdict == "worse"
    assert "inference, 2 at once, CPU" not in [each.name for each in compare(clip_bench(), new)]


def test_a_clip_and_streams_have_nothing_in_common():
    assert compare(clip_bench(), streams_bench({1: True})) == []
