"""When a call has to begin so that its results are there when they are asked for, and not long before."""

from __future__ import annotations

_USUAL = 8  # calls, the latest, that say how long one usually takes


class Pace:
    """Of one consumer and the calls that work for it; belongs to a `Channel`, under whose lock it is used. Times are
    in seconds.
    """

    def __init__(self) -> None:
        self._call: float | None = None
        self._kept: float | None = None
        self._given: float | None = None

    def called(self, took: float) -> None:
        """A call is over."""
        self._call = _usual(self._call, took)

    def give(self, now: float) -> None:
        """The consumer has got results, and is busy with them."""
        self._given = now

    def ask(self, now: float) -> None:
        """The consumer asks for the next ones."""
        if self._given is not None:
            self._kept = _usual(self._kept, now - self._given)
        self._given = None

    def pause(self, now: float) -> float:
        """How long the next call has to wait if it is to end when the consumer is expected to ask again; 0: it asks
        already, or nothing is known of it.
        """
        if self._given is None or self._kept is None or self._call is None:
            return 0.0
        return max(0.0, self._given + self._kept - self._call - now)


def _usual(before: float | None, now: float) -> float:
    return now if before is None else before + (now - before) / _USUAL
