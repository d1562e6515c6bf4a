"""Growing waits between attempts to sign in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_FREE = 5  # attempts without a wait
_FORGET = 3600.0  # seconds after which an attempt counts no more
_MOST = 10_000  # addresses, and names, that are remembered
_ADDRESS_WAIT = 900.0  # seconds at most
_NAME_WAIT = 30.0  # short: a stranger must not lock a user out


@dataclass(slots=True)
class _Attempts:
    count: int
    last: float


class _Counter:
    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._attempts: dict[str, _Attempts] = {}

    def wait(self, key: str, now: float) -> float:
        """Seconds until `key` may try again."""
        tried = self._attempts.get(key)
        if tried is None or now - tried.last >= _FORGET or tried.count < _FREE:
            return 0.0
        return max(0.0, tried.last + min(2.0 ** (tried.count - _FREE), self._longest) - now)

    def add(self, key: str, now: float) -> None:
        tried = self._attempts.pop(key, None)
        known = tried.count if tried is not None and now - tried.last < _FORGET else 0
        self._attempts[key] = _Attempts(min(known + 1, 64), now)  # at the end: the first one is the oldest
        if len(self._attempts) > _MOST:
            del self._attempts[next(iter(self._attempts))]

    def forgive(self, key: str) -> None:
        if tried := self._attempts.get(key):
            tried.count -= 1

    def forget(self, key: str) -> None:
        self._attempts.pop(key, None)


class LoginLimiter:
    """Counts attempts by address and by name: five are free, then each doubles the wait.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses = _Counter(_ADDRESS_WAIT)
        self._names = _Counter(_NAME_WAIT)

    def begin(self, address: str, name: str) -> float:
        """Seconds to wait; 0: go on. The attempt counts as failed until `succeed`, so that none can overtake it."""
        now, network = self._clock(), _network(address)
        if wait := max(self._addresses.wait(network, now), self._names.wait(name, now)):
            return wait
        self._addresses.add(network, now)
        self._names.add(name, now)
        return 0.0

    def succeed(self, address: str, name: str) -> None:
        """Takes the attempt back. Earlier ones of the address stay: it may have an account and guess others'."""
        self._addresses.forgive(_network(address))
        self._names.forget(name)


def _network(address: str) -> str:
    """One home has one IPv4 address or 2⁶⁴ IPv6 addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) else address
