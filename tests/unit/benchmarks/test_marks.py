import pytest
from marks_page import FASTER, RIVALS, _odd_versions, to_markdown

MACHINE = {"cpu": "a CPU", "cores": 2, "versions": {"numpy": "2.0"}}


def shares(cpu=10.0, decode=2.0, recognise=7.0, write=1.0, preset="ultrafast"):
    stages = {"decode": decode, "infer": 6.0, "resize, results": recognise - 6.0, "draw": 0.0, "write": write}
    return {"cpu": cpu, "frames": 1000, "stages": stages, "preset": preset}


def benched(efficiency=(0.95,), together=None):
    costs = {"decode": 1.5, "resize": 0.5, "infer": 5.0, "results": 0.5, "draw": 0.25, "encode": 0.5, "records": 0.25}
    alone = [{"name": name, "cpu_ms": {"median": cost}} for name, cost in costs.items()]
    return {
        "efficiency": {"rounds": list(efficiency)},
        "alone": alone,
        "together": together,
        "limit": {"fps": {"rounds": [26.0, 25.0, 24.0]}},
        "machine": MACHINE,
        "whole": {"fps": {"rounds": [200.0, 180.0]}, "cpu_ms": {"rounds": [9.0, 10.0], "median": 9.5}},
        "preset": "ultrafast",
        "warnings": ["this machine is not quiet"],
    }


def page(
    title="YOLOv8n", rival="plain loop", times=(2.0,), efficiency=(0.95,), records=None, labelled=None, together=None
):
    """The table's rows; of a rival at 10 fps, beside which Onsight is so many `times` as fast in each round."""
    speeds = [{"onsight": {"frames": 10 * by, "seconds": 1}, rival: {"frames": 10, "seconds": 1}} for by in times]
    case = {
        "clip": "clip.mp4",
        "rounds": speeds,
        "records": records or [shares()],
        "labelled": labelled or [shares()],
        "bench": benched(efficiency, together),
    }
    told = {"made": "2026-01-01", "machine": MACHINE, "seconds": 30, "count": len(times), "cases": {title: case}}
    page = to_markdown(told)
    assert page.endswith(f"\n\n- {title}, `onsight bench`: this machine is not quiet\n")
    run_of_bench = (
        "|  | in the runs of `onsight bench` |  |  |  |  |  |  | 9.50 | idle of the cores: 10.0% (10.0% – 10.0%) |"
    )
    assert run_of_bench in page.splitlines()
    rows = [line for line in page.splitlines() if line.startswith((f"| {title}", "|  | in the run,"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


@pytest.mark.parametrize(("title", "rival"), FASTER)
@pytest.mark.parametrize(("by", "verdict"), [(1.0, "reached"), (0.99, "missed")])
def test_each_speed_is_held_against_its_mark(title, rival, by, verdict):
    (speed, *_) = page(title, rival, times=[by * FASTER[title, rival]])
    assert speed[2] == RIVALS[rival]
    assert speed[-2:] == [f"{FASTER[title, rival]:g} ×", verdict]


def test_the_median_round_decides_and_the_spread_is_told():
    (speed, *_) = page(times=[1.0, 1.3, 3.0])
    assert speed[4:] == ["1.30 × (1.00 – 3.00)", "2.50 × (2.40 – 2.60)", "1.3 ×", "reached, within the spread"]


def test_a_rival_with_another_version_of_a_package_is_told():
    rounds = [
        {"onsight": {}, "plain loop": {"versions": {"numpy": "1.0"}}, "supervision": {"versions": {"numpy": "2.0"}}}
    ]
    told = _odd_versions(MACHINE["versions"], {"YOLOX-nano": {"rounds": rounds}})
    assert told == "- the plain loop, YOLOX-nano: numpy 1.0, not 2.0"


@pytest.mark.parametrize("rival", ["supervision", "staged"])
def test_a_rival_without_a_mark_is_shown_without_a_verdict(rival):
    (speed, *_) = page("YOLOX-nano", rival, times=[0.5])
    assert speed[2] == RIVALS[rival]
    assert speed[-2:] == ["", ""]


@pytest.mark.parametrize(("rounds", "verdict"), [((0.5, 0.92, 1.0), "reached"), ((0.5, 0.919, 1.0), "missed")])
def test_efficiency(rounds, verdict):
    (_, weighed, _, _) = page(efficiency=rounds)
    assert weighed[1:3] == [f"{rounds[1]:.3f} (0.500 – 1.000)", f"{verdict}, within the spread"]


@pytest.mark.parametrize(("recognise", "told", "verdict"), [(7.75, "2.5%", "reached"), (7.6, "4.0%", "missed")])
def test_overhead_is_what_neither_decoder_nor_model_took(recognise, told, verdict):
    (_, weighed, _, _) = page(records=[shares(recognise=recognise)])
    assert weighed[3:5] == [f"{told} ({told} – {told})", verdict]


@pytest.mark.parametrize(("write", "told", "verdict"), [(2.0, "20.0%", "reached"), (2.1, "21.0%", "missed")])
def test_encoding_may_take_a_fifth(write, told, verdict):
    (_, weighed, _, _) = page(labelled=[shares(write=write)])
    assert weighed[5:] == [f"{told} ({told} – {told})", verdict, "ultrafast"]


def test_the_profile_holds_the_stages_alone_beside_those_of_the_run():
    together = {"inferences": 2, "ratio": {"rounds": [1.1, 1.2, 1.3]}, "bound": {"rounds": [0.8, 0.9, 1.0]}}
    (_, _, alone, within) = page(labelled=[shares(cpu=11.0), shares(cpu=99.0, preset="fast")], together=together)
    assert alone[1:] == ["stages alone, ultrafast", "1.50", "5.00", "1.00", "0.25", "0.75", "0.00", "8.50", ""]
    assert within[1] == "in the run, rounds with ultrafast: 1"
    assert within[2:-1] == ["2.00", "6.00", "1.00", "0.00", "1.00", "1.00", "11.00"]
    assert within[-1] == (
        "2 inferences at once cost 1.20 (1.10 – 1.30) times one alone: efficiency ≤ 0.90 (0.80 – 1.00)"
    )


def test_one_core_says_nothing_of_inferences_at_once():
    assert page()[-1][-1] == ""
