"""What happened at zones and lines, as CSV: one row an event."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from pipeline.sinks.records import RecordFile
from pipeline.types import Annotated, Counts, ZoneEvent

COLUMNS = ("source", "frame", "pts", "place", "event", "track", "label", "dwell")


class EventsSink(RecordFile):
    """One row an event, `COLUMNS` as the header: who came into a zone or left it, and who crossed a line, and when.

    `frame` is the frame that tells it, `pts` and `dwell` are those of the `ZoneEvent`; `dwell` is empty unless it left.
    At the end each object that is still in a zone has a row `inside`, as of the last frame of its source.
    """

    suffix = ".csv"
    header = ",".join(COLUMNS) + "\n"

    def __init__(self, path: str | Path, append: bool = False) -> None:
        super().__init__(path, append)
        self._latest: dict[int, tuple[str, int, float, Counts]] = {}

    def _format(self, item: Annotated) -> str:
        frame, counts = item.frame, item.counts
        if counts is None or frame.pts is None:
            return ""
        self._latest[frame.stream] = frame.source, frame.index, frame.pts, counts
        return _rows(frame.source, frame.index, counts.events)

    def _end(self) -> str:
        return "".join(
            _rows(source, index, _still_inside(counts, pts)) for source, index, pts, counts in self._latest.values()
        )


def _still_inside(counts: Counts, pts: float) -> Iterable[ZoneEvent]:
    for zone in counts.zones:
        for track, label in zone.labels.items():
            yield ZoneEvent("inside", zone.name, track, label, pts, zone.dwell[track])


def _rows(source: str, index: int, events: Iterable[ZoneEvent]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for event in events:
        dwell = None if event.dwell is None else round(event.dwell, 3)
        rows.writerow((source, index, round(event.pts, 6), event.place, event.kind, event.track, event.label, dwell))
    return text.getvalue()
