"""The web app of `onsight serve`, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from starlette.responses import JSONResponse

from pipeline.errors import ConfigError, OnsightError
from pipeline.serve.live import Live
from pipeline.serve.protocols import Cameras, Events
from pipeline.serve.web import api_cameras, api_events, api_gaps, api_system, signin, watching
from pipeline.serve.web.accounts import Accounts
from pipeline.serve.web.board import Board
from pipeline.serve.web.gate import Gate
from pipeline.serve.web.guard import PUBLIC, Guard
from pipeline.serve.web.journal import Journal
from pipeline.serve.web.limiter import LoginLimiter
from pipeline.serve.web.parts import Parts
from pipeline.serve.web.sessions import Sessions
from pipeline.serve.web.settings import WebSettings, check_exposure
from pipeline.serve.web.wire import Problem

_LARGEST_BODY = 64 * 1024  # bytes
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The host or the body cannot be read"},
    401: {"model": Problem, "description": "Sign in first"},
    403: {"model": Problem, "description": "Not in this role, or from another site"},
    422: {"model": Problem, "description": "A value cannot be used"},
}


def create_app(settings: WebSettings, live: Live, cameras: Cameras, events: Events) -> FastAPI:
    """The app; `WebServer` serves it.

    Raises:
        ConfigError: a secret is missing, or the page would be open to strangers.
    """
    check_exposure(settings)
    accounts = Accounts(settings.users, settings.tokens)
    sessions = Sessions(settings.session_hours * 3600)
    guard = Guard(settings, accounts, sessions)
    app = FastAPI(
        title="Onsight",
        version=version("onsight"),
        telemetry=_NO_TELEMETRY,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=_LARGEST_BODY,
        responses=_PROBLEMS,
    )
    app.state.parts = Parts(
        settings,
        live,
        cameras,
        events,
        accounts,
        sessions,
        LoginLimiter(),
        guard,
        Journal(events),
        Board(cameras, events),
    )
    app.add_middleware(Gate, guard=guard)
    for module in (signin, api_cameras, watching, api_events, api_gaps, api_system):
        app.include_router(module.router)
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_exception_handler(OnsightError, _explain_ours)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return app


async def _explain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    reason = str(first["msg"]).removeprefix("Value error, ")
    return JSONResponse({"detail": f"{where}: {reason}" if where else reason}, 422)


async def _explain_ours(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422 if isinstance(error, ConfigError) else 503)


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with how to sign in."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        document["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "onsight"},
        }
        document["security"] = [{"token": []}, {"session": []}]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if (method.upper(), path) in PUBLIC:
                    operation["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
