"""A worker with a real thread; no test waits for time."""

from __future__ import annotations

import threading

import pytest

from pipeline.channel import Worker


def test_it_runs_until_it_is_told_to_end() -> None:
    began, ended = threading.Event(), threading.Event()

    def run(stop: threading.Event) -> None:
        began.set()
        stop.wait()
        ended.set()

    worker = Worker(run, "a test")
    assert began.wait(5)
    worker.check()
    assert not ended.is_set()
    worker.close()
    assert ended.is_set()


def test_its_fault_comes_to_those_who_ask() -> None:
    def run(stop: threading.Event) -> None:
        raise ZeroDivisionError("by hand")

    worker = Worker(run, "a test")
    with pytest.raises(ZeroDivisionError, match="by hand"):
        worker.close()
    with pytest.raises(ZeroDivisionError) as raised:
        worker.check()
    assert raised.traceback[-1].name == "run"


def test_one_that_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.channel._JOIN", 0.05)
    release = threading.Event()
    worker = Worker(lambda stop: bool(release.wait()), "a test")
    worker.close()
    assert "a test did not end" in caplog.text
    release.set()
    worker.close()
