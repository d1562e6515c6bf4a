"""The page itself, its files, and signing in and out."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files
from math import ceil
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Path, Request, Response
from starlette.responses import HTMLResponse

from pipeline.serve.web.accounts import Identity
from pipeline.serve.web.guard import cookie_name, is_secure
from pipeline.serve.web.parts import Its
from pipeline.serve.web.wire import Credentials, Problem

router = APIRouter(tags=["page"])

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NOTICE = b"{notice}"  # its place in login.html
_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Wrong name or password"},
    429: {"model": Problem, "description": "Too many attempts; see Retry-After"},
}


@cache
def static_files() -> dict[str, bytes]:
    """Every file of the page by its name. No path is ever made from what somebody asks for."""
    folder = files("pipeline.serve.web") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def index() -> HTMLResponse:
    """The page."""
    return HTMLResponse(static_files()["index.html"])


@router.get("/login", response_class=HTMLResponse, include_in_schema=False)
async def login_page(its: Its) -> HTMLResponse:
    """Where one signs in. The notice is for those, too, who cannot: it is written into the page."""
    return HTMLResponse(static_files()["login.html"].replace(_NOTICE, escape(its.settings.notice).encode()))


@router.get("/static/{name}", include_in_schema=False)
async def static(name: Annotated[str, Path()]) -> Response:
    """A file of the page; browsers ask each time whether it has changed."""
    suffix = name.rpartition(".")[2]
    if suffix not in _TYPES or (content := static_files().get(name)) is None:
        raise HTTPException(404, "there is no such file")
    return Response(content, media_type=_TYPES[suffix], headers={"Cache-Control": "no-cache"})


@router.post("/login", status_code=204, responses=_REFUSED)
async def sign_in(credentials: Credentials, request: Request, response: Response, its: Its) -> None:
    """Opens a session: the answer sets its cookie."""
    address = request.client.host if request.client else ""
    if wait := its.limiter.begin(address, credentials.name):
        seconds = ceil(wait)
        raise HTTPException(429, f"too many attempts; wait {seconds} s", {"Retry-After": str(seconds)})
    async with its.hashing:
        identity = await anyio.to_thread.run_sync(its.accounts.by_password, credentials.name, credentials.password)
    known = Identity(credentials.name if credentials.name.isprintable() else "?", "viewer")
    action = "sign in" if identity else "sign-in refused"
    await anyio.to_thread.run_sync(its.journal.did, known, action, address)
    if identity is None:
        raise HTTPException(401, "wrong name or password")
    its.limiter.succeed(address, credentials.name)
    response.set_cookie(
        cookie_name(request),
        its.sessions.open(identity),
        max_age=int(its.sessions.seconds),
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )


@router.post("/logout", status_code=204)
async def sign_out(request: Request, response: Response, its: Its) -> None:
    """Ends the session; live pictures that it watches end within a second."""
    name = cookie_name(request)
    if key := request.cookies.get(name):
        if identity := its.sessions.get(key):
            await anyio.to_thread.run_sync(its.journal.did, identity, "sign out")
        its.sessions.close(key)
    response.delete_cookie(name, secure=is_secure(request), httponly=True, samesite="strict")
