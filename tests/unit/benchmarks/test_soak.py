import pytest
import soak_results
from soak_cameras import Disturbance
from soak_results import find_faults, measure_camera, measure_disturbance


def camera(**changes):
    latency = [{"median": 0.03, "highest": 0.1}, {"median": 0.04, "highest": 0.2}]
    return {"unexplained": 0, "withheld": 0, "latency_p99": latency, **changes}


def disturbance(**changes):
    return {"camera": "north", "kind": "kill", "back_after": 3.0, "gaps": 1, "others": 0.99, **changes}


def faults(growth=0.01, code=0, cameras=None, disturbances=()):
    results = {
        "memory": {"growth": growth},
        "cameras": {"north": camera()} if cameras is None else cameras,
        "disturbances": disturbances,
        "end": {"code": code},
    }
    return list(find_faults(results))


def windows(*medians):
    return [{"median": each, "highest": 1.0} for each in medians]


def sample(at, frames=0, gaps=0, latency=None, others=0):
    told = {"fps": 15.0, "frames": frames, "dropped": 0, "withheld": 0, "gaps": gaps, "gap_seconds": 2.0 * gaps}
    rest = {name: {**told, "frames": others} for name in soak_results.CAMERAS}
    return {"at": at, "busy": 0.5, "cameras": {**rest, "north": {**told, "latency": latency}}}


def test_a_run_in_which_all_went_well_has_no_fault():
    assert faults(disturbances=[disturbance(), disturbance(kind="corrupt", gaps=0)]) == []


@pytest.mark.parametrize(("growth", "count"), [(0.05, 0), (0.051, 1)])
def test_memory_may_grow_by_a_twentieth(growth, count):
    assert len(faults(growth=growth)) == count


def test_an_end_with_a_code_is_a_fault():
    assert faults(code=-9) == ["the server ended with code -9"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"unexplained": 2}, "north: 2 gaps that nothing explains"),
        ({"withheld": 3}, "north: 3 frames were withheld"),
    ],
)
def test_what_a_camera_must_not_show(changes, told):
    assert faults(cameras={"north": camera(**changes), "south": camera()}) == [told]


@pytest.mark.parametrize(("south", "told"), [(0.046, []), (0.07, ["the p99 of the latency rose from 30 to 50 ms"])])
def test_latency_must_not_rise_for_all_cameras_together(south, told):
    seen = {"north": windows(0.03, 0.03, 0.03), "south": windows(0.03, 0.03, south)}
    assert faults(cameras={name: camera(latency_p99=each) for name, each in seen.items()}) == told


@pytest.mark.parametrize("medians", [(), (0.03,), (0.03, 0.045), (0.03, 0.2, 0.03)])
def test_latency_is_flat_or_there_is_nothing_to_hold_it_against(medians):
    assert faults(cameras={"north": camera(latency_p99=windows(*medians))}) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"back_after": None}, "kill of north: it was not back within 20 s"),
        ({"back_after": 20.1}, "kill of north: it was not back within 20 s"),
        ({"gaps": 0}, "kill of north: no gap was noticed"),
        ({"others": 0.89}, "kill of north: another camera showed 89% of its frames"),
    ],
)
def test_what_a_disturbance_must_not_do(changes, told):
    assert faults(disturbances=[disturbance(**changes)]) == [told]


def test_the_latency_of_each_window_is_that_of_its_samples():
    latencies = [(0, 0.01), (1, 0.03), (2, 0.02), (60, None), (61, 0.5), (62, 0.7)]
    seen = measure_camera([sample(at, latency=latency) for at, latency in latencies], "north", [], 60)
    assert seen["latency_p99"] == [{"median": 0.02, "highest": 0.03}, {"median": 0.6, "highest": 0.7}]


@pytest.mark.parametrize(("began", "back", "unexplained"), [(9, 14, 0), (12, 14, 1), (5, 8, 1), (9, None, 0)])
def test_a_gap_is_explained_by_the_disturbance_in_which_it_opened(began, back, unexplained):
    samples = [sample(at, gaps=int(at >= 10)) for at in range(20)]
    own = Disturbance("north", "kill", began, began=began, back=back)
    assert measure_camera(samples, "north", [own], 60)["unexplained"] == unexplained


def test_the_disturbance_of_another_camera_explains_nothing():
    samples = [sample(at, gaps=int(at >= 10)) for at in range(20)]
    other = Disturbance("south", "kill", 9, began=9, back=14)
    assert measure_camera(samples, "north", [other], 60)["unexplained"] == 1


def test_the_worst_of_the_other_cameras_is_told():
    samples = [sample(at, frames=0, gaps=int(at >= 12), others=15 * at) for at in range(30)]
    for each in samples:
        each["cameras"]["west"]["frames"] = 12 * each["at"]
    told = measure_disturbance(samples, Disturbance("north", "pause", 10, began=10, well=20, back=24), 15)
    assert (told["others"], told["gaps"], told["back_after"]) == (0.8, 1, 4)
