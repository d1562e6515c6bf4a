"""The measures, against scikit-learn, SciPy and plain counting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as reference

from training.curves import find_threshold
from training.intervals import bootstrap, paired_difference, wilson
from training.metrics import NO_GROUP, evaluate_scores, in_top

KEYS = [
    "accuracy",
    "top5",
    "precision",
    "recall",
    "f1",
    "weighted",
    "per_class",
    "intervals",
    "ece",
    "confusion",
    "slices",
    "thresholds",
    "n",
]


def draw(n: int, classes: int, *, strength: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float32 [n, classes] that are right more often than not, and labels of unequal frequency."""
    random = np.random.default_rng(seed)
    weights = np.arange(1, classes + 1)
    labels = random.choice(classes, n, p=weights / weights.sum())
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), labels] += strength
    powers = np.exp(logits)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32), labels.astype(np.int64)


def names(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


@pytest.mark.parametrize(("n", "classes"), [(200, 2), (500, 7), (2000, 30)])
def test_values_agree_with_scikit_learn(n: int, classes: int) -> None:
    scores, labels = draw(n, classes)
    found = evaluate_scores(scores, labels, names(classes))
    predicted = scores.argmax(1)
    assert found.n == n
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    for average, ours in (("macro", found), ("weighted", found.weighted)):
        theirs = reference.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs)
    each = reference.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    for c, ours in enumerate(found.per_class):
        assert (ours.precision, ours.recall, ours.f1, ours.n) == pytest.approx([values[c] for values in each])
        theirs = reference.average_precision_score(labels == c, scores[:, c])
        assert ours.average_precision == pytest.approx(theirs)
    np.testing.assert_array_equal(found.confusion, reference.confusion_matrix(labels, predicted))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    scores, labels = draw(400, 12)
    theirs = reference.top_k_accuracy_score(labels, scores, k=k, labels=range(12))
    assert in_top(scores, labels, k).mean() == pytest.approx(theirs)


def test_equal_scores_rank_in_the_order_of_the_classes() -> None:
    scores = np.full((3, 6), 1 / 6, np.float32)
    assert in_top(scores, np.array([0, 4, 5]), 5).tolist() == [True, True, False]
    assert in_top(scores, np.array([0, 1, 5]), 1).tolist() == [True, False, False]


def test_averages_leave_out_classes_without_pictures() -> None:
    scores, labels = draw(300, 4)
    wide = np.concatenate([0.4 * scores, np.full((300, 96), 0.6 / 96, np.float32)], 1)
    wide[:20, 50] = 0.9  # a class that has no pictures is called now and then
    found = evaluate_scores(wide, labels, names(100))
    predicted = wide.argmax(1)
    theirs = reference.precision_recall_fscore_support(labels, predicted, labels=range(4), average="macro")[:3]
    assert (found.precision, found.recall, found.f1) == pytest.approx(theirs)
    stray = found.per_class[50]
    assert (stray.n, stray.predicted, stray.recall, stray.threshold) == (0, 20, 0, None)
    assert found.intervals["f1"][0] <= found.f1 <= found.intervals["f1"][1]


def test_json_has_the_keys_that_were_promised() -> None:
    scores, labels = draw(100, 3)
    values = evaluate_scores(scores, labels, names(3), ["a", "b"] * 50).to_json()
    assert set(KEYS) == set(values)
    assert json.loads(json.dumps(values))["n"] == 100
    assert [sum(row) for row in values["confusion"]] == [each["n"] for each in values["per_class"]]
    assert evaluate_scores(scores, labels, names(3)).to_json()["slices"] is None


# Intervals


@pytest.mark.parametrize(("right", "n"), [(0, 3), (3, 3), (1, 7), (95, 100), (4321, 5000)])
def test_wilson_agrees_with_scipy(right: int, n: int) -> None:
    theirs = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high))


def test_bootstrap_agrees_with_one_that_draws_pictures() -> None:
    scores, labels = draw(400, 4)
    predicted, hits = scores.argmax(1), in_top(scores, labels, 2)
    found = bootstrap(labels, predicted, hits, 4, resamples=4000).overall
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 400, 400)
        macro = reference.precision_recall_fscore_support(labels[rows], predicted[rows], average="macro")[:3]
        drawn.append([(labels == predicted)[rows].mean(), hits[rows].mean(), *macro])
    theirs = np.quantile(drawn, [0.025, 0.975], axis=0).T
    for measure, bounds in zip(["accuracy", "top5", "precision", "recall", "f1"], theirs, strict=True):
        assert found[measure] == pytest.approx(bounds, abs=0.012), measure


def test_intervals_hold_the_true_accuracy_about_as_often_as_they_say() -> None:
    random, inside = np.random.default_rng(0), 0
    for trial in range(200):
        labels = random.integers(0, 2, 150)
        predicted = np.where(random.random(150) < 0.8, labels, 1 - labels)
        low, high = bootstrap(labels, predicted, predicted == labels, 2, trial, resamples=300).overall["accuracy"]
        inside += low <= 0.8 <= high
    assert 0.9 < inside / 200 < 0.99


def test_a_value_of_few_pictures_a_class_lies_in_its_interval() -> None:
    scores, labels = draw(300, 100, strength=3)
    found = evaluate_scores(scores, labels, names(100))
    for name in ("accuracy", "precision", "recall", "f1"):
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high
    for each in found.per_class:
        assert each.f1_interval[0] <= each.f1 + 1e-6
        assert each.f1 <= each.f1_interval[1] + 1e-6


def test_five_right_ones_of_five_prove_little() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    found = evaluate_scores(np.eye(2, dtype=np.float32)[labels], labels, names(2))
    assert found.intervals == dict.fromkeys(found.intervals, wilson(5, 5))
    assert all(each.f1_interval[0] < wilson(each.n, each.n)[0] + 1e-6 for each in found.per_class)
    assert evaluate_scores(np.eye(2, dtype=np.float32)[1 - labels], labels, names(2)).intervals["accuracy"][1] > 0.3


def test_a_class_without_a_mistake_among_others_has_an_interval() -> None:
    labels = np.repeat([0, 1, 2], 20)
    predicted = np.where(np.arange(60) == 59, 1, labels)
    found = evaluate_scores(np.eye(3, dtype=np.float32)[predicted], labels, names(3), [str(i) for i in labels])
    assert found.per_class[0].f1_interval == pytest.approx(wilson(20, 20))
    assert next(each for each in found.slices or () if each.slice == "0").f1_interval == wilson(20, 20)
    scores = np.eye(3, dtype=np.float32)[np.where(labels == 0, 1, labels)]
    assert evaluate_scores(scores, labels, names(3)).per_class[0].f1_interval == pytest.approx(wilson(0, 20))


def test_intervals_repeat_and_follow_the_seed() -> None:
    scores, labels = draw(200, 3)
    first, again, other = (evaluate_scores(scores, labels, names(3), seed=seed).intervals for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_difference_of_pairs_is_sharper_than_two_intervals() -> None:
    first = np.arange(1000) % 10 < 8
    second = first.copy()
    second[np.flatnonzero(~first)[:30]] = True
    low, high = paired_difference(first, second)
    assert 0 < low < 0.03 < high < 0.045
    assert paired_difference(first, first) == (0, 0)


# Thresholds


def test_a_threshold_is_the_lowest_that_reaches_the_precision() -> None:
    scores, labels = draw(600, 5)
    true, score = labels == 2, scores[:, 2]
    found = find_threshold(true, score, 0.8)
    assert found is not None
    reaching = [t for t in np.unique(score) if true[score >= t].mean() >= 0.8]
    assert found.score == min(reaching)
    kept = score >= found.score
    assert (found.n, found.precision, found.recall) == (
        kept.sum(),
        pytest.approx(true[kept].mean()),
        pytest.approx(true[kept].sum() / true.sum()),
    )


def test_a_precision_that_no_score_reaches_has_no_threshold() -> None:
    true, scores = np.array([False, True]), np.array([0.9, 0.5], np.float32)
    assert find_threshold(true, scores, 0.8) is None
    assert find_threshold(true, scores, 0.5) is not None
    assert find_threshold(np.array([False, False]), scores, 0.1) is None


def test_the_overall_threshold_judges_best_classes() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], np.float32)
    found = evaluate_scores(scores, np.array([0, 0, 1, 0]), names(2), precision=1.0).threshold
    assert found is not None
    assert (found.score, found.n, found.recall) == (pytest.approx(0.7), 3, 1)


# Slices


def test_unequal_quality_shows_worst_first() -> None:
    labels = np.tile([0, 1], 150)
    predicted = labels.copy()
    predicted[:60] = 1 - predicted[:60]  # of the 100 of `night`
    groups = ["night"] * 100 + ["day"] * 190 + [None] * 10
    scores = np.eye(2, dtype=np.float32)[predicted] * 0.8 + 0.1
    found = evaluate_scores(scores, labels, names(2), groups).slices
    assert found is not None
    assert [(each.slice, each.n, each.accuracy) for each in found] == [
        ("night", 100, 0.4),
        ("day", 190, 1.0),
        (NO_GROUP, 10, 1.0),
    ]
    assert [each.below for each in found] == [True, False, False]
    assert found[0].accuracy_interval == wilson(40, 100)
    assert found[0].f1 == pytest.approx(reference.f1_score(labels[:100], predicted[:100], average="macro"))
    assert found[2].accuracy_interval[0] == pytest.approx(0.7225, abs=1e-3)  # ten right ones prove little


def test_one_group_is_not_below_itself() -> None:
    scores, labels = draw(50, 3)
    found = evaluate_scores(scores, labels, names(3), ["all"] * 50)
    assert found.slices is not None
    assert [(each.slice, each.below) for each in found.slices] == [("all", False)]
    assert found.slices[0].accuracy == pytest.approx(found.accuracy)
