"""When a call has to begin so that its results are there when they are asked for, and not long before; and when one
may begin beside another.
"""

from __future__ import annotations

import math
from collections import deque

_LATEST = 8  # calls that say how long the next one takes at most: some may have less to do than others
_ALONE = 64  # calls that say how long one takes that has all cores, at best: a machine may be slow for seconds
_IDLE = 16  # times as long as a call that has nothing to do takes another
_USUAL = 8  # results, the latest, that say how long the consumer is usually busy with some


class Pace:
    """Of one consumer and the calls that work for it; belongs to a `Channel`, under whose lock it is used. Times are
    in seconds.
    """

    def __init__(self) -> None:
        self._under_way: dict[int, float] = {}  # the calls, and when they began
        self._beside: set[int] = set()  # those of them that were under way together
        self._took: deque[float] = deque(maxlen=_LATEST)
        self._took_alone: deque[float] = deque(maxlen=_ALONE)
        self._waiting = 0  # calls whose results the consumer has not got
        self._kept: float | None = None
        self._given: float | None = None

    def begin(self, call: int, now: float) -> None:
        """A call begins; `call` is its number."""
        self._under_way[call] = now
        self._waiting += 1
        if len(self._under_way) > 1:
            self._beside.update(self._under_way)

    def end(self, call: int, now: float) -> None:
        """It is over."""
        took = now - self._under_way.pop(call)
        self._took.append(took)
        if call not in self._beside:
            self._took_alone.append(took)
            return
        self._beside.remove(call)
        if self._took_alone:
            self._took_alone.popleft()  # if none is alone for long, the next one is, and tells how long that takes now

    def give(self, now: float) -> None:
        """The consumer has got the results of a call, and is busy with them."""
        self._given = now
        self._waiting -= 1

    def ask(self, now: float) -> None:
        """The consumer asks for the next ones."""
        if self._given is not None:
            kept = now - self._given
            self._kept = kept if self._kept is None else self._kept + (kept - self._kept) / _USUAL
        self._given = None

    def until_late(self, now: float, rate: float) -> float:
        """How long the next call is to wait for one that is under way, beside which both would be slower: until that
        takes longer than a call that has all cores; infinite, until it ends, where such a call takes longer than the
        time from one to the next; 0: none is under way.

        Args:
            rate: calls a second that are due.
        """
        if not self._under_way:
            return 0.0
        longest = max(self._took_alone, default=math.inf)
        alone = min((took for took in self._took_alone if took >= longest / _IDLE), default=math.inf)
        if alone * rate >= 1:
            return math.inf
        return max(0.0, max(self._under_way.values()) + alone - now)

    def until_asked(self, now: float) -> float:
        """How long the next call has to wait if it is to end when the consumer is expected to ask for its results,
        behind those that it gets before; 0: it asks already, or nothing is known of it.
        """
        if self._kept is None or not self._took:
            return 0.0
        busy = self._kept * (self._waiting + (self._given is not None))
        return max(0.0, (now if self._given is None else self._given) + busy - max(self._took) - now)
