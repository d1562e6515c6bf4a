"""Writes down the times in which cameras gave no pictures, those in which nobody watched included."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
_DOWN = "Onsight did not run"


class Diary:
    """The gaps of all cameras, kept in the store. To be used by one thread.

    What it learns of a camera from the store is until when that was watched, by a process that has ended since: that
    the camera gave no pictures until now is a gap, too.

    Raises:
        StoreError: the database cannot be read.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._began = datetime.now(UTC)
        with store.database.reading() as connection:
            self._left = {row.camera: to_datetime(row.until) for row in connection.execute(select(watched))}
        self._known: dict[int, dict[float, Gap]] = {}  # by the number of the camera, and when the gap began
        self._watched: set[str] = set()
        self._due = 0.0

    def write(self, cameras: Mapping[int, tuple[str, Health]]) -> None:
        """Tells how the cameras are; to be called now and then.

        Args:
            cameras: name and state of each, by a number that is another one when a camera has been opened anew.
        """
        now = time.monotonic()
        if self._due == 0.0:
            self._resume({name for name, _ in cameras.values()})
        for stream in self._known.keys() - cameras.keys():
            self._end(self._known.pop(stream))
        for stream, (name, health) in cameras.items():
            before = self._known.get(stream, {})
            self._known[stream] = {
                each.start: self._note(name, each, before.get(each.start), now) for each in health.recent
            }
        self._watched = {name for name, _ in cameras.values()}
        if now >= self._due:
            self._beat()
            self._due = now + _EVERY

    def close(self) -> None:
        """The process ends: so does what it can tell of gaps that last."""
        for known in self._known.values():
            self._end(known)
        self._beat()

    def _resume(self, cameras: set[str]) -> None:
        for name, until in self._left.items():
            if name in cameras and until < self._began:
                self._store.note_gap(Gap(new_id(until), name, until, self._began, _DOWN))
        with suppress(StoreError), self._store.database.writing() as connection:
            # Who comes back later has not been missed.
            connection.execute(delete(watched).where(watched.c.camera.not_in(cameras)))

    def _note(self, name: str, silence: Silence, before: Gap | None, now: float) -> Gap:
        if before is None:
            start = _clock(silence.start, now)
            gap = Gap(new_id(start), name, start, None, silence.reason)
        else:
            gap = replace(before, reason=silence.reason)
        if silence.end is not None and gap.end is None:
            gap = replace(gap, end=_clock(silence.end, now))
        if gap != before:
            self._store.note_gap(gap)
        return gap

    def _end(self, known: Mapping[float, Gap]) -> None:
        for gap in known.values():
            if gap.end is None:
                self._store.note_gap(replace(gap, end=datetime.now(UTC)))

    def _beat(self) -> None:
        for name in self._watched:
            self._store.note_watched(name, datetime.now(UTC))


def _clock(moment: float, now: float) -> datetime:
    """The time of day of a moment by `time.monotonic`."""
    return datetime.now(UTC) - timedelta(seconds=now - moment)
