"""What the store has still to write: one change an event, whatever has come since the last commit."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pipeline.serve.types import Event
from pipeline.types import Image

_MOST = 10_000  # events, and entries of the audit log, that wait in memory while the database cannot be written
_MOST_PICTURES = 100  # of at most 300 KB, while the disk is slow

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Change:
    """What there is to write of an event.

    Args:
        new: it has no row yet.
        values: of columns.
    """

    event: Event
    new: bool
    values: dict[str, Any]

    def then(self, later: Change) -> Change:
        """Both in one."""
        return Change(later.event, self.new or later.new, {**self.values, **later.values})


Rows: TypeAlias = dict[tuple[str, str], dict[str, Any]]
"""Whole rows of other tables, by the name of the table and their key."""


@dataclass(slots=True)
class Batch:
    """Changes, pictures of thumbnails by the event's id, rows of the audit log, and of other tables; oldest first."""

    changes: dict[str, Change] = field(default_factory=dict)
    pictures: dict[str, Image] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    rows: Rows = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes or self.entries or self.rows)


class Pending:
    """What waits; any thread may put and take. Of what is too much, the oldest is lost, and counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batch = Batch()
        self._lost: Counter[str] = Counter()

    def put(self, change: Change, picture: Image | None = None) -> None:
        with self._lock:
            self._join([change])
            if picture is not None:
                self._batch.pictures[change.event.id] = picture
            self._limit()

    def note(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._batch.entries.append(entry)
            self._limit()

    def replace(self, table: str, key: str, row: dict[str, Any]) -> None:
        """A row that takes the place of the one with its key."""
        with self._lock:
            self._batch.rows[table, key] = row
            self._limit()

    def take(self) -> Batch:
        with self._lock:
            taken, self._batch = self._batch, Batch()
        return taken

    def put_back(self, batch: Batch) -> None:
        """What was taken and could not be written goes before what has come since. Pictures do not come back: those
        that could not be written as files are lost.
        """
        with self._lock:
            later = self._batch
            self._batch = Batch(batch.changes, later.pictures, batch.entries + later.entries, batch.rows | later.rows)
            self._join(later.changes.values())
            self._limit()

    def lose(self, what: str, count: int = 1) -> None:
        """Counts what is lost."""
        with self._lock:
            self._lost[what] += count

    def lost(self) -> str:
        """What has been lost since the last call, as in `3 events, 5 thumbnails`; empty: nothing."""
        with self._lock:
            told = ", ".join(f"{count} {what}" for what, count in self._lost.items())
            self._lost.clear()
        return told

    def _join(self, changes: Iterable[Change]) -> None:
        for change in changes:
            earlier = self._batch.changes.get(change.event.id)
            self._batch.changes[change.event.id] = earlier.then(change) if earlier else change

    def _limit(self) -> None:
        batch = self._batch
        while len(batch.changes) > _MOST:
            oldest = next(iter(batch.changes))
            del batch.changes[oldest]
            batch.pictures.pop(oldest, None)
            self._drop("events")
        while len(batch.pictures) > _MOST_PICTURES:
            del batch.pictures[next(iter(batch.pictures))]
            self._drop("thumbnails")
        while len(batch.entries) > _MOST:
            del batch.entries[0]
            self._drop("entries of the audit log")
        while len(batch.rows) > _MOST:
            del batch.rows[next(iter(batch.rows))]
            self._drop("gaps")

    def _drop(self, what: str) -> None:
        if not self._lost[what]:
            _LOG.error("%s are lost: too many wait to be written", what)
        self._lost[what] += 1
