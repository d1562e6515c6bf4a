"""The tables of the store, and how events and gaps become rows. Times are UTC, in microseconds since 1970.

Whoever changes a table adds a migration, too: `pipeline/serve/migrations/versions`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, Row, String, Table, Text

from pipeline.serve.types import Event, Gap

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("camera", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("best", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("box", JSON(none_as_null=True)),
    Column("path", JSON, nullable=False),
    Column("track", BigInteger),
    Column("zones", JSON, nullable=False),
    Column("thumbnail", Text),
    Column("clip", Text),
    Column("bytes", BigInteger, nullable=False, server_default="0"),  # of its files
    Index("events_started", "started"),
    Index("events_ended", "ended"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("camera", Text, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("reason", Text, nullable=False),
    Index("gaps_started", "started"),
    Index("gaps_ended", "ended"),
)

watched = Table(  # until when each camera was, as a process that is killed leaves it
    "watched",
    metadata,
    Column("camera", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
)

audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("what", Text, nullable=False),
    Index("audits_time", "time"),
)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a time with a time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """The time, UTC, of microseconds since 1970."""
    return _EPOCH + microseconds * _MICROSECOND


def to_row(event: Event) -> dict[str, Any]:
    """The columns of an event but those that it does not know (yet)."""
    columns = {
        "id": event.id,
        "camera": event.camera,
        "rule": event.rule,
        "label": event.label,
        "score": event.score,
        "started": to_microseconds(event.start),
        "best": to_microseconds(event.best),
        "ended": None if event.end is None else to_microseconds(event.end),
        "box": event.box,
        "path": event.path,
        "track": event.track,
        "zones": event.zones,
        "thumbnail": event.thumbnail,
        "clip": event.clip,
    }
    return {name: value for name, value in columns.items() if value is not None}


def to_event(row: Row[Any]) -> Event:
    """The event of a row of `events`."""
    return Event(
        id=row.id,
        camera=row.camera,
        rule=row.rule,
        label=row.label,
        score=row.score,
        start=to_datetime(row.started),
        best=to_datetime(row.best),
        end=None if row.ended is None else to_datetime(row.ended),
        box=None if row.box is None else tuple(row.box),
        path=tuple((seconds, x, y) for seconds, x, y in row.path),
        track=row.track,
        zones=tuple(row.zones),
        thumbnail=row.thumbnail,
        clip=row.clip,
    )


def to_gap(row: Row[Any]) -> Gap:
    """The gap of a row of `gaps`."""
    end = None if row.ended is None else to_datetime(row.ended)
    return Gap(row.id, row.camera, to_datetime(row.started), end, row.reason)


def from_gap(gap: Gap) -> dict[str, Any]:
    """The columns of a gap."""
    return {
        "id": gap.id,
        "camera": gap.camera,
        "started": to_microseconds(gap.start),
        "ended": None if gap.end is None else to_microseconds(gap.end),
        "reason": gap.reason,
    }
