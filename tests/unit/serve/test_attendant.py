"""The attendant of `onsight serve`, with cameras that go while it looks."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.serve.service import _Attendant


class Told:
    """News and diary."""

    def __init__(self, stop: threading.Event) -> None:
        self.calls: list[str] = []
        self._stop = stop

    def watch(self, rules: Any) -> None:
        self.calls.append("rules")

    def report(self, cameras: Any) -> None:
        self.calls.append("cameras")

    def write(self, health: Any) -> None:
        self.calls.append("gaps")
        self._stop.set()


@pytest.mark.parametrize(("ends", "calls"), [(False, ["rules", "cameras", "gaps"]), (True, [])])
def test_that_the_cameras_go_at_the_end_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, ends: bool, calls: list[str]
) -> None:
    monkeypatch.setattr("pipeline.serve.service._ATTEND", 0.01)
    stop, ending = threading.Event(), threading.Event()

    def attend() -> list[Any]:
        if ends:  # just now
            ending.set()
            threading.Timer(0.05, stop.set).start()
        return []

    told: Any = Told(stop)
    cameras: Any = SimpleNamespace(attend=attend, health=dict, specs={})
    parts: dict[str, Any] = {"cameras": cameras, "news": told, "diary": told, "opener": SimpleNamespace(rules=())}
    parts |= {"registry": None, "config": None, "reread": lambda: None, "others": (), "ending": ending}
    _Attendant(**parts)(stop)
    assert told.calls == calls


def test_memory_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.service._ATTEND", 0.001)
    monkeypatch.setattr("pipeline.serve.service._GIVE_BACK", 3)
    stop, looks = threading.Event(), []
    monkeypatch.setattr("pipeline.serve.service.give_back", lambda: looks.append(len(told.calls)))

    def write(health: Any) -> None:
        told.calls.append("gaps")
        if len(told.calls) == 7:
            stop.set()

    told: Any = SimpleNamespace(calls=[], write=write, watch=lambda rules: None, report=lambda cameras: None)
    cameras: Any = SimpleNamespace(attend=list, health=dict, specs={})
    parts: dict[str, Any] = {"cameras": cameras, "news": told, "diary": told, "opener": SimpleNamespace(rules=())}
    parts |= {"registry": None, "config": None, "reread": lambda: None, "others": (), "ending": threading.Event()}
    _Attendant(**parts)(stop)
    assert looks == [3, 6]
