"""The store, with its real writer thread; no test waits for it but by `flush`."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import exc, select
from support.databases import OpenStore, Server
from support.served import until
from support.watching import after, event

from pipeline.channel import Worker
from pipeline.errors import ConfigError, StoreError
from pipeline.serve import files as files_module
from pipeline.serve import pending as pending_module
from pipeline.serve.recovery import recover
from pipeline.serve.store import EventStore
from pipeline.serve.tables import events, metadata
from pipeline.serve.types import Event, Gap
from pipeline.types import Image

PICTURE = np.full((40, 60, 3), 120, np.uint8)


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[EventStore]:
    with closing(open_store()) as opened:
        yield opened


def run(store: EventStore, sql: str) -> list[tuple[object, ...]]:
    with store.database.writing() as connection:
        found = connection.exec_driver_sql(sql)
        return [tuple(row) for row in found] if found.returns_rows else []


def test_an_event_comes_back_as_it_was(store: EventStore) -> None:
    whole = replace(event(0.123456, zones=("Hof Ä",)), track=7)
    bare = replace(event(1, lasted=None), box=None, path=())
    store.add(whole)
    store.add(bare)
    store.flush()
    assert store.get(whole.id) == whole
    assert store.search() == [bare, whole]
    assert store.get("none") is None


def test_an_update_changes_what_it_knows(store: EventStore) -> None:
    first = event(lasted=None)
    store.add(first, PICTURE)
    store.flush()
    with_files = store.get(first.id)
    assert with_files is not None
    store.update(replace(first, score=0.95, end=after(9)))
    store.flush()
    assert store.get(first.id) == replace(with_files, score=0.95, end=after(9))


def test_what_comes_before_a_commit_is_one_row(store: EventStore) -> None:
    first = event(lasted=None)
    store.add(first)
    store.update(replace(first, score=0.9), PICTURE)
    store.update(replace(first, end=after(3)))
    store.attach(first, clip="clips/a.mp4")
    store.flush()
    found = store.get(first.id)
    assert found is not None
    assert (found.end, found.clip, found.score) == (after(3), "clips/a.mp4", first.score)
    assert store.thumbnail_path(found) is not None


def test_a_thumbnail_is_a_jpeg_of_the_day(store: EventStore) -> None:
    store.add(event(), PICTURE)
    store.flush()
    (found,) = store.search()
    assert found.thumbnail == f"thumbnails/2026-11-26/{found.id}.jpg"
    path = store.thumbnail_path(found)
    assert path is not None
    assert cv2.imread(str(path)).shape == PICTURE.shape
    assert run(store, "SELECT bytes FROM events") == [(path.stat().st_size,)]


def test_the_writer_writes_by_itself(open_store: OpenStore) -> None:
    with closing(open_store()) as store, closing(open_store()) as other:
        store.add(event())
        until(other.search)


def test_closing_writes_what_waits(open_store: OpenStore) -> None:
    store = open_store()
    store.add(event())
    store.close()
    with closing(open_store(create=False)) as again:
        assert len(again.search()) == 1


def test_a_search_finds_what_fits(store: EventStore) -> None:
    for each in (
        event(0, label="car", camera="Gate", rule="all"),
        event(10, label="person", zones=("50 %_yard",)),
        event(20, lasted=None, label="dog"),
    ):
        store.add(each)
    store.flush()

    def labels(**search: object) -> list[str]:
        return [each.label for each in store.search(**search)]  # type: ignore[arg-type]

    assert labels() == ["dog", "person", "car"]
    assert labels(labels=["Car", "DOG"]) == ["dog", "car"]
    assert labels(cameras=["gate"]) == ["car"]
    assert labels(rules=["all"], labels=["dog"]) == []
    assert labels(text="GATE") == ["car"]
    assert labels(text="%_y") == ["person"]
    assert labels(text="perso") == ["person"]
    assert labels(until=after(10)) == ["car"]
    assert labels(since=after(11)) == ["dog", "person"]  # what lasted, or lasts
    assert labels(since=after(2.5), until=after(15)) == ["person"]
    assert labels(limit=2) == ["dog", "person"]
    assert labels(limit=2, before=store.search()[1].id) == ["car"]


def test_deleted_is_gone_with_its_files(store: EventStore) -> None:
    kept, gone = event(0), event(86400 * 2)
    for each in (kept, gone):
        store.add(each, PICTURE)
    clip = store.files.prepare(store.files.clip(gone))
    clip.write_bytes(b"clip")
    store.attach(gone, clip=store.files.clip(gone))
    told: list[object] = []
    store.on_delete = told.extend
    store.delete(gone.id)
    assert told == [gone.id]
    assert [each.id for each in store.search()] == [kept.id]
    assert [name for _, _, name in store.files.all()] == [store.files.thumbnail(kept)]
    assert not clip.parent.exists()


def test_what_comes_for_a_deleted_event_is_deleted(store: EventStore) -> None:
    gone = event()
    store.add(gone)
    store.delete(gone.id)
    store.update(gone, PICTURE)
    store.flush()
    assert store.search() == []
    assert list(store.files.all()) == []


def test_the_audit_log(store: EventStore) -> None:
    store.audit("ann", "view", "a")
    store.audit("bob", "export", "label person")
    store.flush()
    first, second = store.audits()
    assert (first.user, first.action, first.what) == ("bob", "export", "label person")
    assert second.user == "ann"
    assert len(store.audits(limit=1)) == 1


def test_while_another_program_locks_the_database_events_wait(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.serve.database._PATIENCE", 0.02)
    first, second = event(0, lasted=None), event(1)
    with closing(open_store()) as store, closing(open_store()) as other:
        with other.database.writing():
            store.add(first, PICTURE)
            store.audit("ann", "view", "a")
            store.note_gap(Gap("0", "yard", after(0), None, "gone"))
            with pytest.raises(StoreError, match="another program writes to it"):
                store.flush()
            store.note_gap(Gap("0", "yard", after(0), after(1), "gone"))
            store.update(replace(first, end=after(5)))
            store.add(second)
            until(lambda: "waits in memory" in caplog.text)
            assert store.search() == []
        store.flush()
        assert [each.end for each in store.search()] == [second.end, after(5)]
        assert len(store.audits()) == 1
        assert [gap.end for gap in store.gaps()] == [after(1)]
        assert store.thumbnail_path(store.search()[1]) is not None


def test_readers_do_not_keep_the_writer_waiting(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        for _ in range(15):  # all connections that they may have
            stack.enter_context(store.database.reading())
        store.add(event())
        store.flush()
    assert len(store.search()) == 1


def test_too_many_readers_are_told(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.database._PATIENCE", 0.02)
    with closing(open_store()) as store, ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(store.database.reading())
        with pytest.raises(StoreError, match="too many ask at once: try again"):
            store.search()


@pytest.mark.parametrize(
    "error",
    [
        exc.InterfaceError("INSERT", {}, Exception("the connection is closed")),
        exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back"),
        exc.TimeoutError("QueuePool limit of size 1 overflow 0 reached"),
        exc.OperationalError("INSERT", {}, Exception("server closed the connection unexpectedly")),
        sqlite3.OperationalError("disk I/O error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_writer_survives_a_database_that_goes_away(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> object:
        raise error

    with monkeypatch.context() as gone:
        gone.setattr("pipeline.serve.writer.Writer._write_row", fail)
        store.add(event())
        until(lambda: "waits in memory" in caplog.text)
    store.add(event(1))
    until(lambda: len(store.search()) == 2)
    until(lambda: "events are written again" in caplog.text)


def test_a_full_disk_keeps_the_events_and_no_pictures_waiting(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the database nor thumbnails can be written."""
    monkeypatch.setattr("pipeline.serve.database._PATIENCE", 0.02)
    seen = [event(seconds) for seconds in range(3)]
    with closing(open_store()) as store, closing(open_store()) as other:
        with monkeypatch.context() as full, other.database.writing():
            full.setattr(files_module, "to_jpeg", fail_to_write)
            for each in seen:
                store.add(each, PICTURE)
            with pytest.raises(StoreError):
                store.flush()
            pending = store._writer._pending._batch
            assert (len(pending.changes), len(pending.pictures)) == (3, 0)
        store.flush()
        assert [each.thumbnail for each in store.search()] == [None] * 3
        store.update(seen[0], PICTURE)
    assert "lost, because they could not be written: 3 thumbnails" in caplog.text


def test_of_too_much_that_waits_the_oldest_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pending_module, "_MOST", 4)
    monkeypatch.setattr(pending_module, "_MOST_PICTURES", 2)
    pending = pending_module.Pending()
    seen = [event(seconds) for seconds in range(6)]
    for number, each in enumerate(seen):
        pending.put(pending_module.Change(each, True, {}), PICTURE)
        pending.note({"what": number})
    batch = pending.take()
    assert [change.event for change in batch.changes.values()] == seen[2:]
    assert list(batch.pictures) == [each.id for each in seen[4:]]
    assert batch.entries == [{"what": number} for number in range(2, 6)]
    assert caplog.text.count("events are lost: too many wait") == 1
    assert pending.lost() == "4 thumbnails, 2 events, 2 entries of the audit log"
    assert pending.lost() == ""
    for each in (*seen[:2], *seen[4:]):
        pending.put(pending_module.Change(each, False, {}), PICTURE)
    pending.put_back(batch)
    assert len(pending.take().changes) == 4


def fail_to_write(picture: Image) -> bytes:
    raise OSError(28, "No space left on device")


def test_a_full_disk_costs_the_thumbnail_not_the_event(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files_module, "to_jpeg", fail_to_write)
    store.add(event(), PICTURE)
    store.flush()
    (found,) = store.search()
    assert found.thumbnail is None
    assert "No space left" in caplog.text
    assert list(store.files.all()) == []


# Opening


def test_the_migrations_make_the_tables(store: EventStore) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_several_that_open_a_new_store_make_its_tables_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.serve.database._PATIENCE", 60.0)  # they wait for each other
    together = threading.Barrier(4, timeout=60)
    opened: list[list[Event]] = []

    def open_once(stop: threading.Event) -> None:
        together.wait()
        with closing(open_store()) as store:
            opened.append(store.search())

    with ExitStack() as workers:  # raises what one of them raised, when all have ended
        for number in range(4):
            workers.callback(Worker(open_once, f"opens {number}").close, 60)
    assert opened == [[]] * 4
    with closing(open_store(create=False)) as store:
        assert run(store, "SELECT count(*) FROM alembic_version") == [(1,)]
        with store.database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        known = event()
        store.add(known)
        store.flush()
        assert store.search() == [known]


def test_a_migration_that_is_cut_short_leaves_nothing(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.create_index", cut_short)
        with pytest.raises(KeyboardInterrupt):
            open_store()
    with closing(open_store()) as store:
        assert store.search() == []


def test_safe_pragmas(tmp_path: Path) -> None:
    with closing(EventStore(tmp_path)) as store, store.database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "auto_vacuum")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "secure_delete": 1, "auto_vacuum": 2}


def test_a_store_of_the_first_schema_keeps_its_events(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        store.add(event())
        store.flush()
        for sql in ("DROP TABLE gaps", "DROP TABLE watched", "UPDATE alembic_version SET version_num = '0001'"):
            run(store, sql)
    with closing(open_store()) as store:
        assert len(store.search()) == 1
        assert store.gaps() == []


def test_a_newer_schema_is_refused(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        run(store, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer version of Onsight: update"):
        open_store()


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"something else " * 1000)
    with pytest.raises(StoreError, match="no database"):
        EventStore(tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "events").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        EventStore(tmp_path / "events")


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no events in"):
        EventStore(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://me@host/name", "SQLite or PostgreSQL"),
        ("postgresql+asyncpg://me@host/name", "SQLite or PostgreSQL"),
        ("nonsense://", "SQLite or PostgreSQL"),
        ("sqlite://", "SQLite or PostgreSQL"),
        ("://", "SQLite or PostgreSQL"),
    ],
)
def test_another_kind_of_database_is_refused(url: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        EventStore(url, tmp_path)


def test_a_url_needs_a_folder_for_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a folder"):
        EventStore(f"sqlite:///{tmp_path}/a.db")
    with closing(EventStore(f"sqlite:///{tmp_path}/a.db", tmp_path / "files")) as store:
        store.add(event(), PICTURE)
        store.flush()
        assert store.thumbnail_path(store.search()[0]) is not None


# PostgreSQL


def test_without_psycopg_the_command_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"postgresql://me:\*\*\*@host/name .* pip install 'onsight\[postgresql\]'"):
        EventStore("postgresql://me:hush@host/name", tmp_path)


def test_without_libpq_it_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ImportError("no pq wrapper available.\nAttempts made:\n- libpq library not found")

    monkeypatch.setattr("pipeline.serve.database.create_engine", fail)
    with pytest.raises(ConfigError, match=r"onsight\[postgresql\]' \(no pq .* libpq library not found\)$") as told:
        EventStore("postgresql://me@host/name", tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("url", ["postgresql://me:hush@127.0.0.1:1/a", "postgresql://me@127.0.0.1:1/a?password=hush"])
def test_a_server_that_is_not_there_is_told_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Connection refused") as told:
        EventStore(url, tmp_path)
    assert "\n" not in str(told.value)
    assert "hush" not in str(told.value)


def test_an_empty_database_is_not_filled_by_one_who_reads(postgresql: Server, tmp_path: Path) -> None:
    with postgresql.database() as url:
        for _ in range(2):
            with pytest.raises(StoreError, match="no events in"):
                EventStore(url, tmp_path, create=False)
        EventStore(url, tmp_path).close()
        EventStore(url, tmp_path, create=False).close()


def test_a_server_that_starts_again_costs_nothing(postgresql: Server, tmp_path: Path) -> None:
    with postgresql.database() as url, closing(EventStore(url, tmp_path)) as store:
        store.add(event(0))
        store.flush()
        postgresql.cut_off()
        store.add(event(1))
        store.flush()
        postgresql.cut_off()
        assert len(store.search()) == 2


def test_a_connection_that_is_cut_while_it_writes_costs_nothing(postgresql: Server, tmp_path: Path) -> None:
    def write(store: EventStore) -> None:
        with store.database.writing() as connection:
            postgresql.cut_off()
            connection.execute(select(events))

    with postgresql.database() as url, closing(EventStore(url, tmp_path)) as store:
        with pytest.raises(StoreError, match="terminating connection"):
            write(store)
        store.add(event())
        store.flush()
        assert len(store.search()) == 1


def test_a_database_of_no_encoding_keeps_text(postgresql: Server, tmp_path: Path) -> None:
    """Debian makes such ones where the locale is not set."""
    with postgresql.database("SQL_ASCII") as url, closing(EventStore(url, tmp_path)) as store:
        store.add(event(label="Hündin", zones=["Hof Ä"]))
        store.flush()
        (found,) = store.search(text="Hof Ä")
        assert found.label == "Hündin"


def test_the_patience_of_the_url_is_kept(postgresql: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(postgresql.database())
        store = stack.enter_context(closing(EventStore(f"{url}&connect_timeout=7", tmp_path)))
        connection = stack.enter_context(store.database.reading())
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["connect_timeout"] == "7"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "5s"


# After a kill


def test_recovery_ends_what_was_open(store: EventStore) -> None:
    store.add(event(lasted=None))
    store.add(replace(event(lasted=None), path=(), best=after(3)))
    store.flush()
    recover(store)
    assert sorted(each.end for each in store.search() if each.end) == [after(1), after(3)]


def test_recovery_puts_files_in_order(store: EventStore) -> None:
    known, gone = event(0), event(1)
    store.add(known, PICTURE)
    store.flush()
    clip = store.files.prepare(store.files.clip(known))
    for path in (clip, clip.with_name(f"{known.id}.partial.mp4"), store.files.prepare(store.files.clip(gone))):
        path.write_bytes(b"clip")
    (store.files.folder / "clips" / "mine.mp4").touch()
    recover(store)
    store.flush()
    assert store.clip_path(store.search()[0]) == clip
    left = {path.name for path in (store.files.folder / "clips").rglob("*.mp4")}
    assert left == {clip.name, "mine.mp4"}


def test_one_process_watches(open_store: OpenStore) -> None:
    with closing(open_store()) as store, closing(open_store()) as other:
        recover(store)
        with pytest.raises(StoreError, match="another process"):
            recover(other)
    with closing(open_store()) as again:
        recover(again)
