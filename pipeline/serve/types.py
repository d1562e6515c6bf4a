"""What cameras, store, page and alerts of `onsight serve` tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.sources.state import CameraState as CameraState


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A camera as it is now.

    Args:
        since: when `state` began, UTC.
        reason: one line why it is not live, without credentials; None: it is.
        fps: shown frames a second, of the last few seconds.
        latency: seconds from the decoded to the shown frame, the 99th percentile of the last few seconds; None: none.
        frames, dropped, withheld: since the camera was added; as in `Tally`.
        gaps: how often no picture came, and `gap_seconds` how long in sum.
        width, height: of the newest frame, in pixels; 0: none has come.
    """

    name: str
    state: CameraState
    since: datetime
    reason: str | None = None
    fps: float = 0.0
    latency: float | None = None
    frames: int = 0
    dropped: int = 0
    withheld: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What was seen: a track, or an episode of a class without tracking, from its first frame to its last.

    Args:
        id: unique, and ordered by the time of its start.
        rule: the rule that it fulfilled.
        score: the best one.
        start, end, best: first and last time seen, and the time of the best frame; UTC. `end` is None while it lasts.
        box: x1, y1, x2, y2 in the best frame, as fractions of its width and height; None of a classification.
        path: seconds since `start` and the centre of the box, as fractions.
        track: its number; None without tracking.
        zones: the names of those that it was in.
        thumbnail, clip: files, relative to the folder of the store; None: there is none (yet).
    """

    id: str
    camera: str
    rule: str
    label: str
    score: float
    start: datetime
    best: datetime
    end: datetime | None = None
    box: tuple[float, float, float, float] | None = None
    path: tuple[tuple[float, float, float], ...] = ()
    track: int | None = None
    zones: tuple[str, ...] = ()
    thumbnail: str | None = None
    clip: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a camera gave no pictures.

    Args:
        id: unique, and ordered by the time of its start.
        start, end: UTC, from the last picture to the next one. `end` is None while it lasts.
        reason: one line why, without credentials.
    """

    id: str
    camera: str
    start: datetime
    end: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Who did what.

    Args:
        action: such as `view`, `export`, `delete`.
        what: the id of an event, a page, or a search.
    """

    time: datetime
    user: str
    action: str
    what: str
