from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support.watching import after, event

from pipeline.serve.retention import Retention, size, sweep
from pipeline.serve.store import EventStore

DAY = 86400.0
PICTURE = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """Five events, a day apart."""
    with closing(EventStore(tmp_path)) as opened:
        for day in range(5):
            opened.add(event(DAY * day, label=f"secret{day}"), PICTURE)
        opened.flush()
        yield opened


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


def test_what_lasts_and_what_has_no_files_stays(tmp_path: Path) -> None:
    with closing(EventStore(tmp_path)) as store:
        store.add(event(0, lasted=None, label="a0"), PICTURE)
        store.add(event(1, label="a1"))
        store.flush()
        assert sweep(store, timedelta(days=10), 10, after(DAY)) == 0
        assert sweep(store, timedelta(hours=1), 10, after(DAY)) == 1
        assert labels(store) == ["0"]


def test_deleted_means_overwritten(store: EventStore) -> None:
    sweep(store, timedelta(days=2), None, after(4 * DAY))
    written = b"".join(path.read_bytes() for path in store.files.folder.glob("events.db*"))
    assert b"secret4" in written
    assert b"secret0" not in written


def test_the_audit_log_is_kept_for_a_year(store: EventStore) -> None:
    store.audit("ann", "view", "a")
    store.flush()
    (entry,) = store.audits()
    sweep(store, None, None, entry.time + timedelta(days=364))
    assert len(store.audits()) == 1
    sweep(store, None, None, entry.time + timedelta(days=366))
    assert store.audits() == []


def test_it_sweeps_at_once(store: EventStore) -> None:
    with closing(Retention(store, max_size=0)):
        while store.search():
            pass
