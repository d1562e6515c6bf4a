"""The ids of events."""

from __future__ import annotations

import secrets
from datetime import datetime

from pipeline.serve.tables import to_microseconds


def new_id(start: datetime) -> str:
    """A UUID of version 7 as 32 hex digits: those of later events are greater (RFC 9562, 5.7).

    The milliseconds since 1970 come first, then the rest of the microseconds, then chance.
    """
    milliseconds, rest = divmod(to_microseconds(start), 1000)
    fraction = rest * 4096 // 1000
    return f"{milliseconds:012x}7{fraction:03x}{0x8000_0000_0000_0000 | secrets.randbits(62):016x}"
