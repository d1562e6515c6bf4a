"""The sink that makes events of a camera's frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.serve.encoding import FrameFeed
from pipeline.serve.memory import Memory
from pipeline.serve.packets import PacketReader
from pipeline.serve.types import Event
from pipeline.types import Annotated


class MemorySink:
    """Gives each frame to the memory of its camera, and what begins and ends with it to `tell`.

    Args:
        clips: where the packets of clips come from; a `FrameFeed` is given the frames. None: there are no clips.
    """

    draws = True

    def __init__(
        self, memory: Memory, tell: Callable[[Event], None], clips: PacketReader | FrameFeed | None = None
    ) -> None:
        self._memory = memory
        self._tell = tell
        self._clips = clips

    def write(self, item: Annotated) -> None:
        age = timedelta(seconds=time.perf_counter() - item.frame.born)
        for event in self._memory(item, datetime.now(UTC) - age):
            self._tell(event)
        if isinstance(self._clips, FrameFeed):
            assert item.frame.pts is not None
            self._clips.add(item.image, item.frame.pts)

    def pause(self) -> None:
        """The camera gives no pictures: what lasted has ended."""
        for event in self._memory.close():
            self._tell(event)
        if isinstance(self._clips, FrameFeed):
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
