"""How a camera is: a state machine without a clock, a thread or a connection of its own.

    connecting ──picture──> live <──picture── stalled      no picture for a while, or a wrong one
        │                    │ └──────────────^  │
        └──lost──> waiting <─┴──────lost─────────┘         until the next try
                   failed: lost for a reason that lasts

A picture makes it live (or stalled, if something is wrong with it) from any state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

CameraState = Literal["connecting", "live", "stalled", "waiting", "failed"]
"""`connecting` for the first time, `live`, `stalled` (connected, but no picture comes, or always the same one),
`waiting` until the next try to reconnect, `failed` (nothing but a change of its settings can help)."""

_KEPT = 20
_SILENT = "connected, but no picture came"


class Gap(NamedTuple):
    """A time without pictures, from the last one before it to the first one after it, in seconds; `end` is None while
    it lasts. `reason` is one line why: the last one that became known.
    """

    start: float
    end: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """A value: every event gives the next one. All times are seconds on a clock that never goes back.

    Args:
        since: when `state` began.
        newest: when the newest picture came; before the first one, when the camera was asked for.
        stall: seconds without a picture after which it is stalled.
        reason: one line why it is not live; None: it is, or connects for the first time.
        gaps: how many there have been, the one that lasts included.
        recent: the latest of them, oldest first.
        past: the sum of those that are over.
        first: when the first picture came; None: none has.
        width, height: of the newest picture, in pixels; 0: none has come.
    """

    since: float
    newest: float
    stall: float
    state: CameraState = "connecting"
    reason: str | None = None
    gaps: int = 0
    recent: tuple[Gap, ...] = ()
    past: float = 0.0
    first: float | None = None
    width: int = 0
    height: int = 0

    def pictured(self, now: float, width: int, height: int, trouble: str | None = None) -> Health:
        """A picture came; `trouble` says what is wrong with it."""
        before = self.at(now)
        recent, past = before.recent, before.past
        if before._in_gap:
            recent, past = (*recent[:-1], recent[-1]._replace(end=now)), past + now - recent[-1].start
        state: CameraState = "stalled" if trouble else "live"
        same = before.state == state and not before._in_gap
        return replace(
            before,
            since=before.since if same else now,
            newest=now,
            state=state,
            reason=trouble,
            recent=recent,
            past=past,
            first=now if before.first is None else before.first,
            width=width,
            height=height,
        )

    def lost(self, now: float, reason: str, *, lasting: bool = False) -> Health:
        """The connection broke, or could not be made. `lasting`: it cannot be until somebody changes something."""
        before = self.at(now)._with_gap(reason)
        state: CameraState = "failed" if lasting else "waiting"
        return replace(before, since=before.since if before.state == state else now, state=state, reason=reason)

    def at(self, now: float) -> Health:
        """The same, as it is `now` if nothing else happened: without a picture it stalls."""
        if self.state not in ("live", "stalled") or now - self.newest < self.stall:
            return self
        silent = f"connected, but no picture has come for {now - self.newest:.0f} s"
        if self._in_gap:
            return replace(self, reason=silent)
        return replace(self._with_gap(_SILENT), state="stalled", since=self.newest + self.stall, reason=silent)

    def gap_seconds(self, now: float) -> float:
        """All gaps together, the one that lasts included."""
        return self.past + (now - self.recent[-1].start if self._in_gap else 0.0)

    @property
    def _in_gap(self) -> bool:
        return bool(self.recent) and self.recent[-1].end is None

    def _with_gap(self, reason: str) -> Health:
        """A gap lasts since the newest picture."""
        if self._in_gap:
            return replace(self, recent=(*self.recent[:-1], self.recent[-1]._replace(reason=reason)))
        return replace(self, gaps=self.gaps + 1, recent=(*self.recent, Gap(self.newest, None, reason))[-_KEPT:])
