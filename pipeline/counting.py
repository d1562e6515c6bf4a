"""Counts tracked objects in zones and over lines: a stage between the tracker and the redaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pipeline.counters import LineCounter, Tracked, ZoneCounter
from pipeline.types import Counts, Detections, Frame, Recognised
from pipeline.zones import Places


class SceneCounter:
    """Counts what the objects of each source do. A stage: give it every frame of a source, in order.

    Args:
        places: the zones and lines of each source, by its `stream`.
        lost_after: seconds for which the tracker looks for an object that it does not see; then it has left.
    """

    def __init__(self, places: Mapping[int, Places], lost_after: float) -> None:
        self._zones = {key: [ZoneCounter(zone, lost_after) for zone in each.zones] for key, each in places.items()}
        self._lines = {key: [LineCounter(line, lost_after) for line in each.lines] for key, each in places.items()}

    def __call__(self, recognised: Recognised) -> Recognised:
        """The same frame with `counts`, if its source has zones or lines.

        Raises:
            ValueError: the frame has no time, or its objects no tracks.
        """
        frame, found = recognised.frame, recognised.results
        zones, lines = self._zones[frame.stream], self._lines[frame.stream]
        if not zones and not lines:
            return recognised
        if (pts := frame.pts) is None or not isinstance(found, Detections) or found.tracks_N is None:
            raise ValueError("only tracks at a known time can be counted")
        objects = list(_objects(frame, found))
        events = [event for zone in zones for event in zone.update(objects, pts)]
        events += [event for line in lines for event in line.update(objects, pts)]
        counts = Counts(tuple(zone.count(pts) for zone in zones), tuple(line.count() for line in lines), tuple(events))
        return replace(recognised, counts=counts)


def _objects(frame: Frame, found: Detections) -> Iterator[Tracked]:
    assert found.tracks_N is not None
    rows = zip(found.tracks_N.tolist(), found.labels_N.tolist(), found.boxes_N4.tolist(), strict=True)
    for track, label_id, box in rows:
        if track > 0:
            yield Tracked(track, label_id, found.names[label_id], tuple(box), frame.width, frame.height)
