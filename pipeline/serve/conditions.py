"""What a search asks of the rows of events and gaps."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Table, Text, func, or_, true

from pipeline.serve.tables import events, to_microseconds


def conditions(
    cameras: Collection[str],
    labels: Collection[str],
    rules: Collection[str],
    since: datetime | None,
    until: datetime | None,
    text: str | None,
    before: str | None,
) -> list[ColumnElement[bool]]:
    """All of these have to hold; the arguments are those of `EventStore.search`."""
    wanted = [*seen_in(events, cameras, since, until, before), _any(events.c.label, labels), _any(events.c.rule, rules)]
    if text:
        columns = (events.c.camera, events.c.label, events.c.rule, events.c.zones.cast(Text))
        wanted.append(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return wanted


def seen_in(
    table: Table, cameras: Collection[str], since: datetime | None, until: datetime | None, before: str | None
) -> list[ColumnElement[bool]]:
    """What `events` and `gaps` can be asked alike."""
    wanted = [_any(table.c.camera, cameras)]
    if since is not None:
        wanted.append(or_(table.c.ended.is_(None), table.c.ended >= to_microseconds(since)))
    if until is not None:
        wanted.append(table.c.started < to_microseconds(until))
    if before is not None:
        wanted.append(table.c.id < before)
    return wanted


def _any(column: Column[str], names: Collection[str]) -> ColumnElement[bool]:
    """Whether it is one of `names`, or there are none; SQLite knows lower case in ASCII alone."""
    return or_(column.in_(names), func.lower(column).in_([name.lower() for name in names])) if names else true()
