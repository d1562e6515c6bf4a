"""What was seen: events in a database, their thumbnails and clips in files beside it.

Many threads may give events; one thread writes, a few times a second, whatever has come since: a process that is
killed loses less than the last half second. While the database cannot be written, events wait in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, select

from pipeline.errors import ConfigError, StoreError
from pipeline.serve.conditions import conditions, seen_in
from pipeline.serve.database import Database
from pipeline.serve.files import Files
from pipeline.serve.pending import Change
from pipeline.serve.tables import (
    audits,
    events,
    from_gap,
    gaps,
    to_datetime,
    to_event,
    to_gap,
    to_microseconds,
    to_row,
    watched,
)
from pipeline.serve.types import Audit, Event, Gap
from pipeline.serve.writer import Writer
from pipeline.types import Image


class EventStore:
    """Events, and who looked at them.

    Attributes:
        on_delete: called with the ids of events that have been deleted, by the thread that deleted them.

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
        self.database = Database(url, create=create)
        self._writer = Writer(self.database, self.files)
        self.on_delete: Callable[[Collection[str]], None] = lambda ids: None

    def check(self) -> None:
        """Raises why nothing is written any more, if nothing is."""
        self._writer.check()

    def add(self, event: Event, picture: Image | None = None) -> None:
        """Keeps an event that has begun; returns at once.

        Args:
            picture: its thumbnail, uint8 [H, W, 3], of a redacted frame.
        """
        self._writer.put(Change(event, True, to_row(event)), picture)

    def update(self, event: Event, picture: Image | None = None) -> None:
        """Keeps what is new about an event; what is None stays as it was. Returns at once."""
        self._writer.put(Change(event, False, to_row(event)), picture)

    def attach(self, event: Event, *, clip: str | None = None, thumbnail: str | None = None) -> None:
        """Keeps the names of files of the event, below `files.folder`, that are whole. Returns at once."""
        names = {"clip": clip, "thumbnail": thumbnail}
        self._writer.put(Change(event, False, {column: name for column, name in names.items() if name is not None}))

    def audit(self, user: str, action: str, what: str) -> None:
        """Keeps who did what, such as `view`, `export` or `delete`, with which event or page. Returns at once."""
        row = {"time": to_microseconds(datetime.now(UTC)), "user": user, "action": action, "what": what}
        self._writer.note(row)

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

    def note_gap(self, gap: Gap) -> None:
        """Keeps a gap as it is now known. Returns at once."""
        self._writer.replace(gaps, gap.id, from_gap(gap))

    def note_watched(self, camera: str, until: datetime) -> None:
        """Keeps until when a camera was watched. Returns at once."""
        self._writer.replace(watched, camera, {"camera": camera, "until": to_microseconds(until)})

    def gaps(
        self,
        cameras: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Gap]:
        """The newest gaps that fit, newest first; the arguments are those of `search`."""
        wanted = seen_in(gaps, cameras, since, until, before)
        with self.database.reading() as connection:
            rows = connection.execute(select(gaps).where(*wanted).order_by(gaps.c.id.desc()).limit(limit))
            return [to_gap(row) for row in rows]

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
        self._writer.delete(*ids)
        self.on_delete(ids)

    def forget_audits(self, before: datetime) -> None:
        """Deletes older entries of the audit log.

        Raises:
            StoreError: it cannot be written.
        """
        self._writer.forget(audits.c.time, before)

    def forget_gaps(self, before: datetime) -> None:
        """Deletes gaps that ended before.

        Raises:
            StoreError: it cannot be written.
        """
        self._writer.forget(gaps.c.ended, before)

    def wipe(self) -> None:
        """Removes what was deleted from the files of the database, too, as `delete` does; if it cannot be now, soon."""
        self._writer.wipe()

    def flush(self) -> None:
        """Writes what waits, now.

        Raises:
            StoreError: it cannot be written, and still waits.
        """
        self._writer.flush()

    def close(self) -> None:
        """Writes what waits, and lets go of the database."""
        try:
            self._writer.close()
        finally:
            self.database.close()
            self.files.release()


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
