"""What zones and lines have counted, as a table in CSV: a row a place and class, for the run or for each interval."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.sinks.records import RecordFile
from pipeline.types import Annotated, Counts, Frame, LineCount, ZoneCount

COLUMNS = (
    *("source", "from", "to", "place", "kind", "label"),
    *("entered", "left", "inside", "mean_dwell", "in", "out"),
)


class CountsSink(RecordFile):
    """The table, `COLUMNS` as the header. A row holds what was counted `from` one time `to` another of a source.

    Times are presentation times in seconds. `kind` is `zone`, where `in` and `out` are empty, or `line`, where the four
    before them are. `inside` is how many are there at the end; `mean_dwell` is over those that left, empty if none has.
    Each place has a row for every class that it has counted so far, or one row of zeros without a class.

    Args:
        path: the final name, *.csv.
        every: seconds; each interval of that length, from 0 on, has its rows if it has a frame. They are written with
            the first frame after it. None: the whole run is one interval.
        append: as for `RecordFile`.
    """

    suffix = ".csv"
    header = ",".join(COLUMNS) + "\n"

    def __init__(self, path: str | Path, every: float | None = None, append: bool = False) -> None:
        super().__init__(path, append)
        self._every = every or math.inf
        self._spans: dict[int, _Span] = {}

    def _format(self, item: Annotated) -> str:
        frame, counts = item.frame, item.counts
        if counts is None or frame.pts is None:
            return ""
        start, text = self._start(frame.pts), ""
        span = self._spans.get(frame.stream) or self._begin(frame, start, _nothing(counts))
        if start > span.start:
            text = span.rows(span.start + self._every)
            span = self._begin(frame, start, span.counts)
        span.counts, span.seen = counts, frame.pts
        return text

    def _end(self) -> str:
        return "".join(span.rows(span.seen) for span in self._spans.values())

    def _start(self, pts: float) -> float:
        """Of the interval in which `pts` lies."""
        number = math.floor(round(pts / self._every, 9))  # 0.6 / 0.1 is a little less than 6
        return number * self._every if number else 0.0

    def _begin(self, frame: Frame, start: float, before: Counts) -> _Span:
        self._spans[frame.stream] = span = _Span(frame.source, start, before, before, start)
        return span


@dataclass(slots=True)
class _Span:
    """An interval of a source.

    Args:
        before: what had been counted when it began.
        counts: what has been counted up to its latest frame.
        seen: the time of that frame.
    """

    source: str
    start: float
    before: Counts
    counts: Counts
    seen: float

    def rows(self, end: float) -> str:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        when = (self.source, round(self.start, 6), round(end, 6))
        for zone, zone_before in zip(self.counts.zones, self.before.zones, strict=True):
            table.writerows((*when, *row) for row in _zone_rows(zone, zone_before))
        for line, line_before in zip(self.counts.lines, self.before.lines, strict=True):
            table.writerows((*when, *row) for row in _line_rows(line, line_before))
        return text.getvalue()


def _zone_rows(now: ZoneCount, before: ZoneCount) -> Iterator[tuple[object, ...]]:
    for label in now.entered or ("",):
        entered, left = _since(now.entered, before.entered, label), _since(now.left, before.left, label)
        mean = round(_since(now.stayed, before.stayed, label) / left, 3) if left else None
        yield now.name, "zone", label, entered, left, now.inside[label], mean, None, None


def _line_rows(now: LineCount, before: LineCount) -> Iterator[tuple[object, ...]]:
    for label in {**now.inward, **now.outward} or ("",):
        inward, outward = _since(now.inward, before.inward, label), _since(now.outward, before.outward, label)
        yield now.name, "line", label, None, None, None, None, inward, outward


def _since(now: Mapping[str, float], before: Mapping[str, float], label: str) -> float:
    return now.get(label, 0) - before.get(label, 0)


def _nothing(counts: Counts) -> Counts:
    """Those of a source of which no frame has come yet."""
    return Counts(
        tuple(ZoneCount(zone.name, zone.points, {}, {}, {}, {}, {}) for zone in counts.zones),
        tuple(LineCount(line.name, line.points, {}, {}) for line in counts.lines),
    )
