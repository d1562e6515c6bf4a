"""Puts in order what a process left that was killed."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, select, update

from pipeline.serve.store import EventStore
from pipeline.serve.tables import events, gaps, to_datetime, to_event, to_row, watched
from pipeline.serve.types import Event

_LOG = logging.getLogger(__name__)


def recover(store: EventStore) -> list[Event]:
    """Ends open events at the time they were last seen, and open gaps when their camera was watched last; deletes
    unfinished files, and gives finished ones to their events, or deletes them where the event is gone. What was deleted
    shortly before is gone from all files then.

    For the one process that watches, before it begins to; it claims the store until that is closed.

    Returns: the events that were open, with their ends.

    Raises:
        StoreError: another process watches, or the database cannot be read or written.
    """
    store.files.claim()
    store.files.remove_partial()
    with store.database.writing() as connection:
        rows = connection.execute(select(events).where(events.c.ended.is_(None))).all()
        ended = [replace(to_event(row), end=_last_seen(row)) for row in rows]
        for each in ended:
            connection.execute(update(events).where(events.c.id == each.id).values(to_row(each)))
        _end_gaps(connection)
    if ended:
        _LOG.warning("%d events were open when Onsight ended: they end when they were last seen", len(ended))
    _find_files(store)
    store.wipe()
    return ended


def _last_seen(row: Row[Any]) -> datetime:
    return to_datetime(max(row.best, row.started + round(1e6 * (row.path[-1][0] if row.path else 0))))


def _end_gaps(connection: Connection) -> None:
    """Open gaps lasted for as long as their camera was watched; what came then is for `Diary` to say."""
    until = select(watched.c.until).where(watched.c.camera == gaps.c.camera).scalar_subquery()
    ended = case((until > gaps.c.started, until), else_=gaps.c.started)
    connection.execute(update(gaps).where(gaps.c.ended.is_(None)).values(ended=ended))


def _find_files(store: EventStore) -> None:
    columns = {"thumbnails": "thumbnail", "clips": "clip"}
    with store.database.reading() as connection:
        known = {row.id: row for row in connection.execute(select(events.c.id, events.c.thumbnail, events.c.clip))}
    for kind, event_id, name in store.files.all():
        if event_id not in known:
            with suppress(OSError):
                store.files.remove(name)
        elif getattr(known[event_id], columns[kind]) is None and (event := store.get(event_id)) is not None:
            store.attach(event, **{columns[kind]: name})
