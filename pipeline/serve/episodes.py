"""From frames to episodes: one a track or, where the run does not track, one a class for as long as it is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from pipeline.serve.thumbnails import cut_out
from pipeline.serve.trail import Trail
from pipeline.track import LOST_AFTER
from pipeline.types import Annotated, Classification, Counts, Detections, Frame, Image

_BETTER = 1.05  # times as good must a frame be to become the best one: few thumbnails, and one soon

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2 as fractions of the frame's width and height."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing in one frame. `box` is None of a classification, `track` without tracking."""

    label: str
    score: float
    box: Box | None = None
    track: int | None = None

    @property
    def key(self) -> int | str:
        """What is the same thing in other frames."""
        return self.label if self.track is None else self.track

    @property
    def quality(self) -> float:
        """The score times the size, the square root of the area in the frame: near and sure is best."""
        if self.box is None:
            return self.score
        left, top, right, bottom = (min(max(0.0, edge), 1.0) for edge in self.box)
        return self.score * math.sqrt(max(0.0, right - left) * max(0.0, bottom - top))


@dataclass(slots=True, eq=False)
class Episode:
    """What has been seen of one thing so far. Times are in seconds since `start`.

    Args:
        started: the time of its first frame by the source's clock.
        label: its class, as it was known last.
        score: the best one.
        seen, best: when it was last seen, and in its best frame.
        box, picture: in the best frame, and a thumbnail of it.
        dwell: for how long it was in each zone at one time.
        crossed: the lines, with `in` or `out`.
        news: grows with everything that is worth keeping.
        ended: it will not change any more.
    """

    start: datetime
    started: float
    label: str
    track: int | None
    score: float = 0.0
    seen: float = 0.0
    best: float = 0.0
    box: Box | None = None
    picture: Image | None = None
    trail: Trail = field(default_factory=Trail)
    dwell: dict[str, float] = field(default_factory=dict)
    crossed: set[tuple[str, str]] = field(default_factory=set)
    news: int = 0
    ended: bool = False
    quality: float = -1.0

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seen)

    def see(self, sighting: Sighting, frame: Frame, pts: float) -> None:
        self.seen = pts - self.started
        self.news += sighting.label != self.label
        self.label, self.score = sighting.label, max(self.score, sighting.score)
        if sighting.box is not None:
            left, top, right, bottom = sighting.box
            self.news += self.trail.add(self.seen, (left + right) / 2, (top + bottom) / 2)
        if sighting.quality > _BETTER * self.quality:
            self.quality, self.best, self.box = sighting.quality, self.seen, sighting.box
            self.picture = cut_out(frame.image, sighting.box)
            self.news += 1

    def count(self, counts: Counts) -> None:
        """Takes over what zones and lines tell about its track."""
        before = len(self.dwell) + len(self.crossed)
        for zone in counts.zones:
            if self.track is not None and (stay := zone.dwell.get(self.track)) is not None:
                self.dwell[zone.name] = max(stay, self.dwell.get(zone.name, 0.0))
        lines = (event for event in counts.events if event.track == self.track and event.kind in ("in", "out"))
        self.crossed.update((event.place, event.kind) for event in lines)
        self.news += len(self.dwell) + len(self.crossed) - before


class Episodes:
    """The episodes of one camera.

    Durations are measured on the source's clock, so that a clock that is set does not stretch them; the time of day is
    asked once, when an episode begins.

    Args:
        patience: seconds for which a class may be out of sight within one episode; a track that the tracker gave up
            never comes back, so it has ended then.
        least_score: of the best class of a classifier, to be something seen.
    """

    def __init__(self, patience: float = 5.0, least_score: float = 0.5) -> None:
        self._patience = patience
        self._least_score = least_score
        self._open: dict[int | str, Episode] = {}
        self._pts = -math.inf

    def update(self, item: Annotated, now: datetime) -> list[Episode]:
        """Takes the next frame.

        Args:
            now: when it was shown, UTC.

        Returns: the episodes that have ended, and those that are seen in the frame.

        Raises:
            ValueError: the frame has no time.
        """
        if (pts := item.frame.pts) is None:
            raise ValueError("only frames with a time make episodes")
        ended = self.close() if pts < self._pts else self._end_lost(pts)
        self._pts = pts
        seen = []
        for sighting in self._look(item):
            episode = self._open.get(sighting.key)
            if episode is None:
                episode = self._open[sighting.key] = Episode(now, pts, sighting.label, sighting.track)
            episode.see(sighting, item.frame, pts)
            if item.counts is not None:
                episode.count(item.counts)
            seen.append(episode)
        return ended + seen

    def close(self) -> list[Episode]:
        """Ends all, as when the camera is lost, and returns them."""
        return self._end(list(self._open))

    def _end_lost(self, pts: float) -> list[Episode]:
        return self._end([key for key, each in self._open.items() if pts - each.started - each.seen > self._wait(each)])

    def _wait(self, episode: Episode) -> float:
        return self._patience if episode.track is None else LOST_AFTER

    def _end(self, keys: list[int | str]) -> list[Episode]:
        ended = [self._open.pop(key) for key in keys]
        for episode in ended:
            episode.ended = True
            episode.news += 1
        return ended

    def _look(self, item: Annotated) -> Iterator[Sighting]:
        found, frame = item.results, item.frame
        if isinstance(found, Classification):
            if len(found) and found.scores_K[0] >= self._least_score:
                yield Sighting(found.names[int(found.labels_K[0])], float(found.scores_K[0]))
            return
        seen: set[str] = set()
        for row in range(len(found)):  # best first
            sighting = _sighting(found, row, frame)
            if found.tracks_N is None:
                if sighting.label not in seen:
                    yield sighting
                seen.add(sighting.label)
            elif sighting.track is not None:
                yield sighting


def _sighting(found: Detections, row: int, frame: Frame) -> Sighting:
    left, top, right, bottom = (round(float(edge), 2) for edge in found.boxes_N4[row])
    box = (left / frame.width, top / frame.height, right / frame.width, bottom / frame.height)
    track = None if found.tracks_N is None else int(found.tracks_N[row]) or None
    return Sighting(found.names[int(found.labels_N[row])], float(found.scores_N[row]), box, track)
