"""Writes down the times in which cameras gave no pictures, those in which nobody watched included."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from pipeline.errors import StoreError
from pipeline.serve.ids import new_id
from pipeline.serve.store import EventStore
from pipeline.serve.tables import to_datetime, watched
from pipeline.serve.types import Gap
from pipeline.sources.state import Gap as Silence
from pipeline.sources.state import Health

_EVERY = 5.0  # seconds: how far the time at which a killed process ended may be off
_MOST_REASONS = 5  # of one gap
_DOWN = "Onsight did not run"
_ANEW = "it was opened anew"


@dataclass(slots=True)
class _Opened:
    """What is known of a camera since it was opened.

    Args:
        before: the gap that has lasted since before that, until its first picture; None: it was not there before.
        why: the reason of that gap when the camera was opened.
        health: how the camera was when somebody looked last.
        gaps: the others, by when they began.
    """

    name: str
    before: Gap | None
    why: str
    health: Health
    gaps: dict[float, Gap] = field(default_factory=dict)

    @property
    def lasting(self) -> Gap | None:
        """The gap that has no end."""
        return next((gap for gap in (self.before, *self.gaps.values()) if gap is not None and gap.end is None), None)


class Diary:
    """The gaps of all cameras, kept in the store. To be used by one thread.

    A camera that was there before, under the same name, has a gap from its last picture then to its first one now,
    where it was opened anew, and where a process watched it that has ended since: the store knows until when.

    Raises:
        StoreError: the database cannot be read.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        with store.database.reading() as connection:
            self._left = {row.camera: to_datetime(row.until) for row in connection.execute(select(watched))}
        self._opened: dict[int, _Opened] = {}
        self._due = 0.0
        self._strays = True  # the store may have rows of cameras that are not watched

    def write(self, cameras: Mapping[int, tuple[str, Health]]) -> None:
        """Tells how the cameras are; to be called now and then.

        Args:
            cameras: name and state of each, by a number that is another one when a camera has been opened anew.
        """
        now = time.monotonic()
        gone = {opened.name: opened for stream, opened in self._opened.items() if stream not in cameras}
        self._opened = {stream: opened for stream, opened in self._opened.items() if stream in cameras}
        for stream, (name, health) in cameras.items():
            if stream not in self._opened:
                before = self._gap_before(name, gone.pop(name, None), now)
                self._opened[stream] = _Opened(name, before, before.reason if before else "", health)
            self._follow(self._opened[stream], health, now)
        for opened in gone.values():
            self._end(opened)
            self._strays = True
        if gone or now >= self._due:
            self._beat()
            if self._strays:
                self._forget_others({name for name, _ in cameras.values()})
            self._due = now + _EVERY

    def close(self) -> None:
        """The process ends: so does what it can tell of gaps that last."""
        for opened in self._opened.values():
            self._end(opened)
        self._beat()

    def _gap_before(self, name: str, opened: _Opened | None, now: float) -> Gap | None:
        """The gap in which a camera is when it is opened: after a process that has ended, or after `opened`."""
        until = self._left.pop(name, None)
        if until is not None and until < datetime.now(UTC):
            return self._begin(name, until, _DOWN)
        if opened is None:
            return None
        if opened.lasting is not None or opened.health.first is None:
            return opened.lasting
        return self._begin(name, _clock(opened.health.newest, now), _ANEW)

    def _follow(self, opened: _Opened, health: Health, now: float) -> None:
        silences = health.recent
        if opened.before is not None:
            early = [each for each in silences if health.first is None or each.start < health.first]  # one at most
            silences = silences[len(early) :]
            reason = _join(opened.why, *(each.reason for each in early))
            opened.before = self._go_on(opened.before, reason, health.first, now)
        opened.gaps = {each.start: self._note(opened, each, now) for each in silences}
        opened.health = health

    def _note(self, opened: _Opened, silence: Silence, now: float) -> Gap:
        known = opened.gaps.get(silence.start)
        gap = known or self._begin(opened.name, _clock(silence.start, now), silence.reason)
        return self._go_on(gap, silence.reason, silence.end, now)

    def _begin(self, camera: str, start: datetime, reason: str) -> Gap:
        gap = Gap(new_id(start), camera, start, None, reason)
        self._store.note_gap(gap)
        return gap

    def _go_on(self, gap: Gap, reason: str, end: float | None, now: float) -> Gap:
        """The gap as it is known now; one that has ended does not change any more."""
        if gap.end is not None:
            return gap
        changed = replace(gap, reason=reason, end=None if end is None else _clock(end, now))
        if changed != gap:
            self._store.note_gap(changed)
        return changed

    def _end(self, opened: _Opened) -> None:
        if (gap := opened.lasting) is not None:
            self._store.note_gap(replace(gap, end=datetime.now(UTC)))

    def _beat(self) -> None:
        for opened in self._opened.values():
            self._store.note_watched(opened.name, datetime.now(UTC))

    def _forget_others(self, cameras: set[str]) -> None:
        """Who comes back later has not been missed. Tried again with the next beat if the store cannot be written."""
        self._left = {name: until for name, until in self._left.items() if name in cameras}
        with suppress(StoreError):
            self._store.flush()  # what waits may be of those that are to be forgotten
            with self._store.database.writing() as connection:
                connection.execute(delete(watched).where(watched.c.camera.not_in(cameras)))
            self._strays = False


def _clock(moment: float, now: float) -> datetime:
    """The time of day of a moment by `time.monotonic`."""
    return datetime.now(UTC) - timedelta(seconds=now - moment)


def _join(*reasons: str) -> str:
    """How a gap began, and the newest of what else became known of it, each once."""
    first, *others = dict.fromkeys("; ".join(reasons).split("; "))
    return "; ".join((first, *others[1 - _MOST_REASONS :]))
