"""The documented API, tried with whatever its document allows: schemathesis looks for answers that it does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.serving import FakeCameras, FakeEvents

from pipeline.serve.live import Live
from pipeline.serve.web.app import create_app
from pipeline.serve.web.settings import WebSettings

HOME = "http://127.0.0.1"
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> schemathesis.BaseSchema:
    monkeypatch.setattr("pipeline.serve.web.watching._PATIENCE", 0.01)
    (tmp_path / "1.jpg").write_bytes(b"a picture")
    (tmp_path / "1.mp4").write_bytes(b"0123456789")
    events = FakeEvents(tmp_path)
    for number in range(3):
        events.put(number, thumbnail="1.jpg", clip="1.mp4")
    app = create_app(WebSettings(), Live(), FakeCameras("gate"), events)
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})


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
