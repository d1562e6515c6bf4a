"""`serve` in this process, without a camera: when a part of it dies, all of it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.models import tiny_detector
from support.watching import after, event

from pipeline.serve.config import ServeConfig
from pipeline.serve.service import serve
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event

PATIENCE = 20.0


def watch(folder: Path, reread: Callable[[], Any] = lambda: None, **choices: Any) -> None:
    """Until it ends by itself."""
    values = {"model": tiny_detector(folder / "m.onnx"), "device": "cpu", "web": {"port": 0}, **choices}
    config = ServeConfig.model_validate({"store": {"folder": folder / "events"}, **values})
    stop, late = threading.Event(), threading.Event()

    def end() -> None:
        late.set()
        stop.set()

    timer = threading.Timer(PATIENCE, end)
    timer.start()
    try:
        serve(config, stop, reread, lambda url, eye: None)
    finally:
        timer.cancel()
        assert not late.is_set(), "nothing ended it"


def fail(*_: Any) -> Any:
    raise ZeroDivisionError("by hand")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.service._ATTEND", 0.01)


@pytest.mark.parametrize(
    "part",
    [
        "pipeline.serve.retention.sweep",
        "pipeline.serve.writer.Writer.flush",
        "pipeline.serve.news.News._tell_all",
    ],
)
def test_a_part_that_dies_ends_all_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(part, fail)
    with pytest.raises(ZeroDivisionError, match="by hand"):
        watch(tmp_path)


@pytest.mark.parametrize(("cores", "alone"), [(2, False), (3, True)])
def test_inferences_that_share_cores_have_their_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, alone: bool
) -> None:
    told: list[tuple[bool, bool]] = []

    def spy(*_: object, fresh: bool, alone: bool) -> Any:
        told.append((fresh, alone))
        fail()

    monkeypatch.setattr("pipeline.schedule.available_cores", lambda: cores)
    monkeypatch.setattr("pipeline.channel.Channel.process", spy)
    with pytest.raises(ZeroDivisionError, match="by hand"):
        watch(tmp_path)
    assert told == [(True, alone)]


def test_a_web_server_that_ends_by_itself_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick(self: Any, counter: int) -> bool:
        return True  # as if it was to exit

    monkeypatch.setattr("uvicorn.Server.on_tick", tick)
    with pytest.raises(RuntimeError, match="the web server ended, and nobody had told it to"):
        watch(tmp_path)


def test_what_a_killed_process_left_open_is_told_as_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EventStore(tmp_path / "events")) as store:
        store.add(open_one := event(lasted=None))
        store.add(event(1))
    told: list[tuple[str, Event]] = []
    hook = {"url": "http://127.0.0.1:1/", "secret": "whsec_" + "A" * 32}
    monkeypatch.setattr(
        "pipeline.serve.notify.webhook.Webhooks.tell", lambda self, moment, event, now: told.append((moment, event))
    )
    monkeypatch.setattr("pipeline.serve.service._Attendant._take_over", fail)
    with pytest.raises(ZeroDivisionError):
        watch(tmp_path, reread=lambda: told or None, webhooks={"home": hook})
    assert told == [("ended", replace(open_one, end=after(1)))]
