import pytest

from pipeline.bench.efficiency import Cost, bound_efficiency, find_limit, measure_cores, measure_efficiency
from pipeline.bench.result import Spread


def test_the_cores_shared_by_the_cpu_time_of_a_frame_are_the_limit_of_a_cpu():
    cost = Cost(ms={"decode": 4.0, "infer": 90.0}, cpu_ms={"decode": 2.0, "infer": 8.0})
    limit = find_limit([cost, cost], cores=2, gpu=False)
    assert limit.fps.rounds == (200, 200)  # 2 cores ÷ 10 ms, whatever the stages waited
    assert (limit.resource, limit.share) == ("infer", 0.8)


@pytest.mark.parametrize(
    ("ms", "resource", "fps"),
    [
        ({"decode": 4.0, "draw": 1.0, "encode": 1.5, "records": 0.5}, "decode", 250),
        ({"decode": 2.0, "draw": 1.0, "encode": 2.5, "records": 0.5}, "encode", 250),
        ({"decode": 2.0, "draw": 3.0, "encode": 1.5, "records": 0.5}, "draw", 200),
        ({"decode": 2.0, "records": 8.0}, "records", 125),
        ({"decode": 2.0, "draw": 1.0, "encode": 0.7, "records": 0.2}, "infer", 1600 / 5),
    ],
)
def test_a_thread_that_has_stages_to_itself_may_be_the_limit_of_many_cores(ms, resource, fps):
    """One decodes, one draws and writes; what workers do is shared by all cores, however long one takes for it."""
    cost = Cost(ms={**ms, "resize": 9.0, "infer": 40.0, "results": 9.0}, cpu_ms={"decode": 2.0, "infer": 48.0})
    limit = find_limit([cost, cost], cores=16, gpu=False)
    assert limit.fps.rounds == pytest.approx((fps, fps))
    assert (limit.resource, limit.share) == (resource, 0.96 if resource == "infer" else None)


def test_a_busy_wait_in_the_run_earns_nothing():
    """The limit knows only the stages alone: a run that burns more CPU for the same rate is no more efficient."""
    limit = find_limit([Cost(ms={}, cpu_ms={"decode": 2.0, "infer": 8.0})], cores=2, gpu=False)
    assert measure_efficiency(Spread.of([150.0]), limit).rounds == (0.75,)


def test_each_round_is_held_against_its_own_stages():
    costs = [Cost(ms={}, cpu_ms={"infer": 10.0}), Cost(ms={}, cpu_ms={"infer": 20.0})]
    efficiency = measure_efficiency(Spread.of([90, 45]), find_limit(costs, cores=1, gpu=False))
    assert efficiency.rounds == pytest.approx((0.9, 0.9))


def test_what_the_cores_reached_is_told_whatever_the_limit_is():
    cost = Cost(ms={"decode": 4.0, "infer": 9.0}, cpu_ms={"decode": 2.0, "infer": 8.0})
    limit, fps = find_limit([cost], cores=16, gpu=False), Spread.of([200.0])
    assert (limit.resource, measure_efficiency(fps, limit).median) == ("decode", 0.8)
    assert measure_cores(fps, [cost], cores=16).median == pytest.approx(200 / 1600)


@pytest.mark.parametrize(
    ("stage", "ms", "cpu_ms", "cores", "resource", "fps"),
    [
        ("infer", 5.0, 1.0, 16, "infer", 200),
        ("copy", 4.0, 1.0, 16, "copy", 250),
        ("encode", 8.0, 8.0, 16, "encode", 1000 / 9),
        ("draw", 8.0, 8.0, 16, "draw", 1000 / 9),
        ("decode", 10.0, 10.0, 16, "decode", 100),
        ("draw", 20.0, 20.0, 1, "the cores", 1000 / 22),
    ],
)
def test_the_slowest_of_what_runs_side_by_side_is_the_limit_beside_a_gpu(stage, ms, cpu_ms, cores, resource, fps):
    usual = {"decode": 1.0, "infer": 1.0, "draw": 1.0, "encode": 1.0}
    cost = Cost(ms={**usual, "copy": 0.5, stage: ms}, cpu_ms={**usual, "infer": 0.5, stage: cpu_ms})
    limit = find_limit([cost], cores=cores, gpu=True)
    assert (limit.resource, limit.share) == (resource, None)
    assert limit.fps.median == pytest.approx(fps)


def test_inferences_that_cost_more_beside_others_bound_the_efficiency() -> None:
    costs = [Cost(ms={}, cpu_ms={"decode": 2.0, "infer": infer}) for infer in (8.0, 4.0)]
    limit = find_limit(costs, cores=2, gpu=False)
    assert bound_efficiency(costs, [1.25, 1.0], 2, limit).rounds == pytest.approx((10 / 12, 1.0))


@pytest.mark.parametrize(("decode", "bound"), [(2.8, 2.8 / 3), (9.0, 1.0)])
def test_they_take_nothing_from_a_thread_that_is_slower_still(decode: float, bound: float) -> None:
    cost = Cost(ms={"decode": decode}, cpu_ms={"decode": 2.0, "infer": 8.0})
    limit = find_limit([cost], cores=4, gpu=False)
    assert bound_efficiency([cost], [1.25], 4, limit).rounds == pytest.approx((bound,))
