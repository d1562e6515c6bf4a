"""Detections are matched box by box: equals may change places, and nothing else may."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.gate_boxes import SMALLEST, Distance, match_boxes
from pipeline.errors import ModelError

TOLERANCE = 1e-3
Outputs = dict[str, NDArray[Any]]


def outputs(boxes: Any, scores: Any, labels: Any) -> Outputs:
    """Of one frame."""
    return {
        "boxes": np.asarray(boxes, np.float32).reshape(1, -1, 4),
        "scores": np.asarray(scores, np.float32)[None],
        "labels": np.asarray(labels, np.int64)[None],
    }


def three(**changes: Any) -> Outputs:
    """Three boxes and a row that is not used."""
    rows: dict[str, Any] = {
        "boxes": [[10, 10, 110, 60], [200, 50, 260, 250], [12, 10, 110, 60], [0, 0, 0, 0]],
        "scores": [0.9, 0.8, 0.7, 0.0],
        "labels": [3, 5, 3, -1],
    }
    return outputs(**(rows | changes))


def scene(seed: int, count: int, classes: int, spread: float, same: bool = False) -> Outputs:
    """`count` boxes whose scores lie between 0.5 and 0.5 + `spread`; `same`: they all lie in one place."""
    random = np.random.default_rng(seed)
    corner, sides = random.uniform(0, 500, (count, 2)), random.uniform(10, 140, (count, 2))
    if same:
        corner[:], sides[:] = 100, 50
    scores = -np.sort(-random.uniform(0.5, 0.5 + spread, count))
    return outputs(np.concatenate([corner, corner + sides], 1), scores, random.integers(0, classes, count))


def best(all_rows: Outputs, count: int, seed: int = 0, noise: float = 0.0) -> Outputs:
    """The `count` rows with the highest scores, each score off by up to `noise`, equals in any order."""
    random = np.random.default_rng(seed)
    scores_K = all_rows["scores"][0] + random.uniform(-noise, noise, all_rows["scores"].shape[1])
    rows = random.permutation(len(scores_K))
    rows = rows[np.argsort(-scores_K[rows], kind="stable")[:count]]
    return outputs(all_rows["boxes"][0, rows], scores_K[rows], all_rows["labels"][0, rows])


def fails(ours: Outputs, theirs: Outputs, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        match_boxes(ours, theirs, TOLERANCE)
    assert "\n" not in str(caught.value)


# What passes


def test_the_same_is_no_distance_apart() -> None:
    assert match_boxes(three(), three(), TOLERANCE) == Distance(matched=6)


def test_how_far_they_are_apart_is_told() -> None:
    moved = three(boxes=[[10, 10, 110, 60], [200, 50, 260, 250.1], [12, 10, 110, 60], [0, 0, 0, 0]])
    distance = match_boxes(moved, three(scores=[0.9, 0.8, 0.7005, 0.0]), TOLERANCE)
    assert distance.pixels == pytest.approx(0.1, rel=1e-3)
    assert distance.share == pytest.approx(0.1 / 200.1, rel=1e-3)
    assert distance.score == pytest.approx(0.0005, rel=1e-3)
    assert distance.matched == 6


def test_rows_may_change_places() -> None:
    order = [3, 2, 0, 1]
    moved = {name: values[:, order] for name, values in three().items()}
    assert match_boxes(moved, three(), TOLERANCE) == Distance(matched=6)


def test_close_to_the_lowest_score_equals_may_replace_each_other() -> None:
    ours = outputs([[0, 0, 50, 50], [60, 0, 90, 50]], [0.9, 0.5], [0, 1])
    theirs = outputs([[0, 0, 50, 50], [200, 0, 290, 50]], [0.9, 0.5004], [0, 7])
    assert match_boxes(ours, theirs, TOLERANCE) == Distance(matched=2)
    fails(
        ours, outputs([[0, 0, 50, 50], [200, 0, 290, 50]], [0.9, 0.502], [0, 7]), "class 7, score 0.5020: the file has"
    )


def test_where_all_scores_are_alike_nothing_is_said() -> None:
    assert match_boxes(scene(1, 50, 3, 0.0005), scene(2, 50, 3, 0.0005), TOLERANCE).matched == 0


def test_small_boxes_count_as_larger_ones() -> None:
    ours = outputs([[100, 100, 102, 103], [0, 0, 9, 9]], [0.9, 0.1], [0, 0])
    near = outputs([[100, 100, 102 + 0.9 * TOLERANCE * SMALLEST, 103], [0, 0, 9, 9]], [0.9, 0.1], [0, 0])
    far = outputs([[100, 100, 102 + 1.1 * TOLERANCE * SMALLEST, 103], [0, 0, 9, 9]], [0.9, 0.1], [0, 0])
    match_boxes(ours, near, TOLERANCE)
    fails(ours, far, "pixels and 0 of score away")


def test_boxes_have_a_tolerance_of_their_own() -> None:
    moved = three(boxes=[[10, 10, 110, 61], [200, 50, 260, 250], [12, 10, 110, 60], [0, 0, 0, 0]])
    fails(moved, three(), "1 pixels")
    assert match_boxes(moved, three(), TOLERANCE, box_tolerance=0.02).share == pytest.approx(0.01)


def test_a_row_whose_nearest_is_taken_gets_another() -> None:
    boxes = [[10, 10, 110, 60], [10.04, 10, 110, 60], [300, 0, 400, 9]]
    ours, theirs = outputs(boxes, [0.9, 0.9, 0.1], [0] * 3), outputs(boxes, [0.9, 0.9, 0.1], [0] * 3)
    ours["boxes"][0, :2, 0] = [10.03, 10.12]  # the first is the nearest of both
    assert match_boxes(ours, theirs, TOLERANCE).share == pytest.approx(0.0008, rel=1e-2)


@pytest.mark.parametrize("classes", [1, 7, 90])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("spread", [0.4, 0.01, 0.003])
def test_the_best_of_many_that_look_alike(classes: int, same: bool, spread: float) -> None:
    rows = scene(3, 400, classes, spread, same)
    ours, theirs = best(rows, 250, seed=4, noise=TOLERANCE / 2), best(rows, 250, seed=5, noise=TOLERANCE / 2)
    distance = match_boxes(ours, theirs, TOLERANCE * 1.0001)
    assert distance.matched
    assert distance.score <= TOLERANCE * 1.0001


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_rounding_of_scores_and_boxes_is_refused(data: st.DataObject) -> None:
    """Scores and places on a coarse grid, so that many are equal or just a tolerance apart."""
    count = data.draw(st.integers(2, 14))
    of_rows = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    shift, level = (np.array(data.draw(of_rows)) for _ in range(2))
    boxes = np.array([[10.0, 10, 110, 60]]) + shift[:, None] * 0.05
    rows = outputs(
        boxes, 0.5 + level * 0.5 * TOLERANCE, data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    )
    seeds = data.draw(st.tuples(st.integers(0, 999), st.integers(0, 999)))
    kept = data.draw(st.integers(1, count))
    ours, theirs = (best(rows, kept, seed=seed, noise=TOLERANCE / 2) for seed in seeds)
    match_boxes(ours, theirs, TOLERANCE * 1.0001)


# What fails


def test_a_moved_box() -> None:
    moved = three(boxes=[[10, 10, 110, 60], [200, 50, 260, 251], [12, 10, 110, 60], [0, 0, 0, 0]])
    fails(
        moved,
        three(),
        r"^frame 0, box \[200.0, 50.0, 260.0, 250.0\] of the network, class 5, score 0.8000: "
        r"the closest of the file is 1 pixels and 0 of score away; allowed are 0.2 and 0.001",
    )


def test_another_label() -> None:
    fails(
        three(labels=[3, 4, 3, -1]),
        three(),
        "of the network, class 5, score 0.8000: the file has nothing of this class",
    )
    fails(
        three(labels=[5, 5, 3, -1]),
        three(),
        "class 3, score 0.9000: the closest of the file is 2 pixels and 0.2 of score",
    )


def test_another_score() -> None:
    fails(three(scores=[0.9, 0.78, 0.7, 0.0]), three(), "is 0 pixels and 0.02 of score away; allowed are 0.2 and 0.001")


def test_a_missing_box() -> None:
    fails(
        three(labels=[3, -1, 3, -1], scores=[0.9, 0.0, 0.7, 0.0]),
        three(),
        "class 5, score 0.8000: the file has nothing",
    )


def test_a_box_too_many() -> None:
    fails(
        three(),
        three(labels=[3, -1, 3, -1], scores=[0.9, 0.0, 0.7, 0.0]),
        "box .* of the file, .*: the network has nothing",
    )


def test_nothing_at_all() -> None:
    fails(
        three(labels=[-1] * 4, scores=[0.0] * 4), three(), "class 3, score 0.9000: the file has nothing of this class"
    )


def test_a_box_that_is_found_twice() -> None:
    ours = outputs([[0, 0, 50, 50]] * 3 + [[60, 60, 99, 99]], [0.9, 0.9, 0.9, 0.1], [2] * 4)
    theirs = outputs([[0, 0, 50, 50]] * 2 + [[0, 20, 50, 70], [60, 60, 99, 99]], [0.9, 0.9, 0.9, 0.1], [2] * 4)
    fails(theirs, ours, "of the network, class 2, score 0.9000: the file has fewer that are like it")
    fails(
        ours,
        theirs,
        r"box \[0.0, 20.0, 50.0, 70.0\] of the network, class 2, score 0.9000: the closest of the file is 20",
    )


def test_the_frame_is_named() -> None:
    two = {name: np.concatenate([values] * 2) for name, values in three().items()}
    other = {name: np.concatenate([three()[name], three(scores=[0.9, 0.7, 0.7, 0.0])[name]]) for name in two}
    fails(other, two, "frame 1, box .*, class 5")


def test_one_row_among_many_that_look_alike() -> None:
    rows = scene(6, 400, 2, 0.4, same=True)
    wrong = {name: values.copy() for name, values in best(rows, 300, seed=7).items()}
    wrong["boxes"][0, 20] += 30
    fails(wrong, best(rows, 300, seed=8), "frame 0, box .* of the (file|network), class")


def test_other_shapes() -> None:
    fails(scene(1, 5, 2, 0.4), scene(1, 6, 2, 0.4), r"the file gives boxes of shape \[1, 5, 4\] where .* \[1, 6, 4\]")


@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_what_is_not_finite(name: str) -> None:
    broken = three()
    broken[name][0, 1] = np.nan
    fails(broken, three(), "frame 0: the file gives boxes or scores that are not finite")
    fails(three(), broken, "frame 0: the network gives")
