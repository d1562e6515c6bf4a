"""Events: searching them, their pictures and clips."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import FileResponse

from pipeline.serve.types import Event
from pipeline.serve.web.parts import Its, Parts, Who
from pipeline.serve.web.wire import EventOut, EventPage, Moment, Problem, Text

router = APIRouter(prefix="/api/events", tags=["events"])

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none (any more)"}}
_ASK_AGAIN = {"Cache-Control": "private, no-cache"}  # it may become better, or be deleted; the ETag makes asking cheap


def _binary(media_type: str, what: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {**MISSING, 200: {"content": content, "description": what}}


_RANGES: dict[int | str, dict[str, Any]] = {
    206: {"description": "The part asked for"},
    400: {"description": "The Range cannot be read"},
    416: {"description": "The file is shorter than the Range"},
}


@router.get("")
def search_events(
    its: Its,
    who: Who,
    camera: Annotated[list[Text], Query(max_length=100, description="any of these")] = [],  # noqa: B006
    label: Annotated[list[Text], Query(max_length=100, description="any of these")] = [],  # noqa: B006
    rule: Text | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[Text | None, Query(description="an id: only older ones")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> EventPage:
    """Events, newest first. Times are those of the start and need their offset from UTC."""
    found = its.events.search(
        cameras=camera,
        labels=label,
        since=since,
        until=until,
        rules=[rule] if rule else [],
        before=before,
        limit=limit + 1,
    )
    its.journal.viewed(who, "search events", _words(camera=camera, label=label, rule=rule, since=since, until=until))
    shown = [EventOut.of(event) for event in found[:limit]]
    return EventPage(events=shown, next=shown[-1].id if len(found) > limit else None)


@router.get("/{id}", responses=MISSING)
def get_event(id: Text, its: Its, who: Who) -> EventOut:
    """One event."""
    event = _find(its, id)
    its.journal.viewed(who, "view event", _about(event))
    return EventOut.of(event)


@router.get("/{id}/thumbnail", response_class=FileResponse, responses=_binary("image/jpeg", "JPEG") | _RANGES)
def get_thumbnail(id: Text, its: Its, who: Who) -> FileResponse:
    """The best picture of the event."""
    event = _find(its, id)
    path = _there(its.events.thumbnail_path(event))
    its.journal.viewed(who, "view thumbnail", _about(event))
    return FileResponse(path, media_type="image/jpeg", headers=_ASK_AGAIN)


@router.get("/{id}/clip", response_class=FileResponse, responses=_binary("video/mp4", "mp4") | _RANGES)
def get_clip(id: Text, its: Its, who: Who, download: bool = False) -> FileResponse:
    """The clip of the event, in parts if a `Range` asks for them; `download` gives it a file name."""
    event = _find(its, id)
    path = _there(its.events.clip_path(event))
    if not download:
        its.journal.viewed(who, "view clip", _about(event))
        return FileResponse(path, media_type="video/mp4")
    its.journal.viewed(who, "export clip", _about(event))
    return FileResponse(path, media_type="video/mp4", filename=f"{_file_name(event)}.mp4")


@router.delete("/{id}", status_code=204, responses=MISSING)
def delete_event(id: Text, its: Its, who: Who) -> None:
    """Forgets an event, its picture and its clip. For admins."""
    event = _find(its, id)
    its.events.delete(event.id)
    its.journal.did(who, "delete event", _about(event))


def _find(its: Parts, id: str) -> Event:
    if (event := its.events.get(id)) is None:
        raise HTTPException(404, "there is no such event")
    return event


def _there(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise HTTPException(404, "the file is not there (any more)")
    return path


def _about(event: Event) -> str:
    return f"{event.id}: {event.label}, {event.camera}"


def _file_name(event: Event) -> str:
    return re.sub(r"[^\w.-]+", "-", f"{event.camera}-{event.label}-{event.start:%Y-%m-%dT%H-%M-%SZ}")


def _words(**filters: Any) -> str:
    given = {name: value for name, value in filters.items() if value}
    return ", ".join(f"{name}={_text(value)}" for name, value in given.items()) or "all"


def _text(value: Any) -> str:
    return "|".join(value) if isinstance(value, list) else str(value)
