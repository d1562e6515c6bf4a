"""How a new SQLite database is set up while another process sets it up, too."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest

from pipeline.serve import database


class Driver:
    """Refuses the first statements with an error of this code, then takes them."""

    def __init__(self, code: int, refused: int) -> None:
        self.error = sqlite3.OperationalError("refused")
        self.error.sqlite_errorcode = code
        self.refused = refused
        self.asked = 0

    def execute(self, statement: str) -> Driver:
        self.asked += 1
        if self.asked <= self.refused:
            raise self.error
        return self

    def fetchall(self) -> list[object]:
        return []


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Waiting moves its hands, and takes no time."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(database, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY])
def test_a_busy_database_is_asked_again(code: int) -> None:
    driver = Driver(code, refused=2)
    database._insist(driver, "PRAGMA journal_mode = WAL")
    assert driver.asked == 3


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_READ])
def test_any_other_error_is_raised_at_once(code: int) -> None:
    driver = Driver(code, refused=2)
    with pytest.raises(sqlite3.OperationalError) as caught:
        database._insist(driver, "PRAGMA journal_mode = WAL")
    assert caught.value is driver.error
    assert driver.asked == 1


def test_patience_ends(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.1)
    driver = Driver(sqlite3.SQLITE_BUSY, refused=1000)
    with pytest.raises(sqlite3.OperationalError) as caught:
        database._insist(driver, "PRAGMA journal_mode = WAL")
    assert caught.value is driver.error
    assert 0.1 < clock.now < 0.2
