"""The way of one source's items to the workers: what of it waits, and when more is to be expected."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_SHORTEST = 1e-6  # seconds from one item to the next that a clock can tell
_USUAL = 8  # items, the latest, that say how much time usually passes from one to the next


@dataclass(eq=False)
class Lane(Generic[T]):
    """Belongs to a `Channel`, under whose lock it is used.

    Attributes:
        newest: of a live source: it holds one item, which gives way to the next.
        dropped: how many items have given way.
        done: its source has ended.
        stop: what its source sees.
        interval: seconds that usually pass from one item of a live source to the next; infinite until two have come.
        due: when the next one is expected.
    """

    newest: bool
    capacity: int
    items: deque[T] = field(default_factory=deque)
    done: bool = False
    dropped: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    interval: float = math.inf
    due: float = math.inf
    _last: float = -math.inf

    @property
    def full(self) -> bool:
        """Whether a further item has to wait, or makes another one give way."""
        return len(self.items) >= self.capacity

    @property
    def rate(self) -> float:
        """Items that usually come in a second, of a live source; 0 until two have come. A file has all at once."""
        if self.done:
            return 0.0
        return 1 / max(self.interval, _SHORTEST) if self.newest else math.inf

    def put(self, item: T, now: float) -> None:
        """Takes an item that came at `now`, in seconds."""
        if self.newest:
            self._note(now)
            if self.full:
                self.items.popleft()
                self.dropped += 1
        self.items.append(item)

    def expects(self, now: float, until: float) -> bool:
        """Whether more is to come by `until`: of a live source its next item, unless that is so late that there may be
        none for long; of a file whatever there is room for.
        """
        if self.done or self.stop.is_set():
            return False
        if not self.newest:
            return not self.full
        return not self.items and self.due <= until and now < self.due + self.interval

    def _note(self, now: float) -> None:
        gap = now - self._last
        self.interval = gap if math.isinf(self.interval) else self.interval + (gap - self.interval) / _USUAL
        self._last, self.due = now, now + self.interval
