import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.crossings import RATE, Moment, crossings, measure

from pipeline.errors import ConfigError
from pipeline.track import LOST_AFTER, Tracker
from pipeline.types import Classification, Detections, Frame, Look, Recognised

NAMES = ("car", "truck", "person")
THRESHOLD = 0.25
PLACE = (100.0, 100.0, 180.0, 160.0)
PICTURE = np.zeros((720, 1280, 3), np.uint8)


def boxes(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    corners, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32), NAMES
    )


def frame(pts: float | None, stream: int = 0, look: Look | None = None) -> Frame:
    return Frame(PICTURE, "clip.mp4", 0, pts, stream, look=look)


def follow(tracker: Tracker, found: Detections, pts: float, stream: int = 0, look: Look | None = None) -> Detections:
    results = tracker(Recognised(frame(pts, stream, look), found)).results
    assert isinstance(results, Detections)
    assert results.tracks_N is not None
    assert results.tracks_N.dtype == np.int64
    return results


def numbers(tracker: Tracker, found: Detections, *times: float, stream: int = 0) -> list[list[int]]:
    return [follow(tracker, found, pts, stream).tracks_N.tolist() for pts in times]


def test_an_object_gets_its_number_in_its_second_frame_and_keeps_it():
    still = boxes((PLACE, 0.9, 0), ((300, 100, 380, 160), 0.8, 0))
    assert numbers(Tracker(THRESHOLD), still, 0.0, 0.04, 0.09) == [[0, 0], [1, 2], [1, 2]]


def test_each_source_and_each_run_counts_from_one():
    still, other = boxes((PLACE, 0.9, 0)), boxes(((300, 100, 380, 160), 0.9, 0))
    tracker = Tracker(THRESHOLD)
    assert numbers(tracker, still, 0.0, 0.04) == [[0], [1]]
    assert numbers(tracker, other, 0.0, 0.04, stream=1) == [[0], [1]]
    assert numbers(tracker, still, 0.08) == [[1]]
    assert numbers(Tracker(THRESHOLD), still, 0.0, 0.04) == [[0], [1]]


def test_an_object_keeps_its_number_when_the_frames_change_their_size():
    tracker, before, after = Tracker(THRESHOLD), boxes((PLACE, 0.9, 0)), boxes(((50, 50, 90, 80), 0.9, 0))
    tracks = []
    for number in range(8):
        side = 2 if number < 4 else 1
        image = np.zeros((side, side, 3), np.uint8)
        seen = Frame(image, "camera", number, number / 25)
        results = tracker(Recognised(seen, before if side == 2 else after)).results
        tracks.append(results.tracks_N.tolist())
        assert results.boxes_N4.tolist() == [list(PLACE if side == 2 else (50, 50, 90, 80))]
    assert tracks == [[0], *[[1]] * 7]


@pytest.mark.parametrize("rate", [5, 30, 120])
@pytest.mark.parametrize(("away", "number"), [(0.6 * LOST_AFTER, 1), (1.4 * LOST_AFTER, 2)])
def test_how_long_an_object_may_be_lost_is_counted_in_seconds(rate, away, number):
    tracker, still = Tracker(THRESHOLD), boxes((PLACE, 0.9, 0))
    numbers(tracker, still, *(n / rate for n in range(rate + 1)))
    back = rate + 1 + int(away * rate)
    numbers(tracker, boxes(), *(n / rate for n in range(rate + 1, back)))
    assert numbers(tracker, still, back / rate, (back + 1) / rate)[-1] == [number]


def test_what_would_be_shown_without_a_tracker_is_shown_in_the_same_order():
    found = boxes((PLACE, 0.9, 0), ((300, 100, 380, 160), 0.6, 1), ((500, 100, 580, 160), 0.25, 2))
    tracker = Tracker(THRESHOLD)
    for pts in (0.0, 0.04, 5.0):
        tracked = follow(tracker, found, pts)
        np.testing.assert_array_equal(tracked.boxes_N4, found.boxes_N4)
        np.testing.assert_array_equal(tracked.scores_N, found.scores_N)
        np.testing.assert_array_equal(tracked.labels_N, found.labels_N)


def test_a_track_may_begin_with_the_lowest_score_that_is_shown():
    assert numbers(Tracker(0.7), boxes((PLACE, 0.7, 0)), 0.0, 0.04) == [[0], [1]]


def test_a_track_begins_with_the_threshold_of_its_class_and_goes_on_below():
    tracker = Tracker(np.float32([0.6, 0.25, 0.25]))
    car, truck = (PLACE, 0.5, 0), ((300, 100, 380, 160), 0.3, 1)
    assert numbers(tracker, boxes(car, truck), 0.0, 0.04, 0.08) == [[0], [1], [1]]
    assert follow(tracker, boxes(car, truck), 0.12).labels_N.tolist() == [1]
    strong = boxes((PLACE, 0.6, 0), truck)
    assert numbers(tracker, strong, 0.16, 0.2) == [[0, 1], [2, 1]]
    weak = follow(tracker, boxes(car, truck), 0.24)
    assert (weak.tracks_N.tolist(), weak.labels_N.tolist()) == ([2, 1], [0, 1])


def test_a_class_that_falls_short_of_its_threshold_does_not_keep_another_from_its_track():
    tracker = Tracker(np.float32([0.9, 0.3, 0.3]))
    twice = boxes((PLACE, 0.8, 0), ((101, 100, 181, 161), 0.4, 1))
    assert [follow(tracker, twice, pts).labels_N.tolist() for pts in (0.0, 0.04)] == [[1], [1]]
    assert numbers(tracker, twice, 0.08) == [[1]]


def test_one_threshold_for_all_classes_is_as_good_as_many_alike(scenes):
    many = Tracker(np.full(2, THRESHOLD, np.float32))
    one = Tracker(THRESHOLD)
    for moment in scenes[0][:200]:
        seen = Recognised(frame(moment.pts), moment.found)
        np.testing.assert_array_equal(many(seen).results.tracks_N, one(seen).results.tracks_N)


def test_a_low_score_stays_only_where_it_continues_a_track():
    tracker = Tracker(THRESHOLD)
    low_elsewhere = ((300, 100, 380, 160), 0.2, 0)
    assert numbers(tracker, boxes((PLACE, 0.9, 0), low_elsewhere), 0.0, 0.04, 0.08) == [[0], [1], [1]]
    weak = follow(tracker, boxes((PLACE, 0.15, 0), low_elsewhere), 0.12)
    assert weak.tracks_N.tolist() == [1]
    assert weak.scores_N.tolist() == pytest.approx([0.15])


def test_a_good_box_comes_before_a_low_one_that_fits_better():
    tracker = Tracker(THRESHOLD)
    numbers(tracker, boxes((PLACE, 0.9, 0)), 0.0, 0.04)
    beside = (120.0, 100.0, 200.0, 160.0)
    found = follow(tracker, boxes((beside, 0.8, 0), (PLACE, 0.2, 0)), 0.08)
    assert found.tracks_N.tolist() == [1]
    assert found.boxes_N4.tolist() == [list(beside)]


def test_a_detector_that_changes_its_mind_does_not_lose_the_object():
    tracker = Tracker(THRESHOLD)
    seen = [(0, 0.9), (0, 0.9), (1, 0.5), (1, 0.8), (1, 0.9), (0, 0.3)]
    followed = [follow(tracker, boxes((PLACE, score, label)), n / 25) for n, (label, score) in enumerate(seen)]
    assert [each.tracks_N.tolist() for each in followed] == [[0]] + [[1]] * 5
    # Votes begin with the number. Car: 0.9; truck: 0.5, 1.3 and 2.2.
    assert [int(each.labels_N[0]) for each in followed] == [0, 0, 0, 1, 1, 1]
    assert [float(each.scores_N[0]) for each in followed] == pytest.approx([score for _, score in seen])


def test_a_class_that_is_shown_is_that_of_the_track():
    tracker = Tracker(THRESHOLD, classes=frozenset({0}))
    other = ((300, 100, 380, 160), 0.9, 1)  # a truck
    seen = [(0, 0.9), (0, 0.9), (1, 0.5), (0, 0.3), (1, 0.7), (1, 0.9)]
    followed = [follow(tracker, boxes((PLACE, score, label), other), n / 25) for n, (label, score) in enumerate(seen)]
    # Car: 0.9 and 1.2; truck: 0.5, 1.2 and 2.1.
    assert [each.tracks_N.tolist() for each in followed] == [[0], [1], [1], [1], [1], []]
    assert [each.labels_N.tolist() for each in followed] == [[0]] * 5 + [[]]
    assert followed[2].scores_N.tolist() == pytest.approx([0.5])


def test_without_a_number_a_box_is_shown_by_its_own_class():
    found = boxes((PLACE, 0.9, 0), ((300, 100, 380, 160), 0.9, 1))
    assert follow(Tracker(THRESHOLD, classes=frozenset({1})), found, 0.0).labels_N.tolist() == [1]


def test_what_is_hidden_is_hidden_though_the_run_does_not_show_it():
    tracker, nothing = Tracker(THRESHOLD, frozenset({1}), hide=frozenset({2})), np.empty((0, 4), np.float32)
    for pts in (0.0, 0.04):
        tracker(Recognised(frame(pts), boxes((PLACE, 0.9, 2)), np.array([PLACE], np.float32)))
    erring = tracker(Recognised(frame(0.08), boxes((PLACE, 0.4, 1)), nothing))
    assert len(erring.results) == 0
    assert erring.hide_N4 is not None
    assert erring.hide_N4.tolist() == [list(PLACE)]


def test_two_classes_on_one_object_are_one_track():
    twice = boxes((PLACE, 0.9, 0), ((101, 100, 181, 161), 0.7, 1))
    assert numbers(Tracker(THRESHOLD), twice, 0.0, 0.04, 0.08) == [[0, 0], [1, 0], [1, 0]]


def test_two_objects_that_overlap_are_two_tracks():
    rider = boxes((PLACE, 0.9, 0), ((100, 110, 180, 200), 0.7, 2))
    assert numbers(Tracker(THRESHOLD), rider, 0.0, 0.04)[-1] == [1, 2]


def test_what_has_to_be_hidden_is_passed_on_as_it_is():
    hide_N4 = np.array([PLACE], np.float32)
    given = Recognised(frame(0.0), boxes(), hide_N4)
    tracked = Tracker(THRESHOLD)(given)
    assert tracked.hide_N4 is hide_N4
    assert tracked.frame is given.frame


def test_a_track_of_a_hidden_class_is_hidden_when_the_model_errs():
    tracker, nothing = Tracker(THRESHOLD, hide=frozenset({2})), np.empty((0, 4), np.float32)
    for pts in (0.0, 0.04):
        tracker(Recognised(frame(pts), boxes((PLACE, 0.9, 2)), np.array([PLACE], np.float32)))
    erring = tracker(Recognised(frame(0.08), boxes((PLACE, 0.4, 1), ((300, 100, 380, 160), 0.9, 0)), nothing))
    assert erring.results.labels_N.tolist() == [2, 0]
    assert erring.hide_N4 is not None
    assert erring.hide_N4.tolist() == [list(PLACE)]


# Frames at which the model has not looked


def drive(pts: float, speed: float = 120.0, start: float = 100.0) -> Detections:
    """A car that goes to the right, `speed` pixels a second."""
    left = start + speed * pts
    return boxes(((left, 100, left + 80, 160), 0.9, 0))


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("rate", [12.5, 25, 60])
def test_boxes_between_two_looks_go_on_as_they_went(every, rate):
    tracker, errors = Tracker(THRESHOLD), []
    for n in range(8 * every):
        pts, looked = n / rate, n % every == 0
        found = follow(tracker, drive(pts) if looked else boxes(), pts, look="anew" if looked else "ahead")
        if n > every:
            assert found.tracks_N.tolist() == [1]
        if n > 5 * every and not looked:
            errors.append(np.abs(found.boxes_N4 - drive(pts).boxes_N4).max())
            assert found.scores_N.tolist() == pytest.approx([0.9])
    assert max(errors) < 3


def test_between_two_looks_nothing_is_learned_but_where_boxes_are():
    tracker, other = Tracker(THRESHOLD), Tracker(THRESHOLD)
    for n in range(20):
        seen = follow(tracker, drive(n / 5), n / 5, look="anew")
        for later in (0.04, 0.08, 0.12):
            follow(tracker, boxes(), n / 5 + later, look="ahead")
        expected = follow(other, drive(n / 5), n / 5)
        np.testing.assert_array_equal(seen.boxes_N4, expected.boxes_N4)
        np.testing.assert_array_equal(seen.tracks_N, expected.tracks_N)


def test_a_box_without_a_number_stays_where_it_was_until_the_next_look():
    tracker = Tracker(THRESHOLD)
    follow(tracker, drive(0.0), 0.0, look="anew")
    stays = follow(tracker, boxes(), 0.04, look="ahead")
    assert (stays.tracks_N.tolist(), stays.boxes_N4.tolist()) == ([0], drive(0.0).boxes_N4.tolist())


def test_an_object_that_the_last_look_did_not_find_is_not_shown_though_it_is_not_lost():
    tracker = Tracker(THRESHOLD)
    shown = [
        follow(tracker, found, n / 10, look=look).tracks_N.tolist()
        for n, (found, look) in enumerate(
            [(drive(0), "anew"), (drive(0.1), "anew"), (boxes(), "anew"), (boxes(), "ahead"), (drive(0.4), "anew")]
        )
    ]
    assert shown == [[0], [1], [], [], [1]]


def test_a_box_that_goes_out_of_the_frame_is_cut_and_then_gone():
    tracker = Tracker(THRESHOLD)
    for n in range(5):
        follow(tracker, drive(n / 10, 400, 1000), n / 10, look="anew")
    ends = [follow(tracker, boxes(), 0.4 + later, look="ahead").boxes_N4[:, 2].tolist() for later in (0.1, 0.4)]
    assert ends == [[1280.0], []]


def test_while_nothing_moves_the_last_look_counts_for_every_frame():
    tracker = Tracker(THRESHOLD)
    for n in range(10):
        follow(tracker, drive(n / 25, 300), n / 25, look="anew")
    stopped = drive(9 / 25, 300)
    for n in range(10, 200):
        look = "same" if n % 10 else "anew"
        found = follow(tracker, boxes() if look == "same" else stopped, n / 25, look=look)
        assert found.tracks_N.tolist() == [1]
        np.testing.assert_array_equal(found.boxes_N4, stopped.boxes_N4)


def test_tracks_survive_a_still_scene_in_which_a_look_fails():
    tracker = Tracker(THRESHOLD)
    for n in range(60):
        look = "same" if n % 10 else "anew"
        follow(tracker, boxes() if n // 10 == 2 else boxes((PLACE, 0.9, 0)), n / 25, look=look)
    assert numbers(tracker, boxes((PLACE, 0.9, 0)), 2.4) == [[1]]


@pytest.mark.parametrize(
    ("pts", "results"), [(None, boxes()), (0.0, Classification(np.array([0]), np.array([1], np.float32), NAMES))]
)
def test_what_cannot_be_tracked_is_a_fault(pts, results):
    with pytest.raises(ValueError, match="known time"):
        Tracker(THRESHOLD)(Recognised(frame(pts), results))


@pytest.mark.parametrize("package", ["trackers", "supervision"])
def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"package {package}: pip install 'onsight\[track\]'"):
        Tracker(THRESHOLD)


def shown(found: Detections) -> Counter[tuple[float, ...]]:
    """How often each box with its score is there, of those to be shown. A label may change to that of the track."""
    rows_N5 = np.column_stack((found.boxes_N4, found.scores_N))
    return Counter(map(tuple, rows_N5[found.scores_N >= THRESHOLD].tolist()))


corner = st.sampled_from([-50.0, 0.0, 0.5, 100.0, 100.0, 640.0, 1e6])
row = st.tuples(st.tuples(corner, corner, corner, corner), st.floats(0.125, 1, width=32), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-3, 1e4), st.lists(row, max_size=6)), max_size=8))
def test_whatever_the_boxes_are_what_is_shown_stays(moments):
    tracker, pts = Tracker(THRESHOLD), 0.0
    for step, rows in moments:
        pts += step
        found = boxes(*rows)
        tracked = follow(tracker, found, pts)
        assert not shown(found) - shown(tracked)
        given = tracked.tracks_N[tracked.tracks_N > 0].tolist()
        assert len(given) == len(set(given))
        assert ((tracked.scores_N >= THRESHOLD) | (tracked.tracks_N > 0)).all()


# How well it tracks: means over scenes, with a third of the frames lost


@pytest.fixture(scope="module")
def scenes() -> list[list[Moment]]:
    return [crossings(seed=seed, seconds=30) for seed in range(4)]


def mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


@pytest.fixture(scope="module")
def timed(scenes) -> dict[str, float]:
    return mean([measure(scene, Tracker(THRESHOLD)) for scene in scenes])


def test_crossing_objects_keep_their_numbers_though_frames_are_missing(timed):
    assert timed["HOTA"] > 0.75
    assert timed["MOTA"] > 0.85
    assert timed["IDF1"] > 0.85
    assert timed["IDSW"] < 6
    assert timed["tracks"] < 1.2 * timed["objects"]


def test_the_time_that_went_by_beats_a_nominal_step(scenes, timed):
    nominal = [[index / RATE for index in range(len(scene))] for scene in scenes]
    stepped = mean([measure(scene, Tracker(THRESHOLD), times) for scene, times in zip(scenes, nominal, strict=True)])
    assert timed["HOTA"] > stepped["HOTA"] + 0.05
    assert timed["IDF1"] > stepped["IDF1"] + 0.08
    assert timed["IDSW"] < 0.5 * stepped["IDSW"]
