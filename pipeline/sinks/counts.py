"""What happened at zones and lines, as CSV: one row an event."""

from __future__ import annotations

import csv
import io

from pipeline.sinks.records import RecordFile
from pipeline.types import Annotated

COLUMNS = ("source", "frame", "pts", "place", "event", "track", "label", "dwell")


class CountsSink(RecordFile):
    """One row an event, `COLUMNS` as the header: who came into a zone or left it, and who crossed a line, and when.

    `frame` is the frame that tells it, `pts` and `dwell` are those of the `ZoneEvent`; `dwell` is empty unless it left.
    """

    suffix = ".csv"
    header = ",".join(COLUMNS) + "\n"

    def _format(self, item: Annotated) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for event in item.counts.events if item.counts else ():
            dwell = None if event.dwell is None else round(event.dwell, 3)
            cells = (round(event.pts, 6), event.place, event.kind, event.track, event.label, dwell)
            rows.writerow((item.frame.source, item.frame.index, *cells))
        return text.getvalue()
