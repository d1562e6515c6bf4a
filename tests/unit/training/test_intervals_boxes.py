"""Intervals of COCO's average precisions: resamples have the evaluator's own values, and spread as new pictures do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from support.boxes import BOX, LABELS, Box, found, moved, truth

from pipeline.types import Detections
from training import intervals_boxes
from training.annotated import AnnotatedImage
from training.coco import IOUS, DetectionMetrics, average_precision
from training.coco_weighted import average_weighted, class_curves
from training.intervals import wilson
from training.intervals_boxes import average_difference, average_intervals, resample_averages

PERSON, CAR, DOG = range(3)

Scene = tuple[list[AnnotatedImage], list[Detections]]


def street(seed: int, pictures: int = 40, digits: int = 2) -> Scene:
    """Objects from 8 to 200 pixels, crowds among them, and boxes near them and elsewhere; some pictures are empty, and
    of dogs there are only crowds. Scores with few `digits` are often the same.
    """
    random = np.random.default_rng(seed)
    objects, seen = [], []
    for _ in range(pictures):
        boxes = [(box, int(random.integers(2))) for box in _boxes(random, random.integers(6))]
        crowds = [(box, int(random.integers(3))) for box in _boxes(random, random.integers(3) if boxes else 0)]
        near = [(_shaken(random, box), label) for box, label in boxes + crowds for _ in "ab" if random.random() < 0.8]
        near += [(box, int(random.integers(3))) for box in _boxes(random, random.integers(4))]
        scores = np.sort(random.random(len(near)).round(digits))[::-1].tolist()
        objects.append(truth(*boxes, *crowds, crowd=range(len(boxes), len(boxes) + len(crowds))))
        seen.append(found(*((box, label, score) for (box, label), score in zip(near, scores, strict=True))))
    return objects, seen


def _boxes(random: np.random.Generator, count: int) -> list[Box]:
    sizes_N2 = np.exp(random.uniform(np.log(8), np.log(200), (count, 2)))
    corners_N2 = random.uniform(0, 280, (count, 2))
    return [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners_N2.tolist(), sizes_N2.tolist(), strict=True)]


def _shaken(random: np.random.Generator, box: Box) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    return moved(box, random.normal(0, 0.1 * width), random.normal(0, 0.1 * height))


def weighted(average: DetectionMetrics, weights_NR: NDArray[np.int64]) -> NDArray[np.float64]:
    return average_weighted([class_curves(each) for each in average.matches()], weights_NR.astype(np.float64))


def measured(average: DetectionMetrics) -> tuple[float | None, ...]:
    return average.map, average.map50, average.map75


def repeated(scene: Scene, times_N: Sequence[int]) -> Scene:
    """Each picture as often as `times_N` says."""
    objects, seen = ([each for each, times in zip(part, times_N, strict=True) for _ in range(times)] for part in scene)
    return objects, seen


@pytest.mark.parametrize("seed", range(6))
def test_all_pictures_once_give_the_evaluators_own_values(seed: int) -> None:
    average = average_precision(*street(seed), LABELS, max_detections=4)
    assert 0.1 < average.map < average.map50 < 0.9
    assert {size for size, value in average.by_size.items() if value} == {"small", "medium", "large"}
    np.testing.assert_allclose(weighted(average, np.ones((40, 1), np.int64)), [measured(average)], rtol=0, atol=1e-9)


def test_a_resample_is_worth_what_the_evaluator_says_of_it() -> None:
    scene = street(7, digits=12)
    random = np.random.default_rng(0)
    weights_NR = random.multinomial(40, np.full(40, 1 / 40), size=8).T
    weights_NR[[CAR in image.labels_N for image in scene[0]], 0] = 0  # a class goes missing
    expected = [measured(average_precision(*repeated(scene, times_N), LABELS)) for times_N in weights_NR.T.tolist()]
    np.testing.assert_allclose(weighted(average_precision(*scene, LABELS), weights_NR), expected, rtol=0, atol=1e-9)


def test_what_was_matched() -> None:
    crowd, narrow = (200, 0, 600, 400), (10, 10, 92, 110)  # IoU with the box: 0.82
    pictures = [truth(), truth((BOX, CAR), (crowd, CAR), crowd=[1])]
    seen = [found((BOX, CAR, 0.5)), found((moved(BOX, 250), CAR, 0.9), (narrow, CAR, 0.3), (BOX, DOG, 0.2))]
    (car,) = average_precision(pictures, seen, LABELS).matches()
    assert car.pictures_D.tolist() == [1, 0, 1]
    assert car.objects_N.tolist() == [0, 1]
    assert car.right_TD.tolist() == [[False, False, iou < 0.82] for iou in IOUS.tolist()]
    assert car.counted_TD.tolist() == [[False, True, True]] * len(IOUS)


def test_resamples_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    average = average_precision(*street(1), LABELS)
    drawn_R3 = resample_averages(average, seed=3)
    monkeypatch.setattr(intervals_boxes, "_AT_ONCE", 7 * 40)
    np.testing.assert_array_equal(resample_averages(average, seed=3), drawn_R3)
    assert not np.array_equal(resample_averages(average, seed=4), drawn_R3)


def test_intervals_are_as_wide_as_other_pictures_make_the_values_differ() -> None:
    averages = [average_precision(*street(seed, 60), LABELS) for seed in range(40)]
    expected_3 = 2 * 1.96 * np.std([measured(average) for average in averages], axis=0)
    widths_N3 = []
    for average in averages[:10]:
        intervals = average_intervals(average, resample_averages(average, resamples=300))
        assert list(intervals) == ["map", "map50", "map75"]
        for (low, high), value in zip(intervals.values(), measured(average), strict=True):
            assert low < value < high
        widths_N3.append(np.diff(list(intervals.values()))[:, 0])
    np.testing.assert_allclose(np.mean(widths_N3, 0), expected_3, rtol=0.35)


def test_intervals_lie_around_what_was_measured() -> None:
    average = average_precision(*street(2, 12), LABELS)
    drawn_R3 = resample_averages(average)
    (low, high), *_ = average_intervals(average, drawn_R3).values()
    bounds = np.quantile(drawn_R3[:, 0], [0.025, 0.975])
    assert drawn_R3[:, 0].mean() > average.map  # COCO's curve takes the best precision at each recall or beyond it
    np.testing.assert_allclose((low, high), bounds - drawn_R3[:, 0].mean() + average.map)


def test_what_no_resample_can_change_has_wilsons_interval() -> None:
    right = average_precision([truth((BOX, CAR))] * 4, [found((BOX, CAR, 0.9))] * 4, LABELS)
    names = ("map", "map50", "map75")
    assert average_intervals(right, resample_averages(right)) == dict.fromkeys(names, wilson(4, 4))
    wrong = average_precision([truth((BOX, CAR))] * 4, [found()] * 4, LABELS)
    assert average_intervals(wrong, resample_averages(wrong)) == dict.fromkeys(names, wilson(0, 4))


def test_resamples_without_objects_are_left_out() -> None:
    objects = [truth((BOX, CAR), (moved(BOX, 200), CAR)), truth((BOX, CAR)), truth(), truth()]
    average = average_precision(objects, [found((BOX, CAR, 0.9))] * 4, LABELS)
    drawn_R3 = resample_averages(average)
    assert 0 < np.isnan(drawn_R3).all(1).sum() == np.isnan(drawn_R3).any(1).sum() < 200
    assert np.isfinite(list(average_intervals(average, drawn_R3).values())).all()


@pytest.mark.parametrize("objects", [truth(), truth((BOX, CAR), crowd=[0])])
def test_nothing_to_find(objects: AnnotatedImage) -> None:
    average = average_precision([objects] * 2, [found((BOX, CAR, 0.9))] * 2, LABELS)
    assert average_intervals(average, resample_averages(average)) == {}


def test_a_difference_is_judged_picture_by_picture() -> None:
    objects, seen = street(3, 80)
    random = np.random.default_rng(0)
    fewer = [each.where(random.random(len(each)) > 0.2) for each in seen]
    first, second = (average_precision(objects, each, LABELS) for each in (seen, fewer))
    drawn = [resample_averages(each) for each in (first, second)]
    difference = second.map - first.map
    low, high = average_difference(difference, *drawn)
    assert low < difference < high < 0
    independent = 2 * 1.96 * np.hypot(*(each[:, 0].std() for each in drawn))
    assert high - low < 0.7 * independent
    assert average_difference(0, drawn[0], drawn[0]) == (0, 0)
