"""Each kind of mistake as it looks, and where two would fit."""

from __future__ import annotations

import pytest
from support.boxes import BOX, Box, found, moved, truth

from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.matching import match
from training.mistakes import Mistake, find_mistakes

PERSON, CAR = 0, 1
NEAR: Box = moved(BOX, 50)  # IoU 1 ÷ 3
FAR: Box = moved(BOX, 95)  # IoU 1 ÷ 39


def mistakes(objects: AnnotatedImage, seen: Detections) -> list[Mistake]:
    return list(find_mistakes(7, objects, seen, match(objects, seen)))


@pytest.mark.parametrize(
    ("box", "label", "kinds"),
    [
        (BOX, PERSON, []),
        (NEAR, PERSON, ["localisation"]),
        (BOX, CAR, ["class"]),
        (NEAR, CAR, ["background", "missed"]),
        (FAR, PERSON, ["background", "missed"]),
        (moved(BOX, 300), PERSON, ["background", "missed"]),
    ],
)
def test_one_object_and_one_box(box: Box, label: int, kinds: list[str]) -> None:
    assert [each.kind for each in mistakes(truth((BOX, PERSON)), found((box, label, 0.9)))] == kinds


def test_a_duplicate_has_a_better_box_before_it() -> None:
    assert mistakes(truth((BOX, PERSON)), found((moved(BOX, 30), PERSON, 0.9), (BOX, PERSON, 0.5))) == [
        Mistake("duplicate", 7, 1, 0, 0.5)
    ]


def test_an_object_is_missed_unless_a_box_was_meant_for_it() -> None:
    other = moved(BOX, 0, 200)
    objects = truth((BOX, PERSON), (other, PERSON), areas=[5000, 70])
    assert mistakes(objects, found((NEAR, PERSON, 0.25))) == [
        Mistake("localisation", 7, 0, 0, 0.25),
        Mistake("missed", 7, None, 1, 70.0),
    ]


def test_the_first_kind_that_fits() -> None:
    objects = truth((BOX, PERSON), (moved(BOX, 10), CAR))
    seen = found((BOX, PERSON, 0.9), (moved(BOX, 10), CAR, 0.8), (moved(BOX, 5), PERSON, 0.7))
    assert mistakes(objects, seen) == [Mistake("class", 7, 2, 1, pytest.approx(0.7))]
    objects = truth((NEAR, PERSON), (BOX, CAR))
    assert [each.kind for each in mistakes(objects, found((BOX, PERSON, 0.9)))] == ["localisation", "missed"]


def test_crowds_are_no_objects() -> None:
    crowd: Box = (0, 0, 400, 400)
    objects = truth((crowd, PERSON), (BOX, CAR), crowd=[0])
    inside: Box = (200, 200, 250, 250)
    assert mistakes(objects, found((inside, PERSON, 0.9), (inside, CAR, 0.8))) == [
        Mistake("background", 7, 1, None, pytest.approx(0.8)),
        Mistake("missed", 7, None, 1, 10_000.0),
    ]


def test_a_picture_without_objects() -> None:
    assert mistakes(truth(), found((BOX, CAR, 0.5))) == [Mistake("background", 7, 0, None, 0.5)]
    assert mistakes(truth(), found()) == []
