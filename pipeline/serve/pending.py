"""What the store has still to write: one change an event, whatever has come since the last commit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.serve.types import Event
from pipeline.types import Image

_MOST = 10_000  # events that wait in memory while the database cannot be written

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Change:
    """What there is to write of an event.

    Args:
        new: it has no row yet.
        values: of columns.
        picture: of the thumbnail; None: there is no newer one.
    """

    event: Event
    new: bool
    values: dict[str, Any]
    picture: Image | None = None

    def then(self, later: Change) -> Change:
        """Both in one."""
        picture = self.picture if later.picture is None else later.picture
        return Change(later.event, self.new or later.new, {**self.values, **later.values}, picture)


class Pending:
    """Changes and audit rows; any thread may put and take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[str, Change] = {}
        self._entries: list[dict[str, Any]] = []

    def put(self, change: Change) -> None:
        with self._lock:
            self._join([change])

    def note(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._entries.append(entry)

    def take(self) -> tuple[list[Change], list[dict[str, Any]]]:
        """All of it, the oldest first."""
        with self._lock:
            taken = list(self._changes.values()), self._entries
            self._changes, self._entries = {}, []
        return taken

    def put_back(self, changes: list[Change], entries: list[dict[str, Any]]) -> None:
        """What was taken and could not be written goes before what has come since."""
        with self._lock:
            later, self._changes = self._changes, {change.event.id: change for change in changes}
            self._join(later.values())
            self._entries = entries + self._entries

    def _join(self, changes: Iterable[Change]) -> None:
        for change in changes:
            earlier = self._changes.get(change.event.id)
            self._changes[change.event.id] = earlier.then(change) if earlier else change
        while len(self._changes) > _MOST:
            oldest = next(iter(self._changes))
            del self._changes[oldest]
            _LOG.error("event %s is lost: too many wait for the database", oldest)
