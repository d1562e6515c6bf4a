"""Durations as people write them: `30s`, `1h30m`, `14d`."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|[smhdw])\s*")


def seconds(text: str) -> float:
    """The duration in seconds: numbers with the units ms, s, m, h, d, w; a number alone is in seconds.

    Raises:
        ValueError: it is not written like that.
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError("write a duration such as 30s, 5m, 1h30m or 14d")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
