"""Who is asking, the audit log, and what watches over the server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pipeline.errors import OnsightError
from pipeline.serve.web.metrics import CONTENT_TYPE, render_metrics
from pipeline.serve.web.parts import Its, Who
from pipeline.serve.web.wire import AuditOut, Me

router = APIRouter(tags=["system"])

# Refusals are JSON, which a response class of plain text would deny.
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Plain text"}
}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready"}}


@router.get("/api/me")
def get_me(its: Its, who: Who) -> Me:
    """Who is signed in, and what is recorded."""
    return Me(name=who.name, role=who.role, can_sign_out=not its.settings.open, notice=its.settings.notice)


@router.get("/api/audit")
def list_audits(its: Its, who: Who, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> list[AuditOut]:
    """Who viewed, exported or changed what, newest first. For admins."""
    its.journal.viewed(who, "view audit log", "")
    return [AuditOut.of(entry) for entry in its.events.audits(limit)]


@router.get("/healthz", response_class=Response, responses=_TEXT)
async def healthz() -> Response:
    """The server runs. For anyone."""
    return PlainTextResponse("ok")


@router.get("/readyz", responses=_NOT_READY)
def readyz(its: Its) -> JSONResponse:
    """The memory of events answers; how many cameras there are and how many are live. A dead camera is no reason to
    restart the server.
    """
    try:
        its.events.search(limit=1)
        states = [camera.state for camera in its.cameras.status()]
    except OnsightError as error:
        return JSONResponse({"ready": False, "detail": str(error)}, 503)
    return JSONResponse({"ready": True, "cameras": len(states), "live": states.count("live")})


@router.get("/metrics", response_class=Response, responses=_TEXT)
def metrics(its: Its) -> Response:
    """For Prometheus."""
    return Response(render_metrics(its.cameras.status(), its.live.watching), media_type=CONTENT_TYPE)
