"""Puts in order what a process left that was killed."""

from __future__ import annotations

import logging
from contextlib import suppress

from sqlalchemy import select, update

from pipeline.serve.store import EventStore
from pipeline.serve.tables import events

_LOG = logging.getLogger(__name__)


def recover(store: EventStore) -> None:
    """Ends open events at the time they were last seen, deletes unfinished files, and gives finished ones to their
    events, or deletes them where the event is gone. What was deleted shortly before is gone from all files then.

    For the one process that watches, before it begins to; it claims the store until that is closed.

    Raises:
        StoreError: another process watches, or the database cannot be read or written.
    """
    store.files.claim()
    store.files.remove_partial()
    with store.database.writing() as connection:
        rows = connection.execute(select(events).where(events.c.ended.is_(None))).all()
        for row in rows:
            seen = max(row.best, row.started + round(1e6 * (row.path[-1][0] if row.path else 0)))
            connection.execute(update(events).where(events.c.id == row.id).values(ended=seen))
    if rows:
        _LOG.warning("%d events were open when Onsight ended: they end when they were last seen", len(rows))
    _find_files(store)
    store.wipe()


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
