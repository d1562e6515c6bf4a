"""What the routes work with. `create_app` puts it into the state of the app; a route names what it needs."""

from __future__ import annotations

from asyncio import Lock
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from pipeline.serve.live import Live
from pipeline.serve.protocols import Cameras, Events
from pipeline.serve.web.accounts import Accounts, Identity
from pipeline.serve.web.board import Board
from pipeline.serve.web.guard import Guard
from pipeline.serve.web.journal import Journal
from pipeline.serve.web.limiter import LoginLimiter
from pipeline.serve.web.sessions import Sessions
from pipeline.serve.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything, made once for the app. `hashing` is held while a password is checked, which takes 64 MiB."""

    settings: WebSettings
    live: Live
    cameras: Cameras
    events: Events
    accounts: Accounts
    sessions: Sessions
    limiter: LoginLimiter
    guard: Guard
    journal: Journal
    board: Board
    hashing: Lock = field(default_factory=Lock)


def _parts(connection: HTTPConnection) -> Parts:
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)
    return parts


def _identity(connection: HTTPConnection) -> Identity:
    identity = connection.state.identity
    assert isinstance(identity, Identity)
    return identity


Its = Annotated[Parts, Depends(_parts)]
Who = Annotated[Identity, Depends(_identity)]
