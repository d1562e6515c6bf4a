"""Memory that has been freed, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Gives back what has been freed in between of what has not, which glibc keeps otherwise: a process whose cameras
    come and go would grow by some of each decoder. Other C libraries do so themselves, or cannot.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], int]:
    """The `malloc_trim` of glibc; its argument is how many bytes it may keep at the end of the heap."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS and musl have none, Windows has no `CDLL(None)`
        return lambda pad: 0
    return found
