import pytest
from support.benches import clip_bench, quiet, rounds, streams_bench

from pipeline.bench.doubts import find_doubts
from pipeline.bench.result import Together


def doubts(**changes):
    return " ".join(find_doubts(clip_bench().model_copy(update=changes)))


def test_a_quiet_machine_leaves_no_doubt():
    assert doubts() == ""


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"others_cores": 0.5}, "other processes kept 0.5 of 2 cores busy"),
        ({"stolen_cores": 0.3}, "the host gave 0.3 of 2 cores"),
        ({"cpu_throttled": 3}, "heat slowed the CPU down 3 times"),
        ({"quota_stops": 7}, "stopped this process 7 times"),
        ({"gpu_throttled": ("heat (driver)", "power limit")}, "slowed down: heat (driver), power limit"),
        ({"clock_mhz": rounds(3000, (1, 0.8))}, "clock of the CPU changed between 2400 and 3000 MHz"),
        ({"gpu_clock_mhz": rounds(1000, (1, 0.8))}, "clock of the GPU changed between 800 and 1000 MHz"),
    ],
)
def test_what_the_machine_did_meanwhile_is_told(seen, told):
    assert told in doubts(conditions=quiet(**seen))


def test_others_are_held_against_the_cores_that_they_worked_on_not_against_a_quota():
    machine = clip_bench().machine.model_copy(update={"cores": 32, "cpu_quota": 2.0})
    assert doubts(machine=machine, conditions=quiet(others_cores=1.5, stolen_cores=1.5)) == ""
    told = doubts(machine=machine, conditions=quiet(others_cores=30.0, stolen_cores=3.0))
    assert "other processes kept 30.0 of 32 cores busy" in told
    assert "the host gave 3.0 of 32 cores" in told


@pytest.mark.parametrize(
    "seen",
    [{"others_cores": 0.09}, {"stolen_cores": 0.05}, {"cpu_throttled": 0}, {"gpu_throttled": ()}],
    ids=lambda seen: next(iter(seen)),
)
def test_what_does_no_harm_is_not_told(seen):
    assert doubts(conditions=quiet(**seen)) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rounds": 1}, "1 round: the spread says little"),
        ({"loops": 4}, "read 4 times in each"),
        ({"efficiency": rounds(1.2)}, "beats what its stages alone allow"),
    ],
)
def test_how_it_was_measured_is_told(changes, told):
    assert told in doubts(**changes)


def test_rounds_that_lie_apart_are_told():
    whole = clip_bench().whole
    assert "the rounds differ by 30 %" in doubts(whole=whole.model_copy(update={"fps": rounds(100, (0.9, 1, 1.2))}))


def test_a_synthetic_picture_is_not_taken_for_a_decoded_one():
    bench = streams_bench({1: True})
    clip = bench.clip.model_copy(update={"sha256": None})
    assert "painted, not decoded" in " ".join(find_doubts(bench.model_copy(update={"clip": clip})))


def test_nodes_that_a_gpu_leaves_to_the_cpu_are_told():
    model = clip_bench().model.model_copy(update={"device": "cuda", "cpu_nodes": 2})
    assert "2 of 9 nodes of the network run on the CPU" in doubts(model=model)


@pytest.mark.parametrize(
    ("efficiency", "ratio", "bound", "told"),
    [
        (0.9, 1.12, 0.91, True),
        (0.96, 1.12, 0.91, False),
        (0.9, 1.04, 0.91, False),
        (0.9, 1.12, 1.0, False),
        (0.9, None, None, False),
    ],
)
def test_inferences_that_cost_more_at_once_explain_a_low_efficiency(efficiency, ratio, bound, told):
    together = None
    if ratio is not None:
        limits = {"ratio": rounds(ratio), "bound": rounds(bound, (1.0,))}
        together = Together(inferences=2, ms=rounds(4), cpu_ms=rounds(9), **limits)
    said = doubts(efficiency=rounds(efficiency), together=together)
    assert ("2 inferences at once cost 1.12 times the CPU time of one alone" in said) == told
    assert ("bounds the efficiency at 0.91" in said) == told


@pytest.mark.parametrize("by", [(0.93, 1.0, 1.1), (1.0, 1.0)], ids=["noisy", "two rounds"])
def test_what_few_or_noisy_rounds_tell_of_inferences_at_once_excuses_nothing(by):
    together = Together(inferences=2, ms=rounds(4), cpu_ms=rounds(9), ratio=rounds(1.12, by), bound=rounds(0.91))
    assert doubts(efficiency=rounds(0.9), together=together) == ""
