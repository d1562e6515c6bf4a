"""The memory of one camera: its frames become episodes, and those that fulfil a rule events in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.serve.clips import Recorder
from pipeline.serve.episodes import Episode, Episodes
from pipeline.serve.ids import new_id
from pipeline.serve.rules import Judge, Rule
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.types import Annotated, Image


@dataclass(slots=True)
class _Case:
    """An episode's events, the rules it is through with, and what the store knows of it."""

    events: list[Event] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    news: int = 0
    picture: Image | None = None


class Memory:
    """Give it every frame of a camera that was shown, in order.

    Args:
        camera: its name.
        rules: of all cameras; none: everything that is shown.
        clips: cuts clips out of what the camera sends; None: there are none.
    """

    def __init__(
        self,
        camera: str,
        rules: Sequence[Rule],
        store: EventStore,
        clips: Recorder | None = None,
        episodes: Episodes | None = None,
    ) -> None:
        self._camera = camera
        self._judge = Judge(rules, camera)
        self._store = store
        self._clips = clips
        self._episodes = episodes or Episodes()
        self._cases: dict[Episode, _Case] = {}

    def __call__(self, item: Annotated, now: datetime) -> list[Event]:
        """Takes the next frame, as redaction passed it; `now` is when it was shown, UTC.

        Returns: the events that have begun with it, and those that have ended.
        """
        told = []
        for episode in self._episodes.update(item, now):
            told += self._end(episode) if episode.ended else self._follow(episode, now)
        return told

    def close(self) -> list[Event]:
        """Ends what lasts and returns it: the camera is lost, or the process ends. Frames may follow."""
        return [event for episode in self._episodes.close() for event in self._end(episode)]

    def _follow(self, episode: Episode, now: datetime) -> list[Event]:
        case = self._cases.setdefault(episode, _Case())
        if episode.news > case.news:
            self._update(case, episode)
        begun = []
        for rule, makes_event in self._judge(episode, case.settled, now):
            case.settled.add(rule.name)
            if makes_event:
                begun.append(_describe(Event(new_id(episode.start), self._camera, rule.name, "", 0, now, now), episode))
                self._store.add(begun[-1], episode.picture)
                if self._clips is not None:
                    self._clips.tell(begun[-1])
        case.events += begun
        return begun

    def _end(self, episode: Episode) -> list[Event]:
        case = self._cases.pop(episode)
        self._update(case, episode)
        if self._clips is not None:
            for event in case.events:
                self._clips.tell(event)
        return case.events

    def _update(self, case: _Case, episode: Episode) -> None:
        case.events = [_describe(event, episode) for event in case.events]
        picture = None if episode.picture is case.picture else episode.picture
        for event in case.events:
            self._store.update(event, picture)
        case.news, case.picture = episode.news, episode.picture


def _describe(event: Event, episode: Episode) -> Event:
    """The event as the episode is now."""
    return replace(
        event,
        label=episode.label,
        score=round(episode.score, 4),
        start=episode.start,
        best=episode.start + timedelta(seconds=episode.best),
        end=episode.end if episode.ended else None,
        box=episode.box,
        path=episode.trail.points,
        track=episode.track,
        zones=tuple(episode.dwell),
    )
