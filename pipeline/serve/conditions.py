"""What a search asks of the rows of events."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Text, func, or_, true

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
    wanted = [_any(events.c.camera, cameras), _any(events.c.label, labels), _any(events.c.rule, rules)]
    if since is not None:
        wanted.append(or_(events.c.ended.is_(None), events.c.ended >= to_microseconds(since)))
    if until is not None:
        wanted.append(events.c.started < to_microseconds(until))
    if text:
        columns = (events.c.camera, events.c.label, events.c.rule, events.c.zones.cast(Text))
        wanted.append(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    if before is not None:
        wanted.append(events.c.id < before)
    return wanted


def _any(column: Column[str], names: Collection[str]) -> ColumnElement[bool]:
    """Whether it is one of `names`, or there are none; SQLite knows lower case in ASCII alone."""
    return or_(column.in_(names), func.lower(column).in_([name.lower() for name in names])) if names else true()
