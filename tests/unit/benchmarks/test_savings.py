import pytest
from savings import EVERY, Lap, compare, count_matches, sum_up, to_markdown
from support.boxes import found

HERE, NEAR, FAR = (0, 0, 100, 100), (0, 0, 100, 60), (0, 0, 100, 40)  # IoU of 0.6 and 0.4


@pytest.mark.parametrize(
    ("shown", "matches"),
    [
        (found((HERE, 0, 0.9)), 1),
        (found((NEAR, 0, 0.9)), 1),
        (found((FAR, 0, 0.9)), 0),
        (found((HERE, 1, 0.9)), 0),
        (found((HERE, 0, 0.9), (NEAR, 0, 0.8)), 1),
        (found(), 0),
    ],
    ids=["same", "near", "far", "another class", "twice", "none"],
)
def test_a_box_is_matched_once_by_one_of_its_class(shown, matches):
    assert count_matches(shown, found((HERE, 0, 0.9))) == matches


def test_recall_is_of_the_true_boxes_and_precision_of_the_shown():
    truth = [found((HERE, 0, 0.9)), found((HERE, 0, 0.9), (HERE, 1, 0.9))]
    shown = [found((HERE, 0, 0.9), (FAR, 0, 0.8), (FAR, 1, 0.8)), found((HERE, 1, 0.9))]
    assert compare(shown, truth) == (2 / 3, 2 / 4)


def test_the_table_has_medians_with_the_lowest_and_the_highest():
    frame = [found((HERE, 0, 0.9))]
    laps = {
        EVERY: [Lap(seconds, 10.0, 1.0, frame) for seconds in (8.0, 12.0, 20.0)],
        "less": [Lap(4.0, cpu, 0.5, frame) for cpu in (2.0, 6.0, 5.0)],
    }
    machine = {"cpu": "a CPU", "cores": 2, "versions": {"numpy": "2"}}
    told = {"made": "today", "machine": machine, "clip": "a.mp4", "model": "m.onnx", "threshold": 0.3, "frames": 1}
    *_, every, less = to_markdown({**told, "rounds": 3, "ways": dict(sum_up(laps))}).splitlines()
    assert every == "| every frame | 100% | 1.00 × (1.00 – 1.00) | 100% (100% – 100%) | 1.000 | 1.000 |"
    assert less == "| less | 50% | 3.00 × (2.00 – 5.00) | 50% (20% – 60%) | 1.000 | 1.000 |"
