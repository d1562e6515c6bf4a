import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks.events import EventsSink
from pipeline.sinks.records import JsonlSink, to_record
from pipeline.types import Annotated, Classification, Counts, Frame, LineCount, Redacted, ZoneCount, ZoneEvent

IMAGE = np.zeros((4, 4, 3), np.uint8)
NOTHING = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))


def item(index: int, *events: ZoneEvent, inside: dict[int, str] | None = None, stream: int = 0) -> Annotated:
    inside = {} if inside is None else inside
    dwell = dict.fromkeys(inside, index / 10 - 0.2)
    zone = ZoneCount("yard", ((0, 0), (1, 0), (1, 1)), {"car": 3}, {"car": 2}, {"car": 8.0}, inside, dwell)
    line = LineCount("gate", ((0, 0), (1, 0)), {"car": 2, "bus": 1}, {})
    frame = Frame(IMAGE, f"{'ab'[stream]}, b.mp4", index, index / 10, stream)
    return Annotated(Redacted(frame, NOTHING, Counts((zone,), (line,), events)), IMAGE)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_event_is_a_row(tmp_path: Path) -> None:
    sink = EventsSink(tmp_path / "x.csv")
    sink.write(
        item(3, ZoneEvent("enter", "yard", 7, "car", 0.3), ZoneEvent("in", "gate", 8, 'big "car"', 0.2512345678))
    )
    sink.write(item(4))
    sink.write(item(5, ZoneEvent("lost", "yard", 7, "car", 0.4, 0.12345)))
    sink.close()
    names = ("source", "frame", "pts", "place", "event", "track", "label", "dwell")
    assert rows_of(tmp_path / "x.csv") == [
        dict(zip(names, row, strict=True))
        for row in (
            ("a, b.mp4", "3", "0.3", "yard", "enter", "7", "car", ""),
            ("a, b.mp4", "3", "0.251235", "gate", "in", "8", 'big "car"', ""),
            ("a, b.mp4", "5", "0.4", "yard", "lost", "7", "car", "0.123"),
        )
    ]


def test_who_is_still_inside_when_it_ends_has_a_row(tmp_path: Path) -> None:
    sink = EventsSink(tmp_path / "x.csv")
    sink.write(item(4, ZoneEvent("enter", "yard", 7, "car", 0.4), inside={7: "car"}))
    sink.write(item(9, inside={7: "car", 8: "bus"}))
    sink.write(item(3, ZoneEvent("enter", "yard", 1, "bus", 0.3), inside={1: "bus"}, stream=1))
    sink.close()
    enter, second, first, other, last = rows_of(tmp_path / "x.csv")
    assert [enter["event"], second["event"]] == ["enter"] * 2
    assert list(first.values()) == ["a, b.mp4", "9", "0.9", "yard", "inside", "7", "car", "0.7"]
    assert list(other.values()) == ["a, b.mp4", "9", "0.9", "yard", "inside", "8", "bus", "0.7"]
    assert list(last.values()) == ["b, b.mp4", "3", "0.3", "yard", "inside", "1", "bus", "0.1"]


def test_a_frame_without_counts_gives_no_row(tmp_path: Path) -> None:
    sink = EventsSink(tmp_path / "x.csv")
    sink.write(Annotated(Redacted(item(0).frame, NOTHING), IMAGE))
    sink.close()
    assert rows_of(tmp_path / "x.csv") == []


def test_events_of_a_camera_are_appended_but_not_to_another_table(tmp_path: Path) -> None:
    for index in range(2):
        sink = EventsSink(tmp_path / "x.csv", append=True)
        sink.write(item(index, ZoneEvent("out", "gate", 1, "car", index / 10)))
        sink.close()
    assert [row["frame"] for row in rows_of(tmp_path / "x.csv")] == ["0", "1"]
    (tmp_path / "other.csv").write_text("source,frame\n")
    with pytest.raises(SinkError, match="has other columns"):
        EventsSink(tmp_path / "other.csv", append=True)


def test_records_carry_zones_lines_and_events_where_there_are_some() -> None:
    seen = item(3, ZoneEvent("leave", "yard", 7, "car", 0.3, 2.0), inside={7: "car"})
    record = to_record(seen.frame, seen.results, seen.counts)
    assert list(record)[-4:] == ["results", "zones", "lines", "events"]
    assert record["zones"]["yard"] == {
        "inside": {"car": 1},
        "entered": {"car": 3},
        "left": {"car": 2},
        "dwell": {"7": 0.1},
        "mean_dwell": 4.0,
    }
    assert record["lines"] == {"gate": {"in": {"car": 2, "bus": 1}, "out": {}}}
    assert record["events"] == [
        {"event": "leave", "zone": "yard", "track": 7, "label": "car", "pts": 0.3, "dwell": 2.0}
    ]
    assert list(to_record(seen.frame, seen.results))[-1] == "results"


def test_the_record_of_a_sink_carries_them(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "x.jsonl")
    sink.write(item(0))
    sink.close()
    assert '"lines":{"gate":{"in":{"car":2,"bus":1},"out":{}}}' in (tmp_path / "x.jsonl").read_text()
