import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tiles import join_hidden, join_objects, plan_views
from pipeline.types import Detections

NAMES = ("person", "car")
THRESHOLDS = np.float32([0.25, 0.25])
VIEWS = plan_views(180, 180, 2, 2)
"""The whole, then 100 x 100 pixels from (0, 0), (80, 0), (0, 80) and (80, 80) on."""

Row = tuple[tuple[float, float, float, float], float, int]


def seen(*rows: tuple[int, Row], views: np.ndarray = VIEWS) -> list[Detections]:
    """What each view found: boxes in pixels of the frame are brought to the view."""
    found = []
    for view, corner in enumerate(np.tile(views[:, :2], 2)):
        here = [row for number, row in rows if number == view]
        boxes_N4 = np.array([box for box, _, _ in here], np.float32).reshape(-1, 4) - np.float32(corner)
        scores_N, labels_N = np.float32([row[1] for row in here]), np.array([row[2] for row in here], np.int64)
        found.append(Detections(boxes_N4, labels_N, scores_N, NAMES))
    return found


def joined(*rows: tuple[int, Row], views: np.ndarray = VIEWS) -> list[Row]:
    objects = join_objects(views, seen(*rows, views=views), THRESHOLDS)
    lines = zip(objects.boxes_N4.tolist(), objects.scores_N.tolist(), objects.labels_N.tolist(), strict=True)
    return [(tuple(box), round(score, 6), label) for box, score, label in lines]


# Views


def test_the_views_are_the_frame_and_tiles_that_overlap_by_a_fifth() -> None:
    assert VIEWS.tolist() == [
        [0, 0, 180, 180],
        [0, 0, 100, 100],
        [80, 0, 180, 100],
        [0, 80, 100, 180],
        [80, 80, 180, 180],
    ]
    assert plan_views(100, 260, 3, 1)[1:].tolist() == [[0, 0, 100, 100], [80, 0, 180, 100], [160, 0, 260, 100]]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 8), st.integers(1, 8))
def test_the_tiles_cover_the_frame_in_one_size(height: int, width: int, columns: int, rows: int) -> None:
    whole, *tiles = plan_views(height, width, columns, rows).tolist()
    assert whole == [0, 0, width, height]
    assert len(tiles) == columns * rows
    assert len({(x2 - x1, y2 - y1) for x1, y1, x2, y2 in tiles}) == 1
    for axis, pixels, count in ((0, width, columns), (1, height, rows)):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        assert (spans[0][0], spans[-1][1]) == (0, pixels)
        side = spans[0][1]
        for (_, end), (start, _) in pairwise(spans):
            assert end - start >= 0.2 * side - 1
        assert side <= pixels / (0.8 * count + 0.2) + 1


# Objects


def test_an_object_of_one_tile_comes_in_pixels_of_the_frame() -> None:
    row = ((90.0, 10.0, 96.0, 20.0), 0.5, 1)
    assert joined((2, row)) == [row]
    assert joined() == []


def test_of_an_object_that_several_views_see_whole_the_best_box_stays() -> None:
    rows = (0, ((85, 85, 96, 95), 0.4, 0)), (1, ((85, 86, 95, 95), 0.9, 0)), (4, ((86, 85, 95, 95), 0.7, 0))
    assert joined(*rows) == [((85, 86, 95, 95), 0.9, 0)]


def test_a_piece_gives_way_to_the_whole_however_sure_it_is_and_leaves_its_score() -> None:
    whole = (20, 20, 120, 60)
    pieces = (1, ((20, 20, 100, 60), 0.9, 0)), (2, ((80, 20, 120, 60), 0.8, 0))
    assert joined((0, (whole, 0.3, 0)), *pieces) == [(whole, 0.9, 0)]


def test_a_piece_may_be_taken_for_less_than_it_is() -> None:
    assert joined((0, ((20, 20, 160, 60), 0.9, 0)), (2, ((80, 30, 110, 50), 0.8, 0))) == [((20, 20, 160, 60), 0.9, 0)]


def test_a_sliver_gives_way_to_the_tile_that_sees_the_whole() -> None:
    assert joined((1, ((70, 20, 99, 60), 0.6, 0)), (2, ((70 + 10, 20, 99, 60), 0.9, 0))) == [((70, 20, 99, 60), 0.9, 0)]


def test_pieces_of_what_no_view_sees_whole_grow_together() -> None:
    long = (1, ((5, 20, 100, 24), 0.6, 0)), (2, ((80, 20, 175, 25), 0.7, 0))
    assert joined(*long) == [((5, 20, 175, 25), 0.7, 0)]
    corner = [(view, tuple(map(float, VIEWS[view])), 0.5 + view / 10) for view in (1, 2, 3, 4)]
    assert joined(*((view, (box, score, 0)) for view, box, score in corner)) == [((0, 0, 180, 180), 0.9, 0)]


def test_pieces_grow_together_over_many_tiles() -> None:
    views = plan_views(50, 420, 5, 1)
    pieces = [(view, ((x1, 10, x2, 14), 0.5, 0)) for view, (x1, _, x2, _) in enumerate(views.tolist()) if view]
    assert joined(*pieces, views=views) == [((0, 10, 420, 14), 0.5, 0)]


def test_a_box_at_the_edge_of_the_frame_is_no_piece() -> None:
    """Were it one, the box of the whole frame would win."""
    assert joined((0, ((0, 0, 22, 40), 0.5, 0)), (1, ((0, 0, 20, 40), 0.9, 0))) == [((0, 0, 20, 40), 0.9, 0)]


def test_neighbours_of_which_pieces_touch_stay_two() -> None:
    above, below = (1, ((20, 20, 100, 50), 0.6, 0)), (2, ((80, 45, 170, 75), 0.7, 0))
    assert len(joined(above, below)) == 2


def test_a_small_object_before_a_large_one_stays() -> None:
    """Intersection over the smaller area would take them for one."""
    large, small = (0, ((10, 10, 170, 170), 0.9, 0)), (1, ((30, 30, 40, 50), 0.8, 0))
    assert joined(large, small) == [large[1], small[1]]
    piece = (1, ((10, 10, 100, 100), 0.7, 0))
    assert joined(piece, (0, small[1])) == [small[1], piece[1]]


def test_classes_stay_apart() -> None:
    box = (30, 30, 60, 60)
    assert joined((0, (box, 0.5, 0)), (1, (box, 0.9, 1))) == [(box, 0.9, 1), (box, 0.5, 0)]


def test_a_piece_that_is_taken_for_something_else_gives_way_to_a_whole_that_is_shown() -> None:
    whole, piece = (20, 20, 120, 60), (20, 20, 100, 60)
    assert joined((0, (whole, 0.3, 0)), (1, (piece, 0.5, 1))) == [(whole, 0.3, 0)]
    assert joined((0, (whole, 0.2, 0)), (1, (piece, 0.5, 1))) == [(piece, 0.5, 1), (whole, 0.2, 0)]
    both = (0, (whole, 0.6, 0)), (0, (whole, 0.2, 1))
    assert joined(*both, (1, (piece, 0.5, 1))) == [(whole, 0.6, 0), (whole, 0.5, 1)]


def test_a_piece_brings_along_its_neighbours() -> None:
    """The whole frame sees too short a box: what is beyond it belongs to the object all the same."""
    pieces = (1, ((20, 20, 100, 60), 0.6, 0)), (2, ((80, 20, 160, 60), 0.5, 0))
    assert joined((0, ((20, 20, 110, 60), 0.4, 0)), *pieces) == [((20, 20, 110, 60), 0.6, 0)]


@pytest.mark.parametrize("view", [0, 1])
def test_what_one_view_found_stays_as_it_is(view: int) -> None:
    box = (30.0, 30.0, 60.0, 60.0)
    rows = [(box, 0.9, 0), (box, 0.8, 0), ((30.0, 30.0, 100.0, 60.0), 0.7, 0)]
    assert joined(*((view, row) for row in rows)) == rows


def test_two_objects_that_the_whole_frame_takes_for_one_are_two_if_a_tile_is_surer() -> None:
    left, right = ((20, 20, 50, 60), 0.8, 0), ((45, 20, 75, 60), 0.7, 0)
    assert joined((0, ((20, 20, 75, 60), 0.6, 0)), (1, left), (1, right)) == [left, right]


box_of_a_view = st.tuples(
    st.integers(0, 4), st.tuples(*[st.integers(0, 100)] * 4), st.integers(1, 31), st.integers(0, 1)
)


@given(st.lists(box_of_a_view, max_size=20))
def test_whatever_is_found_nothing_is_lost_or_invented(rows: list[tuple[int, tuple[int, ...], int, int]]) -> None:
    lines = []
    for view, (x1, y1, x2, y2), score, label in rows:
        corners = np.array([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]) + np.tile(VIEWS[view, :2], 2)
        lines.append((view, (tuple(corners.clip(0, 180).tolist()), score / 32, label)))
    objects = joined(*lines)
    scores = [score for _, score, _ in objects]
    assert scores == sorted(scores, reverse=True)
    assert bool(objects) == bool(rows)
    for label in (0, 1):
        given = [row for _, row in lines if row[2] == label]
        left = [row for row in objects if row[2] == label]
        assert len(left) <= len(given)
        for box, score, _ in left:
            assert score in {row[1] for row in given}
            assert box[0] in {row[0][0] for row in given}
            assert box[3] in {row[0][3] for row in given}


def test_comparing_many_boxes_takes_little_room() -> None:
    generator, count = np.random.default_rng(0), 1200
    found = []
    for x1, y1, x2, y2 in VIEWS.tolist():
        corners_N2 = generator.uniform(0, (x2 - x1 - 9, y2 - y1 - 9), (count // 5, 2)).astype(np.float32)
        boxes_N4 = np.concatenate((corners_N2, corners_N2 + 9), 1)
        labels_N, scores_N = generator.integers(0, 2, len(boxes_N4)), generator.random(len(boxes_N4), np.float32)
        found.append(Detections(boxes_N4, labels_N, scores_N, NAMES))
    tracemalloc.start()
    try:
        objects = join_objects(VIEWS, found, THRESHOLDS)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < len(objects) <= count
    assert most < 10 * count**2  # bytes


def test_types_are_those_of_a_view() -> None:
    for rows in ((), ((1, ((5, 5, 9, 9), 0.5, 0)),)):
        objects = join_objects(VIEWS, seen(*rows), THRESHOLDS)
        assert (objects.boxes_N4.dtype, objects.labels_N.dtype, objects.scores_N.dtype) == (
            np.float32,
            np.int64,
            np.float32,
        )
        assert objects.boxes_N4.shape == (len(rows), 4)
        assert objects.names == NAMES


# What is to be hidden


def test_every_box_of_every_view_is_hidden() -> None:
    box, broken = np.float32([[10, 10, 20, 20]]), np.float32([[np.nan, 0, 5, 5]])
    none = np.empty((0, 4), np.float32)
    hidden = join_hidden(VIEWS, [box, none, box, broken, np.concatenate((box, box))])
    expected = [[10, 10, 20, 20], [90, 10, 100, 20], [np.nan, 80, 5, 85], [90, 90, 100, 100], [90, 90, 100, 100]]
    np.testing.assert_array_equal(hidden, np.float32(expected))
    assert join_hidden(VIEWS, [none] * 5).shape == (0, 4)
