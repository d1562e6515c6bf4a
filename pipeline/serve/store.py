"""What was seen: events in a database, their thumbnails and clips in files beside it.

Many threads may give events; one thread writes, a few times a second, whatever has come since: a process that is
killed loses less than the last half second. While the database cannot be written, events wait in memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Insert, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.channel import Worker
from pipeline.errors import ConfigError, StoreError
from pipeline.serve.conditions import conditions
from pipeline.serve.database import Database
from pipeline.serve.files import Files
from pipeline.serve.pending import Change, Pending
from pipeline.serve.tables import audits, events, to_datetime, to_event, to_microseconds, to_row
from pipeline.serve.types import Audit, Event
from pipeline.types import Image

_EVERY = 0.25  # seconds from one commit to the next: half of what may be lost, so that the commit has time, too

_LOG = logging.getLogger(__name__)


class EventStore:
    """Events, and who looked at them.

    Args:
        where: a folder, for SQLite and the files; or the URL of a database.
        files: the folder of thumbnails and clips, where the database has a URL.
        create: False: it must be there already.

    Raises:
        ConfigError: a URL without `files`, or of an unknown kind.
        StoreError: there is none, it cannot be opened, or was made by a newer version.
    """

    def __init__(self, where: str | Path, files: str | Path | None = None, *, create: bool = True) -> None:
        url, folder = _locate(where, files, create)
        self.files = Files(folder)
        self.database = Database(url)
        self._pending = Pending()
        self._committing = threading.Lock()
        self._no_pictures = False  # what is wrong is told once
        self._writer = Worker(self._keep_writing, "writer of events")

    def add(self, event: Event, picture: Image | None = None) -> None:
        """Keeps an event that has begun; returns at once.

        Args:
            picture: its thumbnail, uint8 [H, W, 3], of a redacted frame.
        """
        self._put(Change(event, True, to_row(event), picture))

    def update(self, event: Event, picture: Image | None = None) -> None:
        """Keeps what is new about an event; what is None stays as it was. Returns at once."""
        self._put(Change(event, False, to_row(event), picture))

    def attach(self, event: Event, *, clip: str | None = None, thumbnail: str | None = None) -> None:
        """Keeps the names of files of the event, below `files.folder`, that are whole. Returns at once."""
        names = {"clip": clip, "thumbnail": thumbnail}
        self._put(Change(event, False, {column: name for column, name in names.items() if name is not None}))

    def audit(self, user: str, action: str, what: str) -> None:
        """Keeps who did what, such as `view`, `export` or `delete`, with which event or page. Returns at once."""
        self._writer.check()
        row = {"time": to_microseconds(datetime.now(UTC)), "user": user, "action": action, "what": what}
        self._pending.note(row)

    def search(
        self,
        cameras: Collection[str] = (),
        labels: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        rules: Collection[str] = (),
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Event]:
        """The newest events that fit, newest first. Upper and lower case of names are alike.

        Args:
            cameras, labels, rules: any of these; empty: all.
            since, until: those that lasted at some time in between.
            text: part of the name of camera, label, rule or zone.
            before: only those older than the event of this id: the last one of the page before.
        """
        wanted = conditions(cameras, labels, rules, since, until, text, before)
        with self.database.reading() as connection:
            rows = connection.execute(select(events).where(*wanted).order_by(events.c.id.desc()).limit(limit))
            return [to_event(row) for row in rows]

    def get(self, id: str) -> Event | None:
        with self.database.reading() as connection:
            row = connection.execute(select(events).where(events.c.id == id)).first()
            return None if row is None else to_event(row)

    def thumbnail_path(self, event: Event) -> Path | None:
        return self.files.path(event.thumbnail)

    def clip_path(self, event: Event) -> Path | None:
        return self.files.path(event.clip)

    def audits(self, limit: int = 50) -> list[Audit]:
        """The newest entries, newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(audits).order_by(audits.c.id.desc()).limit(limit))
            return [Audit(to_datetime(row.time), row.user, row.action, row.what) for row in rows]

    def delete(self, *ids: str) -> None:
        """Deletes events with their files: from the disk, not only from the lists.

        Raises:
            StoreError: a file cannot be deleted; its event is still there then.
        """
        self.flush()
        with self._committing:
            with self.database.reading() as connection:
                chosen = [to_event(row) for row in connection.execute(select(events).where(events.c.id.in_(ids)))]
            for event in chosen:  # the files first: a row without a file is found again, a file without a row is not
                try:
                    self.files.remove(event.thumbnail, event.clip)
                except OSError as error:
                    raise StoreError(f"cannot delete {error.filename}: {error.strerror}") from None
            with self.database.writing() as connection:
                connection.execute(delete(events).where(events.c.id.in_(ids)))

    def flush(self) -> None:
        """Writes what waits, now.

        Raises:
            StoreError: it cannot be written, and still waits.
        """
        with self._committing:
            changes, entries = self._pending.take()
            for change in changes:
                self._write_picture(change)
            try:
                late = self._write(changes, entries) if changes or entries else []
            except StoreError:
                self._pending.put_back(changes, entries)
                raise
            for change in late:
                with suppress(OSError):
                    self.files.remove(change.values.get("thumbnail"), change.values.get("clip"))

    def close(self) -> None:
        """Writes what waits, and lets go of the database."""
        self._writer.close()
        self.flush()
        self.database.close()
        self.files.release()

    def _keep_writing(self, stop: threading.Event) -> None:
        failing = False
        while not stop.wait(_EVERY):
            try:
                self.flush()
            except StoreError as error:
                if not failing:
                    _LOG.error("%s; what is seen waits in memory", error)
                failing = True
            else:
                if failing:
                    _LOG.warning("events are written again")
                failing = False

    def _put(self, change: Change) -> None:
        self._writer.check()
        self._pending.put(change)

    def _write_picture(self, change: Change) -> None:
        if change.picture is None:
            return
        name = self.files.thumbnail(change.event)
        try:
            self.files.write_thumbnail(name, change.picture)
        except OSError as error:
            if not self._no_pictures:
                _LOG.error("thumbnails cannot be written: %s", error.strerror)
            self._no_pictures = True
            return
        change.values["thumbnail"], change.picture = name, None
        self._no_pictures = False

    def _write(self, changes: list[Change], entries: list[dict[str, Any]]) -> list[Change]:
        """One transaction. Returns what came for events that have been deleted meanwhile."""
        with self.database.writing() as connection:
            late = [change for change in changes if not self._write_row(connection, change)]
            if entries:
                connection.execute(insert(audits), entries)
        return late

    def _write_row(self, connection: Connection, change: Change) -> bool:
        values = change.values
        if "thumbnail" in values or "clip" in values:
            values["bytes"] = self.files.size((self.files.thumbnail(change.event), self.files.clip(change.event)))
        if change.new:
            connection.execute(_insertion(self.database.kind, tuple(values)), values)
            return True
        return connection.execute(_UPDATE, {"of": change.event.id, **values}).rowcount > 0


_UPDATE = update(events).where(events.c.id == bindparam("of"))


@cache
def _insertion(kind: str, columns: tuple[str, ...]) -> Insert:
    """Adds a row of these columns. One that is there already, as after a commit whose answer was lost, is replaced."""
    row = (sqlite.insert if kind == "sqlite" else postgresql.insert)(events)
    return row.on_conflict_do_update(index_elements=["id"], set_={name: row.excluded[name] for name in columns})


def _locate(where: str | Path, files: str | Path | None, create: bool) -> tuple[str | URL, Path]:
    """The URL of the database, and the folder of the files."""
    if "://" in str(where):
        if files is None:
            raise ConfigError("a database with a URL keeps no files: give a folder for thumbnails and clips, too")
        return str(where), Path(files)
    folder = Path(where)
    database = folder / "events.db"
    if not create and not database.is_file():
        raise StoreError(f"there are no events in {folder}: give the folder or URL of the store with --store")
    return URL.create("sqlite", database=str(database.absolute())), folder if files is None else Path(files)
