"""What the API says and takes, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from pipeline.serve.types import Audit, CameraState, CameraStatus, Event, Gap
from pipeline.serve.web.settings import Role


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it has characters that cannot be printed")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class Problem(BaseModel):
    """Why a request was refused, in one line."""

    detail: str


class Me(BaseModel):
    """Who is signed in, and what everybody has to know."""

    name: str
    role: Role
    can_sign_out: bool
    notice: str


class CameraOut(BaseModel):
    """A camera as it is now; latency and gap_seconds in seconds."""

    name: str
    state: CameraState
    since: datetime
    reason: str | None
    fps: float
    latency: float | None
    frames: int
    dropped: int
    withheld: int
    gaps: int
    gap_seconds: float
    width: int
    height: int

    @classmethod
    def of(cls, status: CameraStatus) -> Self:
        return cls(**asdict(status))


class NewCamera(BaseModel):
    """A camera to watch; `spec` holds the keys of a camera in the configuration file."""

    name: Text
    spec: dict[str, Any]


class CameraSettings(BaseModel):
    """The spec of a camera, its source without user, password and tokens. Null: none; `every` then
    as for all cameras.
    """

    source: str
    masks: str | None = None
    zones: str | None = None
    every: int | None = None


class EventOut(BaseModel):
    """What was seen: box and path as fractions of the frame, thumbnail and clip as paths of this server."""

    id: str
    camera: str
    rule: str
    label: str
    score: float
    start: datetime
    end: datetime | None
    best: datetime
    box: tuple[float, float, float, float] | None
    path: tuple[tuple[float, float, float], ...]
    track: int | None
    zones: tuple[str, ...]
    thumbnail: str | None
    clip: str | None

    @classmethod
    def of(cls, event: Event) -> Self:
        url = f"/api/events/{quote(event.id, safe='')}"
        files = {
            "thumbnail": f"{url}/thumbnail" if event.thumbnail else None,
            "clip": f"{url}/clip" if event.clip else None,
        }
        return cls(**{**asdict(event), **files})


class EventPage(BaseModel):
    """Events, newest first; `next` is the `before` of the next page, null on the last."""

    events: list[EventOut]
    next: str | None


class GapOut(BaseModel):
    """A time in which a camera gave no pictures, and why; `end` is null while it lasts."""

    id: str
    camera: str
    start: datetime
    end: datetime | None
    reason: str

    @classmethod
    def of(cls, gap: Gap) -> Self:
        return cls(**asdict(gap))


class GapPage(BaseModel):
    """Gaps, newest first; `next` is the `before` of the next page, null on the last."""

    gaps: list[GapOut]
    next: str | None


class AuditOut(BaseModel):
    """Who did what."""

    time: datetime
    user: str
    action: str
    what: str

    @classmethod
    def of(cls, entry: Audit) -> Self:
        return cls(**asdict(entry))


class Credentials(BaseModel):
    """A sign-in."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=1024)]
