from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from support.databases import OpenStore
from support.watching import after, event

from pipeline.serve.recovery import recover
from pipeline.serve.retention import Retention, size, sweep
from pipeline.serve.store import EventStore
from pipeline.serve.tables import events
from pipeline.serve.types import Gap

DAY = 86400.0
PICTURE = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[EventStore]:
    """Five events, a day apart."""
    with closing(open_store()) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def in_files(tmp_path: Path) -> Iterator[EventStore]:
    """The same on SQLite: what was deleted must be gone from its files."""
    with closing(EventStore(tmp_path)) as opened:
        fill(opened)
        yield opened


def fill(store: EventStore) -> None:
    for day in range(5):
        store.add(event(DAY * day, label=f"secret{day}"), PICTURE)
    store.flush()


def labels(store: EventStore) -> list[str]:
    return [each.label[-1] for each in store.search()]


@pytest.mark.parametrize(
    ("text", "value"), [("20GB", 20 * 10**9), ("1.5 tb", 1_500_000_000_000), ("500kB", 500_000), ("7B", 7)]
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "20", "GB", "20G", "-1GB", "20 gib"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="500MB or 20GB"):
        size(text)


def test_old_events_go(store: EventStore) -> None:
    now = after(4 * DAY)
    assert sweep(store, timedelta(days=2), None, now) == 2
    assert labels(store) == ["4", "3", "2"]
    assert sweep(store, timedelta(days=2), None, now) == 0


def test_the_oldest_go_until_the_rest_fits(store: EventStore) -> None:
    each = next((store.files.folder / "thumbnails").rglob("*.jpg")).stat().st_size
    assert sweep(store, None, 2 * each + 10, after(5 * DAY)) == 3
    assert labels(store) == ["4", "3"]
    assert len(list(store.files.all())) == 2


def test_many_go_in_several_transactions(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.retention._AT_ONCE", 2)
    assert sweep(store, None, 0, after(5 * DAY)) == 5
    assert list(store.files.all()) == []


def test_without_limits_nothing_goes(store: EventStore) -> None:
    assert sweep(store, None, None, after(1000 * DAY)) == 0


def test_what_lasts_and_what_has_no_files_stays(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        store.add(event(0, lasted=None, label="a0"), PICTURE)
        store.add(event(1, label="a1"))
        store.flush()
        assert sweep(store, timedelta(days=10), 10, after(DAY)) == 0
        assert sweep(store, timedelta(hours=1), 10, after(DAY)) == 1
        assert labels(store) == ["0"]


def written(store: EventStore) -> bytes:
    """All that the files of the database hold."""
    return b"".join(path.read_bytes() for path in store.files.folder.glob("events.db*"))


def test_what_is_too_old_is_overwritten(in_files: EventStore) -> None:
    assert b"secret0" in written(in_files)
    sweep(in_files, timedelta(days=2), None, after(4 * DAY))
    assert b"secret4" in written(in_files)
    assert b"secret0" not in written(in_files)


def test_what_is_deleted_on_demand_is_overwritten(in_files: EventStore) -> None:
    newest, *_, oldest = in_files.search()
    in_files.delete(newest.id)
    assert b"secret4" not in written(in_files)
    in_files.delete(oldest.id)
    assert b"secret0" not in written(in_files)
    assert b"secret1" in written(in_files)


def test_entries_of_the_audit_log_are_overwritten(in_files: EventStore) -> None:
    in_files.audit("anna-secret", "view", "a")
    in_files.flush()
    assert b"anna-secret" in written(in_files)
    sweep(in_files, None, None, in_files.audits()[0].time + timedelta(days=366))
    assert b"anna-secret" not in written(in_files)


def test_who_reads_meanwhile_puts_it_off_and_is_not_waited_for(in_files: EventStore) -> None:
    newest = in_files.search()[0]
    with in_files.database.reading() as connection:
        connection.execute(select(events)).fetchone()
        in_files.delete(newest.id)
        assert b"secret4" in written(in_files)
    while b"secret4" in written(in_files):
        pass
    assert labels(in_files) == ["3", "2", "1", "0"]


def test_what_a_killed_process_had_deleted_is_overwritten(
    in_files: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("pipeline.serve.writer.Writer.wipe", lambda self: None)
        in_files.delete(in_files.search()[0].id)
        assert b"secret4" in written(in_files)
    recover(in_files)
    assert b"secret4" not in written(in_files)


def test_old_gaps_go(store: EventStore) -> None:
    for number, ended in enumerate((after(DAY), after(3 * DAY), None)):
        store.note_gap(Gap(str(number), "yard", after(0), ended, f"reason{number}"))
    store.flush()
    sweep(store, None, 0, after(100 * DAY))
    assert len(store.gaps()) == 3
    sweep(store, timedelta(days=2), None, after(4 * DAY))
    assert [gap.end for gap in store.gaps()] == [None, after(3 * DAY)]


def test_the_audit_log_is_kept_for_a_year(store: EventStore) -> None:
    store.audit("ann", "view", "a")
    store.flush()
    (entry,) = store.audits()
    sweep(store, None, None, entry.time + timedelta(days=364))
    assert len(store.audits()) == 1
    sweep(store, None, None, entry.time + timedelta(days=366))
    assert store.audits() == []


def test_old_gaps_are_overwritten(in_files: EventStore) -> None:
    in_files.note_gap(Gap("0", "yard", after(0), after(DAY), "reason0"))
    in_files.flush()
    assert b"reason0" in written(in_files)
    sweep(in_files, timedelta(days=2), None, after(4 * DAY))
    assert b"reason0" not in written(in_files)


def test_it_sweeps_at_once(store: EventStore) -> None:
    with closing(Retention(store, max_size=0)):
        while store.search():
            pass
