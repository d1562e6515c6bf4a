"""Who viewed or changed what, told to the store's audit log."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from pipeline.serve.protocols import Events
from pipeline.serve.web.accounts import Identity

_AGAIN = 600.0  # seconds
_MOST = 10_000


class Journal:
    """Writes to the audit log. A view that is repeated within ten minutes is one view."""

    def __init__(self, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._told: dict[tuple[str, str, str], float] = {}
        self._lock = Lock()

    def viewed(self, who: Identity, action: str, what: str) -> None:
        """Writes unless the same was written a short while ago."""
        entry, now = (who.name, action, what), self._clock()
        with self._lock:
            told = self._told.pop(entry, None)
            fresh = told is None or now - told >= _AGAIN
            self._told[entry] = now if told is None or fresh else told
            if len(self._told) > _MOST:
                del self._told[next(iter(self._told))]
        if fresh:
            self._events.audit(*entry)

    def did(self, who: Identity, action: str, what: str = "") -> None:
        self._events.audit(who.name, action, what)
