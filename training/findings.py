"""What is wrong with a data set, or worth knowing about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

NAMED = 3

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault and the files that have it.

    Args:
        kind: a stable name for programs, such as `leak`.
        message: one line that says what to do.
        files: names relative to the data set; each item holds the files that belong together, one or more.
    """

    severity: Severity
    kind: str
    message: str
    files: tuple[tuple[str, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "count": len(self.files),
            "files": [list(names) for names in self.files],
        }


def error(kind: str, message: str, files: Iterable[tuple[str, ...]] = ()) -> Finding:
    """A fault that would spoil the training or its figures."""
    return Finding("error", kind, message, tuple(files))


def warning(kind: str, message: str, files: Iterable[tuple[str, ...]] = ()) -> Finding:
    """Something to look at."""
    return Finding("warning", kind, message, tuple(files))


def note(kind: str, message: str, files: Iterable[tuple[str, ...]] = ()) -> Finding:
    """Something to know, which may well be meant."""
    return Finding("note", kind, message, tuple(files))


def shorten(names: Sequence[object], most: int = NAMED) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`, `1,000 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
