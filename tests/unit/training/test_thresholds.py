"""Precision, recall and F1 of every threshold, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from training.thresholds import Point, threshold_curve


def test_every_threshold_by_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores = random.random(200).astype(np.float32).round(2)  # some are equal
    right = random.random(200) < scores
    missed = 30
    curve = threshold_curve(right, scores, int(right.sum()) + missed)
    assert curve.scores.tolist() == sorted(set(scores.tolist()), reverse=True)
    truth = np.append(right, np.ones(missed, bool))
    for t, score in enumerate(curve.scores):
        said = np.append(scores >= score, np.zeros(missed, bool))
        expected = precision_recall_fscore_support(truth, said, average="binary", zero_division=0)[:3]
        assert (curve.precision[t], curve.recall[t], curve.f1[t]) == pytest.approx(expected)
        assert curve.at(float(score)) == Point(float(score), *map(pytest.approx, expected), n=int(said.sum()))
    best = curve.best()
    assert best is not None
    assert best.f1 == max(curve.f1)
    assert curve.at(best.threshold) == best


def test_points_between_and_beyond_the_scores() -> None:
    curve = threshold_curve(np.array([True, False, True]), np.float32([0.9, 0.5, 0.25]), 4)
    assert curve.at(0.3) == Point(0.3, 0.5, 0.25, pytest.approx(2 / 6), 2)
    assert curve.at(0.0) == Point(0.0, pytest.approx(2 / 3), 0.5, pytest.approx(4 / 7), 3)
    assert curve.at(0.95) == Point(0.95, 0.0, 0.0, 0.0, 0)


def test_the_lowest_threshold_that_reaches_a_precision() -> None:
    curve = threshold_curve(np.array([True, False, True, True, False]), np.float32([0.9, 0.8, 0.5, 0.25, 0.125]), 4)
    assert curve.reaching(0.75) == Point(0.25, 0.75, 0.75, pytest.approx(6 / 8), 4)
    assert curve.reaching(0.9) == Point(pytest.approx(0.9), 1.0, 0.25, pytest.approx(2 / 5), 1)
    assert threshold_curve(np.array([False]), np.float32([0.5]), 1).reaching(0.1) is None


def test_of_equal_f1_the_highest_threshold_is_best() -> None:
    curve = threshold_curve(np.array([True, False, False, True]), np.float32([0.9, 0.8, 0.7, 0.6]), 2)
    assert curve.f1.tolist() == pytest.approx([2 / 3, 1 / 2, 2 / 5, 2 / 3])
    assert curve.best() == Point(pytest.approx(0.9), 1.0, 0.5, pytest.approx(2 / 3), 1)


def test_nothing_found_or_nothing_right() -> None:
    curve = threshold_curve(np.empty(0, np.bool_), np.empty(0, np.float32), 3)
    assert (curve.best(), curve.reaching(0.5), curve.at(0.5)) == (None, None, Point(0.5, 0.0, 0.0, 0.0, 0))
    assert threshold_curve(np.array([False]), np.float32([0.5]), 0).best() is None
