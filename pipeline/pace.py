"""When a call has to begin so that its results are there when they are asked for, and not long before."""

from __future__ import annotations

from collections import deque

_LATEST = 8  # calls that say how long the next one takes at most: some may have less to do than others
_USUAL = 8  # results, the latest, that say how long the consumer is usually busy with some


class Pace:
    """Of one consumer and the calls that work for it; belongs to a `Channel`, under whose lock it is used. Times are
    in seconds.
    """

    def __init__(self) -> None:
        self._calls: deque[float] = deque(maxlen=_LATEST)
        self._kept: float | None = None
        self._given: float | None = None

    def called(self, took: float) -> None:
        """A call is over."""
        self._calls.append(took)

    def give(self, now: float) -> None:
        """The consumer has got results, and is busy with them."""
        self._given = now

    def ask(self, now: float) -> None:
        """The consumer asks for the next ones."""
        if self._given is not None:
            kept = now - self._given
            self._kept = kept if self._kept is None else self._kept + (kept - self._kept) / _USUAL
        self._given = None

    def pause(self, now: float) -> float:
        """How long the next call has to wait if it is to end when the consumer is expected to ask again; 0: it asks
        already, or nothing is known of it.
        """
        if self._given is None or self._kept is None or not self._calls:
            return 0.0
        return max(0.0, self._given + self._kept - max(self._calls) - now)
