import csv
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting import SceneCounter
from pipeline.errors import SinkError
from pipeline.sinks.counts import CountsSink
from pipeline.types import (
    Annotated,
    Classification,
    Counts,
    Detections,
    Frame,
    LineCount,
    Recognised,
    Redacted,
    ZoneCount,
)
from pipeline.zones import Place, Places

IMAGE = np.zeros((4, 4, 3), np.uint8)
NOTHING = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))


def yard(
    entered: Mapping[str, int], left: Mapping[str, int] = {}, stayed: Mapping[str, float] = {}, *inside: str
) -> ZoneCount:
    return ZoneCount("yard", ((0, 0), (1, 0), (1, 1)), entered, left, stayed, dict(enumerate(inside, 1)), {})


def gate(inward: Mapping[str, int], outward: Mapping[str, int] = {}) -> LineCount:
    return LineCount("gate", ((0, 0), (1, 0)), inward, outward)


def item(pts: float, zone: ZoneCount | None = None, line: LineCount | None = None, stream: int = 0) -> Annotated:
    counts = Counts((zone,) if zone else (), (line,) if line else ())
    return Annotated(Redacted(Frame(IMAGE, f"{'ab'[stream]}.mp4", 0, pts, stream), NOTHING, counts), IMAGE)


def table(path: Path) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


def test_each_place_and_class_has_a_row_at_the_end(path: Path) -> None:
    sink = CountsSink(path)
    sink.write(item(0.0, yard({}), gate({})))
    sink.write(
        item(7.5, yard({"car": 3, "bus": 1}, {"car": 2}, {"car": 5.0}, "car", "bus"), gate({"car": 2}, {"bus": 1}))
    )
    sink.close()
    assert path.read_text().splitlines() == [
        "source,from,to,place,kind,label,entered,left,inside,mean_dwell,in,out",
        "a.mp4,0.0,7.5,yard,zone,car,3,2,1,2.5,,",
        "a.mp4,0.0,7.5,yard,zone,bus,1,0,1,,,",
        "a.mp4,0.0,7.5,gate,line,car,,,,,2,0",
        "a.mp4,0.0,7.5,gate,line,bus,,,,,0,1",
    ]


def test_where_nobody_came_there_are_zeros(path: Path) -> None:
    sink = CountsSink(path)
    sink.write(item(0.0, yard({}), gate({})))
    sink.close()
    assert table(path) == [
        ("a.mp4", "0.0", "0.0", "yard", "zone", "", "0", "0", "0", "", "", ""),
        ("a.mp4", "0.0", "0.0", "gate", "line", "", "", "", "", "", "0", "0"),
    ]


def test_each_interval_counts_anew_and_its_rows_are_there_when_it_is_over(path: Path) -> None:
    sink = CountsSink(path, every=10.0, append=True)
    sink.write(item(0.1, yard({"car": 1}, {}, {}, "car")))
    sink.write(item(9.9, yard({"car": 2}, {"car": 1}, {"car": 4.0}, "car")))
    assert table(path) == []
    sink.write(item(10.0, yard({"car": 2, "bus": 1}, {"car": 2}, {"car": 12.0}, "bus")))
    assert table(path) == [("a.mp4", "0.0", "10.0", "yard", "zone", "car", "2", "1", "1", "4.0", "", "")]
    sink.write(item(14.0, yard({"car": 2, "bus": 1}, {"car": 2}, {"car": 12.0}, "bus")))
    sink.close()
    assert table(path)[1:] == [
        ("a.mp4", "10.0", "14.0", "yard", "zone", "car", "0", "1", "0", "8.0", "", ""),
        ("a.mp4", "10.0", "14.0", "yard", "zone", "bus", "1", "0", "1", "", "", ""),
    ]


def test_an_interval_without_a_frame_has_no_rows(path: Path) -> None:
    sink = CountsSink(path, every=10.0)
    for pts, crossed in ((5.0, 1), (35.0, 3), (41.0, 3)):
        sink.write(item(pts, None, gate({"car": crossed})))
    sink.close()
    assert [(row[1], row[2], row[-2]) for row in table(path)] == [
        ("0.0", "10.0", "1"),
        ("30.0", "40.0", "2"),
        ("40.0", "41.0", "0"),
    ]


def test_sources_have_intervals_of_their_own(path: Path) -> None:
    sink = CountsSink(path, every=10.0)
    for stream, pts, crossed in ((0, 5.0, 1), (1, 2.0, 0), (0, 11.0, 1), (1, 3.0, 4)):
        sink.write(item(pts, None, gate({"car": crossed}), stream))
    sink.close()
    assert [(row[0], row[1], row[-2]) for row in table(path)] == [
        ("a.mp4", "0.0", "1"),
        ("a.mp4", "10.0", "0"),
        ("b.mp4", "0.0", "4"),
    ]


def test_a_frame_without_places_or_time_gives_no_row(path: Path) -> None:
    sink = CountsSink(path)
    sink.write(Annotated(Redacted(Frame(IMAGE, "a.mp4", 0, 0.0), NOTHING), IMAGE))
    sink.close()
    assert table(path) == []


def test_a_run_that_fails_leaves_what_it_has_counted(path: Path) -> None:
    sink = CountsSink(path)
    sink.write(item(1.0, None, gate({"car": 1})))
    sink.close(whole=False)
    assert [row[-2] for row in table(path.with_name("x.partial.csv"))] == ["1"]


def test_runs_of_a_camera_are_appended_but_not_to_a_log_of_events(path: Path) -> None:
    for _ in range(2):
        sink = CountsSink(path, append=True)
        sink.write(item(1.0, None, gate({"car": 1})))
        sink.close()
    assert len(table(path)) == 2
    path.write_text("source,frame,pts,place,event,track,label,dwell\n")
    with pytest.raises(SinkError, match="has other columns"):
        CountsSink(path, append=True)


def test_what_a_counter_tells_is_booked_with_the_frame_that_tells_it(path: Path) -> None:
    zone, line = Place("yard", ((0, 0), (0.5, 0), (0.5, 1), (0, 1))), Place("gate", ((0.5, 0.5), (1, 0.5)))
    counter, sink = SceneCounter({0: Places((zone,), (line,))}, lost_after=1.0), CountsSink(path, every=10.0)
    events = []
    # The cat is last seen in the yard at 9.9. The dog goes over the gate, y = 50, and is clear of it at 10.1.
    for pts, cat, dog in ((9.0, 60, 55.0), (9.9, 60, 49.9), (10.1, None, 40.0), (11.0, None, 40.0), (12.0, None, 40.0)):
        places = [place for place in ((1, 20, cat), (2, 80, dog)) if place[2] is not None]
        boxes_N4 = np.float32([(x - 5, y - 10, x + 5, y) for _, x, y in places])
        tracks_N = np.array([track for track, *_ in places])
        found = Detections(boxes_N4, tracks_N - 1, np.full(len(places), 0.9, np.float32), ("cat", "dog"), tracks_N)
        told = counter(Recognised(Frame(np.zeros((100, 100, 3), np.uint8), "a.mp4", 0, pts), found))
        events += [(event.kind, round(event.pts, 1)) for event in told.counts.events]
        sink.write(Annotated(Redacted(told.frame, told.results, told.counts), IMAGE))
    sink.close()
    assert events == [("enter", 9.0), ("in", 9.9), ("lost", 9.9)]
    assert table(path) == [
        ("a.mp4", "0.0", "10.0", "yard", "zone", "cat", "1", "0", "1", "", "", ""),
        ("a.mp4", "0.0", "10.0", "gate", "line", "", "", "", "", "", "0", "0"),
        ("a.mp4", "10.0", "12.0", "yard", "zone", "cat", "0", "1", "0", "0.9", "", ""),
        ("a.mp4", "10.0", "12.0", "gate", "line", "dog", "", "", "", "", "1", "0"),
    ]


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.3, 1.0, 7.0, 100.0]),
)
def test_intervals_add_up_to_the_run(tmp_path_factory, steps, every):
    path = tmp_path_factory.mktemp("sums") / "x.csv"
    sink, tenths, car, bus = CountsSink(path, every), 0, 0, 0
    for step, cars, buses in steps:
        tenths, car, bus = tenths + step, car + cars, bus + buses
        sink.write(item(tenths / 10, None, gate({"car": car}, {"bus": bus})))
    sink.close()
    rows = table(path)
    assert sum(int(row[-2]) for row in rows) == car
    assert sum(int(row[-1]) for row in rows) == bus
    times = [(float(row[1]), float(row[2])) for row in rows[::2]]
    assert all(before[1] <= after[0] + 1e-6 for before, after in itertools.pairwise(times))
    assert times[-1][1] == pytest.approx(tenths / 10)
