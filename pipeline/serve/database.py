"""The database of events: SQLite in WAL mode, or PostgreSQL; brought to the newest schema when it is opened."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from pipeline.errors import ConfigError, StoreError

_DRIVERS = (("sqlite", "pysqlite"), ("postgresql", "psycopg"))
_KINDS = "events are kept in SQLite or PostgreSQL: give a folder, or a URL such as postgresql://user@host/name"
_PATIENCE = 5.0  # seconds to wait for another process that writes
# Kill-safe with synchronous NORMAL; a power cut may cost the last commits, never the database. What is deleted is
# overwritten, and its pages go back to the file system.
_PRAGMAS = ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON")
# libpq waits for minutes, and does not decode the text of a database whose encoding is SQL_ASCII.
_POSTGRESQL = {"connect_timeout": "5", "client_encoding": "utf8"}
# PostgreSQL knows such a lock by its number alone, in the whole database: "onsi" in ASCII, which no other program that
# shares the database is likely to take. Versions that share it must agree on it.
_WRITING = 0x6F6E7369
# How a transaction begins that reads, and one that writes: the second waits for the others of its kind.
_BEGIN = {"sqlite": ("BEGIN", "BEGIN IMMEDIATE"), "postgresql": (None, f"SELECT pg_advisory_xact_lock({_WRITING})")}
_LOCKED = "another program writes to it and does not end: try again, or end that program"
_REASONS = {
    "QueuePool limit": "too many ask at once: try again",
    "locked": _LOCKED,
    "lock timeout": _LOCKED,
    "not a database": "it is no database: give another --store, or move the file away",
    "malformed": "it is damaged: restore a copy, or move the file away to begin anew",
    "readonly": "it cannot be written to: change the permissions of the file and its folder",
    "unable to open": "it cannot be opened: change the permissions of the file and its folder",
    "disk is full": "the disk is full: make room",
}


class Database:
    """An engine that says in one line what is wrong.

    Args:
        url: of SQLAlchemy, sqlite or postgresql.
        create: False: it must be there already.

    Raises:
        ConfigError: a URL of another kind, or the package of its database is missing.
        StoreError: there is none, it cannot be opened, or was made by a newer version.
    """

    def __init__(self, url: str | URL, *, create: bool = True) -> None:
        parsed = _parse(url)
        self.kind = parsed.get_backend_name()
        self.name = parsed.database
        if self.kind == "postgresql":
            self.name = parsed.set(query={}).render_as_string(hide_password=True)  # a query may hold a password, too
            parsed = parsed.update_query_dict({**_POSTGRESQL, **parsed.query})
        read, write = _BEGIN[self.kind]
        # The one who writes has a connection of its own, so that no number of readers keeps it waiting.
        self._readers = self._open(parsed, read, pool_timeout=_PATIENCE)
        self._writer = self._open(parsed, write, pool_timeout=_PATIENCE, pool_size=1, max_overflow=0)
        self._migrate(create)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._explained(), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is kept, or nothing. Others that write wait for its end."""
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def wipe(self) -> bool:
        """Gives the room of what was deleted back to the file system, and empties the log, which may still hold it.

        Returns: whether the log is empty. It is not while somebody still reads in it; nobody is waited for. PostgreSQL
        does all this by itself, in its own time.
        """
        if self.kind != "sqlite":
            return True
        with self._explained(), self._writer.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA incremental_vacuum").fetchall()
            driver.execute("PRAGMA busy_timeout = 0").fetchall()
            try:
                ((busy, *_),) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                driver.execute(f"PRAGMA busy_timeout = {round(1000 * _PATIENCE)}").fetchall()
        return not busy

    def close(self) -> None:
        self._readers.dispose()
        self._writer.dispose()

    def _open(self, url: URL, begin: str | None, **pool: Any) -> Engine:
        lite = self.kind == "sqlite"
        try:
            engine = create_engine(
                url,
                connect_args={"timeout": _PATIENCE, "isolation_level": None} if lite else {},
                pool_pre_ping=not lite,
                json_serializer=partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
                **pool,
            )
        except ImportError as error:  # of psycopg, or of the library that it needs
            needs = f"{self.name} needs the package psycopg and its libpq: pip install 'onsight[postgresql]'"
            raise ConfigError(f"{needs} ({' '.join(str(error).split())})") from None
        event.listen(engine, "connect", _set_up_sqlite if lite else _set_up_postgresql)
        if begin is not None:
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _migrate(self, create: bool) -> None:
        config = Config()
        config.set_main_option("script_location", "pipeline.serve:migrations")
        config.set_main_option("path_separator", "os")
        script = ScriptDirectory.from_config(config)
        with self.reading() as connection:
            current = self._revision(connection, script)
        if current == script.get_current_head():
            return
        if current is None and not create:
            raise StoreError(f"there are no events in {self.name}: give the folder or URL of the store with --store")
        with self.writing() as connection:  # another process may have done it meanwhile
            if self._revision(connection, script) != script.get_current_head():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    def _revision(self, connection: Connection, script: ScriptDirectory) -> str | None:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in {each.revision for each in script.walk_revisions()}:
            raise StoreError(f"the events in {self.name} were written by a newer version of Onsight: update this one")
        return current

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # ours
        except (SQLAlchemyError, sqlite3.Error) as error:
            told = " ".join(str(getattr(error, "orig", error)).split())
            reason = next((reason for words, reason in _REASONS.items() if words in told), told)
            raise StoreError(f"the events in {self.name}: {reason}") from error


def _parse(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
        kind, driver = parsed.get_backend_name(), parsed.get_driver_name()
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(_KINDS) from None
    if (kind, driver) not in _DRIVERS or (kind == "sqlite" and not parsed.database):
        raise ConfigError(_KINDS)
    return parsed


def _set_up_sqlite(driver: Any, record: object) -> None:
    for pragma in _PRAGMAS:
        _insist(driver, f"PRAGMA {pragma}")


def _insist(driver: Any, statement: str) -> None:
    """Executes what two may ask at once of a new database: SQLite then refuses one of them without waiting."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            driver.execute(statement).fetchall()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of any kind: the low byte of an extended code
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _set_up_postgresql(driver: Any, record: object) -> None:
    driver.execute(f"SET lock_timeout = {round(1000 * _PATIENCE)}")
    driver.commit()
