"""Who has signed in. Kept in memory: a restart signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from pipeline.serve.web.accounts import Identity

_MOST = 1000


class Sessions:
    """Sign-ins by the hash of a random key that only the cookie holds.

    Args:
        seconds: how long one lasts, whatever is done with it.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._open: dict[str, tuple[Identity, float]] = {}

    def open(self, identity: Identity) -> str:
        """The key of a new one. When there are too many, the oldest ends."""
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        key = secrets.token_urlsafe(32)
        self._open[_hash(key)] = (identity, self._clock() + self.seconds)
        return key

    def get(self, key: str) -> Identity | None:
        identity, end = self._open.get(_hash(key), (None, 0.0))
        if identity is not None and self._clock() >= end:
            self.close(key)
            return None
        return identity

    def close(self, key: str) -> None:
        self._open.pop(_hash(key), None)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
