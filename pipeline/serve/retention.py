"""How long events are kept, and how much room their files may take."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from pipeline.channel import Worker
from pipeline.errors import StoreError
from pipeline.serve.store import EventStore
from pipeline.serve.tables import events, to_microseconds

_EVERY = 60.0  # seconds
_AT_ONCE = 200  # events in one transaction, so that others can write in between
_AUDITS = timedelta(days=365)
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_LOG = logging.getLogger(__name__)


def size(text: str) -> int:
    """Bytes of a size such as `500MB` or `20 GB`; kB, MB, GB and TB are powers of ten.

    Raises:
        ValueError: it is not written like that.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?B)", text.strip().upper())
    if found is None:
        raise ValueError("write a size such as 500MB or 20GB")
    return round(float(found[1]) * _UNITS[found[2]])


def sweep(
    store: EventStore,
    keep: timedelta | None,
    max_size: int | None,
    now: datetime,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Deletes events with their files: those that ended more than `keep` before `now`, then the oldest until the files
    take at most `max_size` bytes. Events that last are not touched. Gaps go with `keep`; entries of the audit log are
    kept for a year. It ends early when `stop` says so.

    Returns: how many events have gone.

    Raises:
        StoreError: the database cannot be written, or a file not be deleted.
    """
    gone = 0
    while not stop() and keep is not None and (ids := _oldest(store, to_microseconds(now - keep))):
        store.delete(*ids)
        gone += len(ids)
    while not stop() and max_size is not None and (ids := _too_many(store, max_size)):
        store.delete(*ids)
        gone += len(ids)
    if keep is not None:
        store.forget_gaps(now - keep)
    store.forget_audits(now - _AUDITS)
    return gone


def _oldest(store: EventStore, before: int) -> list[str]:
    query = select(events.c.id).where(events.c.ended < before).order_by(events.c.ended).limit(_AT_ONCE)
    with store.database.reading() as connection:
        return list(connection.scalars(query))


def _too_many(store: EventStore, max_size: int) -> list[str]:
    """The ids of the oldest events, as many as free enough room."""
    with store.database.reading() as connection:
        surplus = (connection.scalar(select(func.sum(events.c.bytes))) or 0) - max_size
        if surplus <= 0:
            return []
        ended = select(events.c.id, events.c.bytes).where(events.c.ended.is_not(None), events.c.bytes > 0)
        ids = []
        for row in connection.execute(ended.order_by(events.c.id).limit(_AT_ONCE)):
            if surplus <= 0:
                break
            ids.append(row.id)
            surplus -= row.bytes
    return ids


class Retention:
    """Sweeps a store at once and then every minute, until it is closed.

    Args:
        keep: how long events are kept after they ended; None: for ever.
        max_size: bytes that thumbnails and clips may take together; None: any number.
    """

    def __init__(self, store: EventStore, keep: timedelta | None = None, max_size: int | None = None) -> None:
        self._store = store
        self._keep = keep
        self._max_size = max_size
        self._worker = Worker(self._sweep, "retention of events")

    def check(self) -> None:
        """Raises why it sweeps no more, if it does not."""
        self._worker.check()

    def close(self) -> None:
        self._worker.close()

    def _sweep(self, stop: threading.Event) -> None:
        told = ""
        while not stop.is_set():
            try:
                if gone := sweep(self._store, self._keep, self._max_size, datetime.now(UTC), stop.is_set):
                    _LOG.info("%d old events were deleted", gone)
                told = ""
            except StoreError as error:
                if str(error) != told:
                    _LOG.error("old events are not deleted: %s", error)
                told = str(error)
            stop.wait(_EVERY)
