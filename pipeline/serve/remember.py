"""The sink that makes events of a camera's frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pipeline.serve.memory import Memory
from pipeline.serve.types import Event
from pipeline.types import Annotated, Image


class ClipSource(Protocol):
    """Where the packets of a camera's clips come from."""

    def add(self, image: Image, pts: float) -> None:
        """The next frame, uint8 [H, W, 3], is shown now; `pts` is its time in seconds."""

    def pause(self) -> None:
        """No pictures come for now."""

    def end(self) -> None:
        """Closing comes soon. Does not wait."""

    def close(self) -> None:
        """Ends the clips; does not wait longer than a second, counted from `end`."""


class MemorySink:
    """Gives each frame to the memory of its camera, and what begins and ends with it to `tell`.

    Args:
        clips: None: there are no clips.
    """

    draws = True

    def __init__(self, memory: Memory, tell: Callable[[Event], None], clips: ClipSource | None = None) -> None:
        self._memory = memory
        self._tell = tell
        self._clips = clips

    def write(self, item: Annotated) -> None:
        age = timedelta(seconds=time.perf_counter() - item.frame.born)
        for event in self._memory(item, datetime.now(UTC) - age):
            self._tell(event)
        if self._clips is not None:
            assert item.frame.pts is not None
            self._clips.add(item.image, item.frame.pts)

    def pause(self) -> None:
        """The camera gives no pictures: what lasted has ended."""
        for event in self._memory.close():
            self._tell(event)
        if self._clips is not None:
            self._clips.pause()

    def end(self) -> None:
        """Closing comes soon."""
        if self._clips is not None:
            self._clips.end()

    def close(self, whole: bool = True) -> None:
        try:
            self.pause()
        finally:
            if self._clips is not None:
                self._clips.close()
