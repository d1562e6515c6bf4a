"""Live pictures over WebSocket for the page, as MJPEG for everything else, and one alone."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from pipeline.serve.live import Full, Viewer
from pipeline.serve.web.api_cameras import MISSING, CameraName
from pipeline.serve.web.board import INTERVAL
from pipeline.serve.web.parts import Its, Parts, Who
from pipeline.serve.web.wire import Problem

router = APIRouter(tags=["live"])

_PATIENCE = 5.0  # seconds that a single picture is waited for
_BOUNDARY = "onsight"
_AGAIN_LATER = 1013
_SIGNED_OUT = 4401
_GOING_AWAY = 1001

_NONE_NOW: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "No picture, or too many watch"}}


_MJPEG = "multipart/x-mixed-replace"


def _pictures(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {**MISSING, **_NONE_NOW, 200: {"content": content, "description": "With everything drawn on it"}}


class Wish(BaseModel):
    """What the page says: which cameras it shows, or which one's picture has arrived."""

    cameras: list[str] | None = None
    seen: str | None = None


@router.websocket("/api/live")
async def watch_all(socket: WebSocket, its: Its, who: Who) -> None:
    """Pictures as binary messages (`Picture.message`), the state of everything as a text message each second."""
    await socket.accept()
    try:
        viewer = its.live.viewer()
    except Full:
        await socket.close(_AGAIN_LATER, "too many watch")
        return
    with viewer:
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                with suppress(WebSocketDisconnect):
                    async for text in socket.iter_text():
                        await _heed(text, viewer, its, who)
                tasks.cancel_scope.cancel()

            tasks.start_soon(listen)
            with suppress(WebSocketDisconnect):
                await socket.close(*await _push(socket, viewer, its))
            tasks.cancel_scope.cancel()


async def _push(socket: WebSocket, viewer: Viewer, its: Parts) -> tuple[int, str]:
    """Sends until there is a reason to end, and gives that."""
    due = time.monotonic()
    while not its.live.ended:
        if (wait := due - time.monotonic()) <= 0:
            if its.guard.identify(socket) is None:
                return _SIGNED_OUT, "signed out"
            await its.board.refresh()
            await socket.send_text(its.board.text)
            due = time.monotonic() + INTERVAL
            continue
        for picture in await viewer.take(wait):
            await socket.send_bytes(picture.message)
    return _GOING_AWAY, "the server ends"


async def _heed(text: str, viewer: Viewer, its: Parts, who: Who) -> None:
    try:
        wish = Wish.model_validate_json(text)
    except ValidationError:
        return
    if wish.seen is not None:
        viewer.release(wish.seen)
    if wish.cameras is not None:
        await its.board.refresh()
        known = {camera.name for camera in its.board.status}
        new = known.intersection(wish.cameras) - viewer.cameras
        for camera in sorted(new):
            await anyio.to_thread.run_sync(its.journal.viewed, who, "watch", camera)
        viewer.watch(known.intersection(wish.cameras))


class _Mjpeg(StreamingResponse):
    async def stream_response(self, send: Send) -> None:
        assert isinstance(self.body_iterator, AsyncGenerator)
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


@router.get("/api/cameras/{name}/mjpeg", response_class=StreamingResponse, responses=_pictures(_MJPEG))
async def stream_mjpeg(name: CameraName, request: Request, its: Its, who: Who) -> StreamingResponse:
    """The live picture as MJPEG, for programs; browsers open no more than six of these at once."""
    viewer = await _open(name, its, who)

    async def parts() -> AsyncGenerator[bytes]:
        with viewer:
            viewer.watch({name})
            while not its.live.ended and its.guard.identify(request) is not None:
                for picture in await viewer.take(INTERVAL):
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
                    yield head.encode() + picture.jpeg + b"\r\n"
                    viewer.release(name)

    return _Mjpeg(parts(), media_type=f"{_MJPEG}; boundary={_BOUNDARY}")


@router.get("/api/cameras/{name}/snapshot", response_class=Response, responses=_pictures("image/jpeg"))
async def take_snapshot(name: CameraName, its: Its, who: Who) -> Response:
    """The next picture."""
    with await _open(name, its, who) as viewer:
        viewer.watch({name})
        for picture in await viewer.take(_PATIENCE):
            return Response(bytes(picture.jpeg), media_type="image/jpeg")
    raise HTTPException(503, "the camera gives no picture now")


async def _open(name: str, its: Parts, who: Who) -> Viewer:
    await its.board.refresh()
    if name not in {camera.name for camera in its.board.status}:
        raise HTTPException(404, "there is no such camera")
    await anyio.to_thread.run_sync(its.journal.viewed, who, "watch", name)
    try:
        return its.live.viewer()
    except Full:
        raise HTTPException(503, "too many watch") from None
