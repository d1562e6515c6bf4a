"""The documented API, tried with whatever its document allows: schemathesis looks for answers that it does not tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.serving import FakeCameras, FakeEvents, picture
from support.watching import event

from pipeline.serve.cameras import Cameras as AllCameras
from pipeline.serve.config import CameraSpec, read_camera
from pipeline.serve.live import Live
from pipeline.serve.protocols import Cameras, Events
from pipeline.serve.registry import Registry
from pipeline.serve.store import EventStore
from pipeline.serve.watched import Watched
from pipeline.serve.web.app import create_app
from pipeline.serve.web.settings import WebSettings
from pipeline.sources.state import Health
from pipeline.types import Frame, Media

HOME = "http://127.0.0.1"
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


class Silent:
    """A camera that gives no picture."""

    media = Media(live=True)

    def __init__(self, name: str, stream: int) -> None:
        self.name, self.stream = name, stream

    def close(self) -> None: ...

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        stop.wait()
        yield from ()


def watch(name: str, spec: CameraSpec, stream: int) -> Watched:
    health = Health(0.0, 0.0, 5.0)
    return Watched(name, Silent(name, stream), lambda: health, (), fail, fail, ())


def fail(*_: object) -> Any:
    raise AssertionError("there is no frame")


@contextmanager
def fakes(folder: Path) -> Iterator[tuple[Cameras, Events]]:
    (folder / "1.jpg").write_bytes(b"a picture")
    (folder / "1.mp4").write_bytes(b"0123456789")
    events = FakeEvents(folder)
    for number in range(3):
        events.put(number, thumbnail="1.jpg", clip="1.mp4")
    yield FakeCameras("gate"), events


@contextmanager
def real_ones(folder: Path) -> Iterator[tuple[Cameras, Events]]:
    """What `onsight serve` gives the page, with cameras that are silent."""
    stop = threading.Event()
    watched = AllCameras[CameraSpec](watch, [], stop)
    registry = Registry(watched, folder / "cameras.yaml")
    registry.configure({"gate": read_camera(0)})
    with closing(EventStore(folder)) as store:
        for number in range(3):
            seen = event(number)
            store.add(seen, picture())
            store.files.prepare(store.files.clip(seen)).write_bytes(b"0123456789")
            store.attach(seen, clip=store.files.clip(seen))
        store.flush()
        yield registry, store
    stop.set()
    watched.run()  # ends them


@pytest.fixture(params=[fakes, real_ones])
def api(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[schemathesis.BaseSchema]:
    monkeypatch.setattr("pipeline.serve.web.watching._PATIENCE", 0.01)
    with request.param(tmp_path) as (cameras, events):
        app = create_app(WebSettings(), Live(), cameras, events)
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})


def test_no_request_is_answered_by_a_fault(api: schemathesis.BaseSchema) -> None:
    tried = set()
    for found in api.exclude(path_regex="/mjpeg$").get_all_operations():  # that one never ends
        operation = found.ok()
        tried.add(operation.label)

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=HOME, checks=CHECKS, headers={"Host": "127.0.0.1"})

        ask()
    assert {"GET /api/events", "POST /api/cameras", "GET /api/events/{id}/clip", "POST /login"} <= tried
