"""Precision, recall, F1 and what belongs to them, against an independent evaluator and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.boxes import BOX, LABELS, found, moved, truth

from pipeline.types import Detections
from training.annotated import AnnotatedImage
from training.coco import RECALLS, average_precision
from training.evaluation_boxes import compare_boxes
from training.intervals import bootstrap_sums, wilson
from training.metrics_boxes import BoxMetrics, best_point, evaluate_boxes
from training.thresholds import Point

PERSON, CAR, DOG = range(3)
BACKGROUND = 3


def judge(truth: list[AnnotatedImage], found: list[Detections], threshold: float = 0.25) -> BoxMetrics:
    average = average_precision(truth, found, LABELS, 1000)
    return evaluate_boxes(truth, found, LABELS, average, threshold=threshold, precision=0.9)


def street(seed: int, pictures: int = 30, labels: int = 2) -> tuple[list[AnnotatedImage], list[Detections]]:
    """Random objects, some of them crowds, and boxes near them and elsewhere."""
    random = np.random.default_rng(seed)
    objects, seen = [], []
    for _ in range(pictures):
        boxes = [(moved(BOX, *random.uniform(0, 350, 2)), int(random.integers(labels))) for _ in range(6)]
        near = [(moved(box, *random.normal(0, 15, 2)), int(random.integers(labels))) for box, _ in boxes for _ in "ab"]
        scores = np.sort(random.random(len(near)).astype(np.float32).round(2))[::-1]
        objects.append(truth(*boxes, crowd=[0] if random.random() < 0.2 else []))
        seen.append(found(*((box, label, float(s)) for (box, label), s in zip(near, scores, strict=True))))
    return objects, seen


def interpolate(precision: np.ndarray, recall: np.ndarray) -> float:
    """COCO's average precision of a curve: of the best precision at each recall or beyond it."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(best, 0)[reached].mean())


@pytest.mark.parametrize("seed", range(4))
def test_the_curve_is_the_one_that_coco_integrates(seed: int) -> None:
    random = np.random.default_rng(seed)
    objects, seen = street(seed, labels=1)
    scores = random.permutation(sum(map(len, seen))) / 1000 + 0.1  # no two alike: COCO orders equal ones by picture
    ends = np.cumsum([len(each) for each in seen])
    parts = [np.sort(part)[::-1].astype(np.float32) for part in np.split(scores, ends[:-1])]
    seen = [Detections(each.boxes_N4, each.labels_N, part, LABELS) for each, part in zip(seen, parts, strict=True)]
    metrics = judge(objects, seen)
    assert metrics.average.map50 == pytest.approx(interpolate(metrics.curve.precision, metrics.curve.recall), abs=1e-9)
    assert 0.2 < metrics.average.map50 < 0.9


def test_counts_agree_with_each_other() -> None:
    objects, seen = street(5)
    metrics = judge(objects, seen, threshold=0.4)
    shown, right, there = metrics.counts_N3.sum(0).tolist()
    assert metrics.point == metrics.curve.at(0.4)
    assert metrics.point == Point(0.4, right / shown, right / there, pytest.approx(2 * right / (shown + there)), shown)
    assert metrics.confusion.trace() == right
    assert metrics.confusion[:-1].sum() == there == metrics.average.boxes
    assert metrics.confusion[:, :-1].sum() == shown
    errors = metrics.errors
    assert sum(errors.values()) - errors["missed"] == shown - right
    assert 0 < errors["missed"] <= there - right
    for c, each in enumerate(metrics.per_class):
        n, predicted = metrics.confusion[c].sum(), metrics.confusion[:, c].sum()
        assert (each.label, each.n, each.predicted) == (LABELS[c], n, predicted)
        assert each.f1 == pytest.approx(2 * metrics.confusion[c, c] / max(n + predicted, 1))
        assert each.map == metrics.average.per_class[each.label]


def test_values_by_hand() -> None:
    objects = [truth((BOX, PERSON), (moved(BOX, 200), CAR)), truth((BOX, PERSON)), truth()]
    seen = [
        found((BOX, PERSON, 0.9), (moved(BOX, 202), CAR, 0.2)),
        found((moved(BOX, 60), PERSON, 0.75)),
        found((BOX, CAR, 0.125)),
    ]
    metrics = judge(objects, seen)
    assert metrics.point == Point(0.25, 0.5, pytest.approx(1 / 3), pytest.approx(2 / 5), 2)
    assert metrics.best == Point(
        pytest.approx(0.2), pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), 3
    )
    assert best_point(objects, seen, len(LABELS)) == metrics.best
    assert metrics.reaching == Point(pytest.approx(0.9), 1.0, pytest.approx(1 / 3), pytest.approx(0.5), 1)
    assert metrics.errors == {"missed": 1, "duplicate": 0, "localisation": 1, "class": 0, "background": 0}
    assert metrics.counts_N3.tolist() == [[1, 1, 2], [1, 0, 1], [0, 0, 0]]
    person, car, dog = metrics.per_class
    assert (person.n, person.predicted, person.precision, person.recall) == (2, 2, 0.5, 0.5)
    assert (car.n, car.predicted, car.precision, car.threshold) == (1, 0, 0.0, Point(pytest.approx(0.2), 1, 1, 1, 1))
    assert car.map50 == pytest.approx(1)
    assert (dog.n, dog.map, dog.map50, dog.threshold) == (0, None, None, None)


def test_the_keys_for_machines() -> None:
    values = json.loads(json.dumps(judge(*street(1)).to_json()))
    assert set(values) >= {
        *("map", "map50", "map75", "by_size", "per_class", "precision", "recall", "f1", "threshold"),
        *("best", "confusion", "errors", "intervals"),
    }
    assert set(values["best"]) == {"threshold", "precision", "recall", "f1", "n"}
    assert set(values["by_size"]) == {"small", "medium", "large"}
    assert np.shape(values["confusion"]) == (4, 4)


def test_intervals_hold_the_value_and_shrink_with_more_pictures() -> None:
    widths = []
    for pictures in (10, 300):
        metrics = judge(*street(2, pictures))
        assert list(metrics.intervals) == ["map", "map50", "map75", "precision", "recall", "f1"]
        for name, (low, high) in metrics.intervals.items():
            assert low < metrics.to_json()[name] < high
        widths.append([np.diff(metrics.intervals[name]) for name in ("map", "f1")])
    assert np.all(widths[1] < 0.5 * np.array(widths[0]))


def test_what_is_always_right_or_wrong_has_wilsons_interval() -> None:
    names = ("map", "map50", "map75", "precision", "recall", "f1")
    right = judge([truth((BOX, CAR))] * 4, [found((BOX, CAR, 0.9))] * 4)
    assert right.intervals == dict.fromkeys(names, wilson(4, 4))
    wrong = judge([truth((BOX, CAR))] * 4, [found((BOX, DOG, 0.9))] * 4)
    assert wrong.intervals == dict.fromkeys(names, wilson(0, 4))
    some = judge([truth((BOX, CAR), (moved(BOX, 200), CAR))] * 4, [found((BOX, CAR, 0.9))] * 4)
    assert some.intervals["precision"] == wilson(4, 4)
    assert some.intervals["f1"] == pytest.approx((2 / 3, 2 / 3))  # each picture is like the others


def test_sums_are_resampled_by_pictures() -> None:
    counts = np.repeat([[0, 1], [1, 1]], [300, 100], axis=0)
    ((low, high),) = bootstrap_sums(counts, lambda sums: sums[:, :1] / sums[:, 1:])
    spread = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.25 - spread, 0.25 + spread), abs=0.01)
    pairs = bootstrap_sums(np.repeat(counts, 2, axis=1), lambda sums: np.stack([sums[:, 0] - sums[:, 1]], 1))
    assert pairs == [(0.0, 0.0)]


def test_two_detectors_are_compared_picture_by_picture() -> None:
    objects, seen = street(3)
    first = judge(objects, seen)
    second = judge(objects, [each.where(each.scores_N > 0.5) for each in seen])
    told = compare_boxes(first, second)
    assert told.f1_difference == second.point.f1 - first.point.f1 != 0
    assert told.interval[0] <= told.f1_difference <= told.interval[1]
    assert told.map_difference == second.average.map - first.average.map
    assert np.diff(told.interval) < np.diff(first.intervals["f1"])
    assert told.map_interval[0] <= told.map_difference <= told.map_interval[1]
    assert np.diff(told.map_interval) < np.diff(first.intervals["map"])
    same = compare_boxes(first, first)
    assert (same.map_difference, same.map_interval) == (same.f1_difference, same.interval) == (0, (0, 0))


def test_nothing_found() -> None:
    metrics = judge([truth((BOX, CAR))], [found()])
    assert (metrics.point, metrics.best, metrics.reaching) == (Point(0.25, 0, 0, 0, 0), None, None)
    assert metrics.to_json()["best"] is None
    assert best_point([truth((BOX, CAR))], [found()], len(LABELS)) is None
    assert best_point([truth((BOX, CAR))], [found((BOX, PERSON, 0.9))], len(LABELS)) is None
    assert metrics.errors["missed"] == 1
