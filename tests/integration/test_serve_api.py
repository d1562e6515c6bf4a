"""The documented API, tried with whatever its document allows: schemathesis looks for answers that it does not tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
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
from pipeline.serve.web.accounts import hash_token, new_token
from pipeline.serve.web.app import create_app
from pipeline.serve.web.guard import needed
from pipeline.serve.web.settings import WebSettings
from pipeline.sources.state import Health
from pipeline.types import Frame, Media

HOME = "http://127.0.0.1"
HOST = {"Host": "127.0.0.1"}
TOKEN = new_token()
HEADERS_OF = {None: HOST, "viewer": {**HOST, "Authorization": f"Bearer {TOKEN}"}}
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


class Brief(Live):
    """Its end comes as soon as somebody watches, so that no stream lasts."""

    @property
    def ended(self) -> bool:
        return bool(self._viewers)

    @ended.setter
    def ended(self, value: bool) -> None: ...


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
def fakes(folder: Path) -> Iterator[tuple[FakeCameras, FakeEvents]]:
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


def schema_of(app: FastAPI) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)


@pytest.fixture(params=[fakes, real_ones])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[schemathesis.BaseSchema]:
    """Nobody has to sign in."""
    with request.param(tmp_path) as (cameras, events):
        yield schema_of(create_app(WebSettings(), Brief(), cameras, events))


@dataclass
class Guarded:
    """An app that needs a token, and what could be changed by it."""

    api: schemathesis.BaseSchema
    cameras: FakeCameras
    events: FakeEvents


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    tokens = {"page": {"token": hash_token(TOKEN)}}
    with fakes(tmp_path) as (cameras, events):
        app = create_app(WebSettings.model_validate({"tokens": tokens}), Brief(), cameras, events)
        api = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS_OF["viewer"])
        yield Guarded(api, cameras, events)


def test_no_request_is_answered_by_a_fault(api: schemathesis.BaseSchema) -> None:
    codes = answers(api, examples=25)
    assert {"GET /api/events", "POST /api/cameras", "GET /api/events/{id}/clip", "POST /login"} <= codes.keys()
    assert "GET /api/cameras/{name}/mjpeg" in codes


@pytest.mark.parametrize("role", [None, "viewer"])
def test_what_is_not_allowed_is_refused_in_the_documented_way(guarded: Guarded, role: str | None) -> None:
    """And changes nothing."""
    codes = answers(guarded.api, examples=5, headers=HEADERS_OF[role])
    for label, seen in codes.items():
        method, path = label.split()
        wanted = needed(method, path)
        if wanted is not None and (role is None or wanted == "admin"):
            # 403: strangers may come with a cookie from nowhere; 404: an unprintable path, whoever asks.
            assert seen <= ({401, 403, 404} if role is None else {403, 404}), label
        elif wanted == "viewer":
            assert not seen & {401, 403}, label
    assert {"GET /api/cameras", "DELETE /api/cameras/{name}", "GET /api/cameras/{name}/mjpeg"} <= codes.keys()
    assert guarded.cameras.cameras.keys() == {"gate"}
    assert len(guarded.events.events) == 3


@pytest.mark.parametrize(
    ("live", "name", "code"),
    [(Brief(), "gate", 200), (Live(viewers=0), "gate", 503), (Live(), "nowhere", 404), (Live(), "x" * 201, 422)],
)
def test_a_stream_is_answered_in_the_documented_way(tmp_path: Path, live: Live, name: str, code: int) -> None:
    with fakes(tmp_path) as (cameras, events):
        api = schema_of(create_app(WebSettings(), live, cameras, events))
        case = api["/api/cameras/{name}/mjpeg"]["GET"].Case(path_parameters={"name": name})
        answer = case.call(base_url=HOME, headers=HOST)
        case.validate_response(answer, checks=[each for each in CHECKS if each is not not_a_server_error])
        assert answer.status_code == code


def answers(api: schemathesis.BaseSchema, examples: int, headers: Mapping[str, str] = HOST) -> dict[str, set[int]]:
    """The status codes of each operation; all answers are checked against the document."""
    operations = [found.ok() for found in api.get_all_operations()]
    return {operation.label: answers_of(operation, examples, headers) for operation in operations}


def answers_of(operation: schemathesis.APIOperation, examples: int, headers: Mapping[str, str]) -> set[int]:
    seen = set()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        seen.add(case.call_and_validate(base_url=HOME, checks=CHECKS, headers=dict(headers)).status_code)

    ask()
    return seen
