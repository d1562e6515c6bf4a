"""What `onsight events` asks of the store, and how it shows what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.durations import seconds
from pipeline.errors import ConfigError
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event, Gap

EVENT_COLUMNS = ("time", "seconds", "camera", "label", "score", "rule", "zones", "clip")
GAP_COLUMNS = ("time", "seconds", "camera", "reason")

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; see `EventStore.search`."""

    cameras: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def __str__(self) -> str:
        told = {name: getattr(self, name) for name in self.__slots__}
        words = (f"{name} {_written(value)}" for name, value in told.items() if value)
        return ", ".join(words) or "all"

    def all(self, store: EventStore) -> Iterator[Event]:
        """Every event that fits, the newest first, a page at a time."""
        before = None
        while page := self._page(store, before, _PAGE):
            yield from page
            before = page[-1].id

    def newest(self, store: EventStore, limit: int) -> tuple[list[Event], bool]:
        """The newest `limit` events, and whether there are more."""
        found = self._page(store, None, limit + 1)
        return found[:limit], len(found) > limit

    def gaps(self, store: EventStore, limit: int) -> tuple[list[Gap], bool]:
        """The newest `limit` gaps, and whether there are more.

        Raises:
            ConfigError: it asks for what only events have.
        """
        if asked := [name for name in ("labels", "rules", "text") if getattr(self, name)]:
            name = asked[0].removesuffix("s")
            raise ConfigError(f"gaps have a time and a camera, but no {name}: leave out --{name} or --gaps")
        found = store.gaps(self.cameras, self.since, self.until, limit=limit + 1)
        return found[:limit], len(found) > limit

    def _page(self, store: EventStore, before: str | None, limit: int) -> list[Event]:
        return store.search(
            self.cameras,
            self.labels,
            self.since,
            self.until,
            rules=self.rules,
            text=self.text,
            before=before,
            limit=limit,
        )


def _written(value: datetime | tuple[str, ...] | str) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value if isinstance(value, str) else " ".join(value)


def moment(text: str | None, now: datetime) -> datetime | None:
    """The time that `text` names: a duration before `now`, or a date with or without a time of day.

    Args:
        now: with the time zone of dates that name none.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        return None
    try:
        return now - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    try:
        named = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"'{text}' is no time: write 1h, 7d, 2026-11-20 or 2026-11-20T08:00") from None
    return named if named.tzinfo else named.astimezone()


def to_json(event: Event | Gap) -> dict[str, Any]:
    """Plain values, ready for JSON; times in UTC as ISO 8601."""
    end = None if event.end is None else event.end.isoformat()
    if isinstance(event, Gap):
        return {**asdict(event), "start": event.start.isoformat(), "end": end}
    return {
        "id": event.id,
        "camera": event.camera,
        "rule": event.rule,
        "label": event.label,
        "score": event.score,
        "start": event.start.isoformat(),
        "end": end,
        "best": event.best.isoformat(),
        "box": event.box,
        "path": event.path,
        "track": event.track,
        "zones": event.zones,
        "thumbnail": event.thumbnail,
        "clip": event.clip,
    }


def print_table(found: Sequence[Event | Gap], columns: Sequence[str]) -> None:
    """Prints a table with local times.

    Args:
        columns: `EVENT_COLUMNS` or `GAP_COLUMNS`, as fits what was found.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in ("seconds", "score") else "left", no_wrap=name == "time")
    for each in found:
        began = f"{each.start.astimezone():%Y-%m-%d %H:%M:%S}"
        lasted = "…" if each.end is None else f"{(each.end - each.start).total_seconds():.1f}"
        table.add_row(began, lasted, each.camera, *_facts(each))
    Console(highlight=False, markup=False).print(table)


def _facts(seen: Event | Gap) -> tuple[str, ...]:
    if isinstance(seen, Gap):
        return (seen.reason,)
    return seen.label, f"{seen.score:.2f}", seen.rule, ", ".join(seen.zones), "yes" if seen.clip else ""
