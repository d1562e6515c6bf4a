"""Who found what, against cases that can be told by looking at them."""

from __future__ import annotations

import numpy as np
import pytest
from support.boxes import BOX, LABELS, Box, found, moved, truth

from training.matching import CROWD, NOTHING, confuse, match, overlaps

PERSON, CAR, DOG = range(3)
BACKGROUND = len(LABELS)
AWAY: Box = moved(BOX, 300)


def test_overlaps() -> None:
    boxes = np.array([BOX, moved(BOX, 50), AWAY, (20, 20, 20, 20)], np.float32)
    overlap_NM = overlaps(boxes, boxes[:2], np.array([False, False]))
    np.testing.assert_allclose(overlap_NM, [[1, 1 / 3], [1 / 3, 1], [0, 0], [0, 0]])


def test_of_a_crowd_the_found_box_alone_counts() -> None:
    boxes = np.array([(0, 0, 10, 10), (95, 0, 105, 10), (20, 20, 20, 20)], np.float32)
    overlap_NM = overlaps(boxes, np.array([(0, 0, 100, 100)], np.float32), np.array([True]))
    np.testing.assert_allclose(overlap_NM, [[1], [0.5], [0]])


@pytest.mark.parametrize(("shift", "expected"), [(33, 0), (34, NOTHING)])  # IoU 67 ÷ 133 and 66 ÷ 134
def test_half_an_overlap_is_enough(shift: int, expected: int) -> None:
    assert match(truth((BOX, PERSON)), found((moved(BOX, shift), PERSON, 0.9))).tolist() == [expected]


def test_only_the_same_class_is_found() -> None:
    assert match(truth((BOX, PERSON)), found((BOX, CAR, 0.9), (BOX, PERSON, 0.1))).tolist() == [NOTHING, 0]


def test_the_surest_box_takes_what_it_overlaps_most_and_an_object_is_taken_once() -> None:
    objects = truth((BOX, PERSON), (moved(BOX, 20), PERSON))
    boxes = [(moved(BOX, 15), PERSON, 0.9), (moved(BOX, 19), PERSON, 0.8), (moved(BOX, 1), PERSON, 0.7)]
    assert match(objects, found(*boxes)).tolist() == [1, 0, NOTHING]


def test_lower_scores_change_nothing_for_higher_ones() -> None:
    random = np.random.default_rng(0)
    objects = truth(
        *((moved(BOX, x), int(c)) for x, c in zip(range(0, 400, 40), random.integers(0, 2, 10), strict=True))
    )
    scores = np.sort(random.random(60))[::-1]
    boxes = [(moved(BOX, float(random.uniform(0, 400))), int(random.integers(0, 2)), float(s)) for s in scores]
    whole = match(objects, found(*boxes))
    assert len(set(whole.tolist())) > 5
    for n in (1, 10, 40):
        assert match(objects, found(*boxes[:n])).tolist() == whole[:n].tolist()


def test_what_lies_in_a_crowd_counts_neither_way() -> None:
    objects = truth((BOX, PERSON), ((200, 0, 600, 400), PERSON), crowd=[1])
    inside, other = (210, 10, 260, 90), (300, 10, 360, 90)
    seen = found((inside, PERSON, 0.9), (other, PERSON, 0.8), (other, CAR, 0.7), (BOX, PERSON, 0.6))
    matched = match(objects, seen)
    assert matched.tolist() == [CROWD, CROWD, NOTHING, 0]
    counts = confuse(objects, seen, matched, len(LABELS))
    assert counts[PERSON, PERSON] == counts[BACKGROUND, CAR] == 1
    assert counts.sum() == 2


def test_nothing_there_and_nothing_found() -> None:
    for objects, seen in ((truth(), found()), (truth((BOX, CAR)), found()), (truth(), found((BOX, CAR, 0.9)))):
        matched = match(objects, seen)
        assert matched.tolist() == [NOTHING] * len(seen)
        counts = confuse(objects, seen, matched, len(LABELS))
        assert (counts[CAR, BACKGROUND], counts[BACKGROUND, CAR]) == (len(objects), len(seen))
        assert counts.sum() == len(objects) + len(seen)


def test_a_confusion_by_hand() -> None:
    objects = truth((BOX, PERSON), (AWAY, CAR), (moved(BOX, 0, 200), DOG), (moved(BOX, 200, 200), DOG))
    seen = found(
        (BOX, PERSON, 0.9),  # right
        (moved(BOX, 5), PERSON, 0.8),  # once more: there is nothing else there
        (moved(AWAY, 10), PERSON, 0.7),  # a car taken for a person
        (moved(AWAY, 1), DOG, 0.6),  # that car is taken already
        (moved(BOX, 0, 200), CAR, 0.5),  # a dog taken for a car
        ((500, 400, 520, 420), CAR, 0.4),  # nothing there
    )
    counts = confuse(objects, seen, match(objects, seen), len(LABELS))
    assert counts.tolist() == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 1],
        [1, 1, 1, 0],
    ]
    assert counts[:-1].sum() == len(objects)
    assert counts[:, :-1].sum() == len(seen)


def test_the_right_class_comes_before_a_surer_wrong_one() -> None:
    objects, seen = truth((BOX, PERSON)), found((BOX, CAR, 0.9), (moved(BOX, 10), PERSON, 0.3))
    counts = confuse(objects, seen, match(objects, seen), len(LABELS))
    assert counts[PERSON, PERSON] == counts[BACKGROUND, CAR] == 1
    assert counts.sum() == 2
