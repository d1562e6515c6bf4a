"""The one who writes to the store: a few times a second, on a thread of its own, whatever has come since."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Insert, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.channel import Worker
from pipeline.errors import StoreError
from pipeline.serve.database import Database
from pipeline.serve.files import Files
from pipeline.serve.pending import Batch, Change, Pending
from pipeline.serve.tables import audits, events, metadata, to_event, to_microseconds
from pipeline.types import Image

_EVERY = 0.25  # seconds from one commit to the next: half of what may be lost, so that the commit has time, too

_LOG = logging.getLogger(__name__)


class Writer:
    """Writes changes of events, entries of the audit log, and gaps, which any thread may give; deletes them."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files
        self._pending = Pending()
        self._committing = threading.Lock()
        self._wiping = threading.Lock()
        self._unwiped = False  # the files of the database may still hold what was deleted
        self._no_pictures = False  # what is wrong is told once
        self._worker = Worker(self._keep_writing, "writer of events")

    def check(self) -> None:
        """Raises why it writes no more, if it does not."""
        self._worker.check()

    def put(self, change: Change, picture: Image | None = None) -> None:
        """Keeps a change, and the picture of a thumbnail, uint8 [H, W, 3]; returns at once."""
        self.check()
        self._pending.put(change, picture)

    def note(self, entry: dict[str, Any]) -> None:
        """Keeps a row of the audit log; returns at once."""
        self.check()
        self._pending.note(entry)

    def replace(self, table: Table, key: str, row: dict[str, Any]) -> None:
        """Keeps a row in the place of the one with its key; returns at once."""
        self.check()
        self._pending.replace(table.name, key, row)

    def delete(self, *ids: str) -> None:
        """Deletes events with their files. Soon nothing holds them any more: at once, if nobody reads meanwhile.

        Raises:
            StoreError: a file cannot be deleted; its event is still there then.
        """
        self.flush()
        with self._committing:
            with self._database.reading() as connection:
                chosen = [to_event(row) for row in connection.execute(select(events).where(events.c.id.in_(ids)))]
            for event in chosen:  # the files first: a row without a file is found again, a file without a row is not
                try:
                    self._files.remove(event.thumbnail, event.clip)
                except OSError as error:
                    raise StoreError(f"cannot delete {error.filename}: {error.strerror}") from None
            with self._database.writing() as connection:
                connection.execute(delete(events).where(events.c.id.in_(ids)))
        self.wipe()

    def forget(self, column: Column[int], before: datetime) -> None:
        """Deletes the rows of a table that are older by the time in `column`.

        Raises:
            StoreError: it cannot be written.
        """
        with self._database.writing() as connection:
            gone = connection.execute(delete(column.table).where(column < to_microseconds(before))).rowcount
        if gone:
            self.wipe()

    def wipe(self) -> None:
        """Removes what was deleted from the files of the database, too; if it cannot be now, soon."""
        with self._wiping:
            self._unwiped = True
        with suppress(StoreError):
            self._try_to_wipe()

    def flush(self) -> None:
        """Writes what waits, now.

        Raises:
            StoreError: it cannot be written, and still waits.
        """
        with self._committing:
            batch = self._pending.take()
            for event_id, picture in batch.pictures.items():
                self._write_picture(batch.changes[event_id], picture)
            try:
                late = self._write(batch) if batch else []
            except StoreError:
                self._pending.put_back(batch)
                raise
            for change in late:
                with suppress(OSError):
                    self._files.remove(change.values.get("thumbnail"), change.values.get("clip"))

    def close(self) -> None:
        """Writes what waits."""
        self._worker.close()
        self.flush()
        self._tell_lost()

    def _try_to_wipe(self) -> None:
        with self._wiping:
            if self._unwiped:
                self._unwiped = not self._database.wipe()

    def _keep_writing(self, stop: threading.Event) -> None:
        failing = False
        while not stop.wait(_EVERY):
            try:
                self.flush()
                self._try_to_wipe()
            except StoreError as error:
                if not failing:
                    _LOG.error("%s; what is seen waits in memory", error)
                failing = True
            else:
                if failing:
                    _LOG.warning("events are written again")
                failing = False
                if not self._no_pictures:
                    self._tell_lost()

    def _tell_lost(self) -> None:
        if lost := self._pending.lost():
            _LOG.warning("lost, because they could not be written: %s", lost)

    def _write_picture(self, change: Change, picture: Image) -> None:
        name = self._files.thumbnail(change.event)
        try:
            self._files.write_thumbnail(name, picture)
        except OSError as error:
            if not self._no_pictures:
                _LOG.error("thumbnails cannot be written: %s", error.strerror)
            self._no_pictures = True
            self._pending.lose("thumbnails")
            return
        change.values["thumbnail"] = name
        self._no_pictures = False

    def _write(self, batch: Batch) -> list[Change]:
        """One transaction. Returns what came for events that have been deleted meanwhile."""
        with self._database.writing() as connection:
            for (table, _), row in batch.rows.items():
                connection.execute(_insertion(self._database.kind, table, tuple(row)), row)
            late = [change for change in batch.changes.values() if not self._write_row(connection, change)]
            if batch.entries:
                connection.execute(insert(audits), batch.entries)
        return late

    def _write_row(self, connection: Connection, change: Change) -> bool:
        values = change.values
        if "thumbnail" in values or "clip" in values:
            values["bytes"] = self._files.size((self._files.thumbnail(change.event), self._files.clip(change.event)))
        if change.new:
            connection.execute(_insertion(self._database.kind, events.name, tuple(values)), values)
            return True
        return connection.execute(_UPDATE, {"of": change.event.id, **values}).rowcount > 0


_UPDATE = update(events).where(events.c.id == bindparam("of"))


@cache
def _insertion(kind: str, name: str, columns: tuple[str, ...]) -> Insert:
    """Adds a row of these columns. One that is there already, as after a commit whose answer was lost, is replaced."""
    table = metadata.tables[name]
    row = (sqlite.insert if kind == "sqlite" else postgresql.insert)(table)
    changes = {each: row.excluded[each] for each in columns}
    return row.on_conflict_do_update(index_elements=table.primary_key, set_=changes)
