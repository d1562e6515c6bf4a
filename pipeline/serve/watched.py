"""One camera of many: how its frames come, and what becomes of them behind the model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pipeline.serve.rate import Rate
from pipeline.serve.types import CameraStatus
from pipeline.sinks.base import Sink, close_all
from pipeline.sources.base import Source
from pipeline.sources.state import Health
from pipeline.stream import finish
from pipeline.tally import Tally
from pipeline.trip import Stage
from pipeline.types import Annotated, Frame, Recognised, Redacted  # noqa: TID251 - passes it on


class CameraSink(Sink, Protocol):
    """A sink of one camera, which may be lost and come back."""

    def pause(self) -> None:
        """No pictures come for now. May be called again and again."""

    def end(self) -> None:
        """Closing comes soon: what takes its time to end begins to. Does not wait."""


@dataclass(eq=False)
class Watched:
    """A camera with the stages that are its own.

    Args:
        name: as the configuration has it.
        source: its frames, masked.
        health: how it is now, by `time.monotonic`.
        stages, redact, overlay: as in `stream.journey`.
        sinks: get every frame that is shown.
        gate: as in `stream.journey`.
        forget: called when the camera has been closed.
    """

    name: str
    source: Source
    health: Callable[[], Health]
    stages: Sequence[Stage]
    redact: Callable[[Recognised], Redacted | None]
    overlay: Callable[[Redacted], Annotated]
    sinks: Sequence[CameraSink]
    gate: Callable[[Frame], Frame] = lambda frame: frame
    forget: Callable[[], None] = lambda: None
    dropped: Callable[[], int] = lambda: 0
    tally: Tally = field(init=False)
    rate: Rate = field(default_factory=Rate)
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)  # who removes the camera is not who shows its frames

    def __post_init__(self) -> None:
        self.tally = Tally(self.name)

    def take(self, recognised: Recognised) -> None:
        """Brings a frame from the model to the sinks."""
        with self._lock:
            if self._closed:
                return
            annotated = finish(recognised, self.stages, self.redact, self.overlay, self.tally)
            if annotated is None:
                return
            for sink in self.sinks:
                sink.write(annotated)
            self.rate.tick(annotated.frame.born)

    def pause(self) -> None:
        """Tells the sinks that no pictures come for now."""
        with self._lock:
            for sink in () if self._closed else self.sinks:
                sink.pause()

    def end(self) -> None:
        """Closing comes soon: what takes its time to end begins to."""
        for sink in self.sinks:
            sink.end()

    def close(self) -> None:
        """Closes the sinks, all of them; frames that come later are shown no more.

        Raises:
            The first thing that one of them raised.
        """
        with self._lock:
            self._closed = True
            try:
                close_all((sink, True) for sink in self.sinks)
            finally:
                self.forget()

    def status(self) -> CameraStatus:
        """How it is now; called by any thread."""
        health, now = self.health(), time.monotonic()
        return CameraStatus(
            self.name,
            health.state,
            datetime.now(UTC) - timedelta(seconds=now - health.since),
            health.reason,
            self.rate.fps,
            self.rate.latency,
            self.tally.frames,
            self.dropped(),
            self.tally.withheld,
            health.gaps,
            health.gap_seconds(now),
            health.width,
            health.height,
        )
