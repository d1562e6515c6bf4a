"""What the page shows besides pictures, asked for once a second however many watch."""

from __future__ import annotations

import json
import time
from asyncio import Lock
from collections.abc import Sequence

import anyio.to_thread

from pipeline.errors import OnsightError
from pipeline.serve.protocols import Cameras, Events
from pipeline.serve.types import CameraStatus
from pipeline.serve.web.wire import CameraOut

INTERVAL = 1.0  # seconds
_NEWEST = 20  # events and gaps that are looked at for changes


class Board:
    """The state of the cameras, and a mark that changes when one of the newest events or gaps does."""

    def __init__(self, cameras: Cameras, events: Events) -> None:
        self._cameras = cameras
        self._events = events
        self._lock = Lock()
        self._asked = -INTERVAL
        self.status: Sequence[CameraStatus] = ()
        self.text = ""

    async def refresh(self) -> None:
        """Brings `status` and `text` up to date, unless they are."""
        async with self._lock:
            if time.monotonic() - self._asked >= INTERVAL:
                self.status, self.text = await anyio.to_thread.run_sync(self._ask)
                self._asked = time.monotonic()

    def _ask(self) -> tuple[Sequence[CameraStatus], str]:
        status = self._cameras.status()
        cameras = [CameraOut.of(each).model_dump(mode="json") for each in status]
        return status, json.dumps({"cameras": cameras, "events": self._mark()})

    def _mark(self) -> str:
        try:
            newest = self._events.search(limit=_NEWEST)
            gaps = self._events.gaps(limit=_NEWEST)
        except OnsightError:  # the cameras are shown all the same; who asks for events is told
            return ""
        seen = [(each.id, each.end, each.thumbnail, each.clip) for each in newest]
        return f"{hash((*seen, *gaps)):x}"
