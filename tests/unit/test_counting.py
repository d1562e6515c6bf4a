"""What is counted when objects walk about. The frame is 200 x 100; a box is 20 x 20, so 1 pixel is clearly off."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting import SceneCounter
from pipeline.types import Counts, Detections, Frame, Recognised, ZoneEvent
from pipeline.zones import Place, Places

NAMES = ("person", "car")
WIDTH, HEIGHT, SIDE = 200, 100, 20
CLEAR = 1.0  # 0.05 of SIDE
LOST_AFTER = 1.0
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

SQUARE = ((0.25, 0.2), (0.75, 0.2), (0.75, 0.8), (0.25, 0.8))  # x 50 to 150, y 20 to 80
MIDDLE = ((0.25, 0.5), (0.75, 0.5))  # y = 50, x 50 to 150

Spot = tuple[float, float]


def counting(*places: Places) -> SceneCounter:
    """Counts at the places of stream 0, 1, …"""
    return SceneCounter(dict(enumerate(places)), LOST_AFTER)


def frame_of(
    objects: dict[int, Spot], pts: float, label: int = 1, stream: int = 0, image: np.ndarray = IMAGE
) -> Recognised:
    """A frame with objects of these tracks, each with the middle of its lower edge at a spot."""
    boxes = [(x - SIDE / 2, y - SIDE, x + SIDE / 2, y) for x, y in objects.values()]
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), label),
        np.full(len(boxes), 0.9, np.float32),
        NAMES,
        np.array(list(objects), np.int64),
    )
    return Recognised(Frame(image, "clip.mp4", 0, pts, stream), found)


def zone(**options: object) -> SceneCounter:
    return counting(Places(zones=(Place("yard", SQUARE, **options),)))


def line(points: Sequence[Spot] = MIDDLE, **options: object) -> SceneCounter:
    return counting(Places(lines=(Place("gate", tuple(points), **options),)))


def follow(counter: SceneCounter, frames: Iterable[Recognised]) -> tuple[Counts, list[ZoneEvent]]:
    """The last counts and all events."""
    counts = [counter(frame).counts for frame in frames]
    return counts[-1], [event for each in counts for event in each.events]


def walk(counter: SceneCounter, spots: Sequence[Spot | None], step: float = 0.1) -> tuple[Counts, list[ZoneEvent]]:
    """One object that is at each of these spots in turn; None: it is not seen."""
    return follow(counter, [frame_of({7: spot} if spot else {}, number * step) for number, spot in enumerate(spots)])


def across(*ys: float, x: float = 100) -> list[Spot]:
    return [(x, y) for y in ys]


# Lines


def crossings(counter: SceneCounter, spots: Sequence[Spot | None], step: float = 0.1) -> tuple[int, int]:
    """How often it went in and out."""
    counts, events = walk(counter, spots, step)
    (gate,) = counts.lines
    done = gate.inward.total(), gate.outward.total()
    assert done == tuple(sum(event.kind == kind for event in events) for kind in ("in", "out"))
    return done


def test_in_is_from_the_right_to_the_left_of_who_walks_from_the_first_point_to_the_second():
    upwards = across(90, 70, 60, 40)
    assert crossings(line(((0.25, 0.5), (0.75, 0.5))), upwards) == (1, 0)
    assert crossings(line(((0.75, 0.5), (0.25, 0.5))), upwards) == (0, 1)
    to_the_right = [(60, 50), (90, 50), (110, 50), (140, 50)]
    assert crossings(line(((0.5, 0.9), (0.5, 0.1))), to_the_right) == (0, 1)
    assert crossings(line(((0.5, 0.1), (0.5, 0.9))), to_the_right) == (1, 0)


def test_a_crossing_is_counted_by_class_at_the_time_of_the_line():
    counts, events = walk(line(), across(70, 60, 40))
    assert counts.lines[0].inward == {"car": 1}
    assert counts.lines[0].outward == {}
    assert events == [ZoneEvent("in", "gate", 7, "car", pytest.approx(0.15))]


def test_there_and_back_is_one_in_each_direction():
    assert crossings(line(), across(70, 40, 70, 40)) == (2, 1)


@pytest.mark.parametrize("depth", [0.0, 0.3, 0.9])
def test_trembling_on_the_line_is_no_crossing(depth):
    assert crossings(line(), across(*[50 + depth, 50 - depth] * 20)) == (0, 0)


def test_trembling_on_the_way_over_is_one_crossing():
    assert crossings(line(), across(60, 52, 49.5, 50.5, 49.2, 50.8, 49.5, 50, 40)) == (1, 0)


def test_trembling_before_turning_back_is_none():
    assert crossings(line(), across(60, 50.5, 49.5, 50.5, 49.5, 60)) == (0, 0)


def test_standing_right_on_the_line_and_going_on_is_one_crossing():
    assert crossings(line(), across(60, 50, 50, 50, 40)) == (1, 0)
    assert crossings(line(), across(60, 50, 50, 50, 60)) == (0, 0)


def test_who_comes_into_being_on_the_line_has_crossed_nothing():
    assert crossings(line(), across(50, 50, 40, 30)) == (0, 0)


@pytest.mark.parametrize(("x", "done"), [(49, 0), (50, 1), (51, 1), (149, 1), (150, 1), (151, 0)])
def test_only_between_the_ends_it_is_crossed(x, done):
    assert crossings(line(), across(60, 40, x=x)) == (done, 0)


def test_the_way_counts_not_where_it_ends():
    assert crossings(line(), [(45, 70), (60, 20)]) == (1, 0), "over the line at x = 51"
    assert crossings(line(), [(40, 60), (60, 20)]) == (0, 0), "past its end at x = 45"


def test_around_the_end_and_back_through_the_line():
    around = [(30, 70), (30, 30), (100, 30), (100, 70)]
    assert crossings(line(), around) == (0, 1)


def test_a_fast_object_jumps_over_the_line_between_two_frames():
    assert crossings(line(), across(99, 1)) == (1, 0)


@pytest.mark.parametrize(("missing", "done"), [(9, 1), (12, 0)])
def test_a_gap_is_bridged_for_as_long_as_the_tracker_does(missing, done):
    assert crossings(line(), [(100, 70), *[None] * missing, (100, 30)]) == (done, 0)


def test_a_gap_between_frames_loses_nobody_who_is_there_again():
    assert crossings(line(), across(70, 30), step=5.0) == (1, 0)


def test_what_is_clear_depends_on_the_size_of_the_box():
    frames = [frame_of({1: (100, 50 + y)}, pts) for pts, y in enumerate((5, -CLEAR + 0.05, -CLEAR - 0.05))]
    assert [len(counter.counts.events) for counter in map(line(), frames)] == [0, 0, 1]


def test_only_the_classes_of_the_line_are_counted():
    spots = across(60, 40)
    assert crossings(line(classes=frozenset({1})), spots) == (1, 0)
    assert crossings(line(classes=frozenset({0})), spots) == (0, 0)


def test_the_centre_may_stand_for_the_object():
    assert crossings(line(anchor="center"), across(65, 58)) == (1, 0)
    assert crossings(line(), across(65, 58)) == (0, 0)


def test_objects_do_not_share_a_path():
    frames = [frame_of({1: (100, 60), 2: (100, 40)}, 0.0), frame_of({1: (100, 60), 2: (100, 40)}, 0.1)]
    frames.append(frame_of({2: (100, 60), 1: (100, 40)}, 0.2))
    counts, events = follow(line(), frames)
    assert (counts.lines[0].inward, counts.lines[0].outward) == ({"car": 1}, {"car": 1})
    assert {(event.track, event.kind) for event in events} == {(1, "in"), (2, "out")}


def test_who_has_no_track_yet_is_not_counted():
    assert follow(line(), [frame_of({0: (100, 60)}, 0.0), frame_of({0: (100, 40)}, 0.1)])[1] == []


def test_the_frame_may_change_its_size():
    larger = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    frames = [frame_of({1: (100, 60)}, 0.0), frame_of({1: (200, 120)}, 0.1, image=larger)]
    assert follow(line(), frames)[1] == []
    frames = [frame_of({1: (100, 60)}, 0.0), frame_of({1: (200, 80)}, 0.1, image=larger)]
    assert [event.kind for event in follow(line(), frames)[1]] == ["in"]


heights = st.lists(st.floats(0, 100), min_size=2, max_size=30)


@given(heights)
def test_over_an_endless_line_who_went_in_must_come_out_before_going_in_again(ys):
    counts, events = walk(line(((0, 0.5), (1, 0.5))), across(*ys))
    kinds = [event.kind for event in events]
    assert all(before != after for before, after in itertools.pairwise(kinds))
    clear = [np.sign(50 - y) for y in ys if y == ys[0] or abs(y - 50) > 1.001 * CLEAR]
    if abs(ys[-1] - 50) > 1.001 * CLEAR and ys[0] != 50:
        (gate,) = counts.lines
        assert gate.inward.total() - gate.outward.total() == (clear[-1] - clear[0]) / 2


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), min_size=1, max_size=30))
def test_turning_the_line_around_exchanges_in_and_out(spots):
    assert crossings(line(MIDDLE), spots) == crossings(line(MIDDLE[::-1]), spots)[::-1]


# Zones


def test_who_comes_and_goes_is_counted_with_the_time_in_between():
    counter = zone()
    times = (0.0, 0.5, 0.53, 1.7, 2.9)  # no steady rate
    frames = [frame_of({7: (x, 50)}, pts) for x, pts in zip((30, 60, 100, 140, 170), times, strict=True)]
    seen = [counter(frame).counts for frame in frames]
    assert [dict(counts.zones[0].inside) for counts in seen] == [{}, {"car": 1}, {"car": 1}, {"car": 1}, {}]
    assert seen[3].zones[0].dwell == {7: pytest.approx(1.2)}
    assert [counts.events for counts in seen if counts.events] == [
        (ZoneEvent("enter", "yard", 7, "car", 0.5),),
        (ZoneEvent("leave", "yard", 7, "car", 2.9, pytest.approx(2.4)),),
    ]
    (last,) = seen[-1].zones
    assert (last.entered, last.left, last.dwell, last.mean_dwell) == ({"car": 1}, {"car": 1}, {}, pytest.approx(2.4))


def test_who_is_inside_from_the_start_has_entered():
    counts, events = walk(zone(), [(100, 50)])
    assert counts.zones[0].inside == counts.zones[0].entered == {"car": 1}
    assert counts.zones[0].mean_dwell is None
    assert [event.kind for event in events] == ["enter"]


def test_trembling_on_the_edge_is_one_entry():
    counts, events = walk(zone(), [(49.5, 50), (50.5, 50)] * 20)
    assert [event.kind for event in events] == ["enter"]
    assert counts.zones[0].inside == {"car": 1}


def test_clearly_outside_is_outside():
    kinds = [event.kind for event in walk(zone(), [(51, 50), (49.1, 50), (48.9, 50), (49.1, 50), (51, 50)])[1]]
    assert kinds == ["enter", "leave", "enter"]


@pytest.mark.parametrize(("missing", "kinds"), [(9, ["enter"]), (12, ["enter", "lost", "enter"])])
def test_who_is_lost_for_a_moment_has_not_left(missing, kinds):
    counts, events = walk(zone(), [(100, 50), *[None] * missing, (100, 50)])
    assert [event.kind for event in events] == kinds
    assert counts.zones[0].inside == {"car": 1}


def test_who_vanishes_inside_has_left_when_it_was_last_seen():
    counts, events = walk(zone(), [(100, 50)] * 5 + [None] * 12)
    assert events[1] == ZoneEvent("lost", "yard", 7, "car", pytest.approx(0.4), pytest.approx(0.4))
    assert counts.zones[0].left == {"car": 1}
    assert counts.zones[0].inside == {}
    assert counts.zones[0].mean_dwell == pytest.approx(0.4)


def test_after_a_gap_between_frames_who_is_still_inside_stayed_inside():
    counts, events = walk(zone(), [(100, 50), (120, 50)], step=30.0)
    assert [event.kind for event in events] == ["enter"]
    assert counts.zones[0].dwell == {7: 30.0}


def test_the_edge_and_the_rim_of_the_frame_belong_to_the_zone():
    whole = counting(Places(zones=(Place("all", ((0, 0), (1, 0), (1, 1), (0, 1))),)))
    frames = [frame_of({1: (0, 50), 2: (200, 100), 3: (100, 100), 4: (100, 0)}, 0.0)]
    assert follow(whole, frames)[0].zones[0].inside == {"car": 4}


def test_a_path_through_a_corner_enters_once():
    spots = [(50 + step, 20 + step) for step in (-20, -10, 0, 10, 0, -10, -20)]
    assert [event.kind for event in walk(zone(), spots)[1]] == ["enter", "leave"]
    along_the_diagonal = ((0.25, 0.2), (0.75, 0.8))
    assert crossings(line(along_the_diagonal), [(60, 10), (50, 20), (40, 30)]) == (0, 1), "through its first point"


def test_a_bay_of_a_zone_is_outside():
    bay = ((0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1))
    counter = counting(Places(zones=(Place("bay", bay),)))
    assert follow(counter, [frame_of({1: (100, 90), 2: (20, 20)}, 0.0)])[0].zones[0].dwell == {2: 0.0}


def test_who_is_in_stays_in_as_what_it_came_when_its_class_is_corrected():
    counter = zone(classes=frozenset({1}))
    frames = [frame_of({1: (100, 50)}, 0.0, label=1), frame_of({1: (100, 50)}, 0.1, label=0)]
    counts, _ = follow(counter, frames)
    assert counts.zones[0].entered == counts.zones[0].inside == {"car": 1}
    counts, events = follow(counter, [frame_of({1: (10, 50), 2: (100, 50)}, 0.2, label=0)])
    assert [(event.kind, event.track, event.label) for event in events] == [("leave", 1, "car")]
    assert (counts.zones[0].left, counts.zones[0].stayed) == ({"car": 1}, {"car": pytest.approx(0.2)})
    assert counts.zones[0].inside == {}


visits = st.lists(
    st.dictionaries(
        st.integers(1, 4), st.tuples(st.floats(0, 200), st.floats(0, 100), st.sampled_from(NAMES)), max_size=4
    ),
    min_size=1,
    max_size=30,
)


@given(visits, st.floats(0.01, 2.0), st.sampled_from([None, frozenset({0}), frozenset({1})]))
def test_nobody_gets_lost_in_the_books(frames, step, classes):
    counter, events = zone(classes=classes), []
    for number, objects in enumerate(frames):
        seen = frame_of({track: (x, y) for track, (x, y, _) in objects.items()}, number * step)
        seen.results.labels_N[:] = [NAMES.index(label) for *_, label in objects.values()]
        counts = counter(seen).counts
        events += counts.events
        (yard,) = counts.zones
        for label in NAMES:
            assert yard.entered.get(label, 0) == yard.left.get(label, 0) + yard.inside[label]
    assert yard.entered == Counter(event.label for event in events if event.kind == "enter")
    assert yard.left == Counter(event.label for event in events if event.kind in ("leave", "lost"))
    assert sum(yard.stayed.values()) == pytest.approx(sum(event.dwell or 0 for event in events))
    assert yard.labels.keys() == yard.dwell.keys()
    if classes is None:
        assert {track for track, (x, y, _) in frames[-1].items() if 51 < x < 149 and 21 < y < 79} <= set(yard.dwell)


# Sources


def test_each_source_counts_for_itself_and_one_without_places_says_nothing():
    place = Places(lines=(Place("gate", MIDDLE),))
    counter = counting(place, place, Places())
    for pts, y in ((0.0, 60), (0.1, 40)):
        first = counter(frame_of({1: (100, y)}, pts, stream=0)).counts
        second = counter(frame_of({1: (100, 60)}, pts, stream=1)).counts
        assert counter(frame_of({1: (100, y)}, pts, stream=2)).counts is None
    assert (first.lines[0].inward, second.lines[0].inward) == ({"car": 1}, {})


def test_the_counts_of_a_frame_stay_what_they_were():
    counter = line()
    kept = [counter(frame_of({1: (100, y)}, pts)).counts for pts, y in enumerate((60, 40, 60))]
    assert [counts.lines[0].inward.total() for counts in kept] == [0, 1, 1]
    assert [counts.lines[0].outward.total() for counts in kept] == [0, 0, 1]
    counter = zone()
    kept = [counter(frame_of({1: (x, 50)}, pts)).counts.zones[0] for pts, x in enumerate((30, 100, 30, 100))]
    assert [yard.entered.total() for yard in kept] == [0, 1, 1, 2]
    assert [yard.left.total() for yard in kept] == [0, 0, 1, 1]


def test_what_is_not_tracked_cannot_be_counted():
    recognised = frame_of({1: (100, 60)}, 0.0)
    untracked = Detections(
        *(getattr(recognised.results, name) for name in ("boxes_N4", "labels_N", "scores_N", "names"))
    )
    with pytest.raises(ValueError, match="only tracks"):
        line()(Recognised(recognised.frame, untracked))


def test_counts_become_json():
    counter = counting(Places((Place("yard", SQUARE),), (Place("gate", MIDDLE),)))
    counts, _ = follow(counter, [frame_of({3: (100, 70)}, 0.0), frame_of({3: (100, 40)}, 0.5)])
    assert counts.to_json() == {
        "zones": {
            "yard": {"inside": {"car": 1}, "entered": {"car": 1}, "left": {}, "dwell": {"3": 0.5}, "mean_dwell": None}
        },
        "lines": {"gate": {"in": {"car": 1}, "out": {}}},
        "events": [{"event": "in", "line": "gate", "track": 3, "label": "car", "pts": 0.333333}],
    }
