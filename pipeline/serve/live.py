"""Live pictures: of each camera the newest frame, encoded once for all who watch, and only if someone does.

    pipeline's thread ── publish ──> newest shot of each watched camera <── take ── viewers, on the server's event loop

A viewer that is slow skips pictures; it holds none back for the pipeline or for another viewer, and keeps none waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from pipeline.serve.shot import Picture, Shot
from pipeline.types import Annotated


class Full(Exception):  # noqa: N818 - not our fault and not the user's
    """As many watch as may."""


@dataclass(eq=False)
class _Feed:
    due: float = 0.0  # when the next frame may be shown, in seconds of `time.perf_counter`
    newest: Shot | None = None


class Live:
    """Where the pipeline leaves frames and viewers find them.

    Args:
        rate: pictures a second of one camera, at most; it shows no more than the camera gives.
        width: of the pictures, in pixels, at most.
        quality: of the JPEG, 1 to 100.
        viewers: how many may watch at once.
    """

    def __init__(self, rate: float = 15.0, width: int = 1280, quality: int = 80, viewers: int = 100) -> None:
        self._interval = 1 / rate
        self.width = width
        self.quality = quality
        self._most = viewers
        self._numbers = count(1)
        self._feeds: dict[str, _Feed] = {}  # of the watched cameras; changed on the event loop only
        self._viewers: set[Viewer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ended = False

    def publish(self, camera: str, item: Annotated) -> None:
        """Offers the next shown frame of `camera`. Called by the pipeline; costs nothing while nobody watches."""
        feed, now = self._feeds.get(camera), time.perf_counter()
        if feed is None or now < feed.due or self._loop is None:
            return
        late = now - feed.due
        feed.due = (feed.due if late < self._interval else now) + self._interval
        decoded = time.time() - (now - item.frame.born)
        feed.newest = Shot(camera, next(self._numbers), decoded, item.image.copy())
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._tell, camera)

    def forget(self, camera: str) -> None:
        """No frame of `camera` is the newest any more: it is lost, or is opened anew."""
        if (feed := self._feeds.get(camera)) is not None:
            feed.newest = None

    def sink(self, camera: str) -> LiveSink:
        """The sink of one camera's pipeline."""
        return LiveSink(self, camera)

    def end(self) -> None:
        """Sends every viewer away and lets no other in."""
        self.ended = True
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell)

    @property
    def watching(self) -> Counter[str]:
        """How many watch each camera."""
        return Counter(camera for viewer in tuple(self._viewers) for camera in viewer.cameras)

    def viewer(self) -> Viewer:
        """One more who watches, from the `with` block on. Called on the event loop.

        Raises:
            Full: there are enough, or the end has come.
        """
        if self.ended or len(self._viewers) >= self._most:
            raise Full
        self._loop = asyncio.get_running_loop()
        return Viewer(self)

    def _tell(self, camera: str | None = None) -> None:
        for viewer in self._viewers:
            if camera is None or camera in viewer.cameras:
                viewer.news.set()

    def _join(self, viewer: Viewer) -> None:
        self._viewers.add(viewer)

    def _leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._settle()

    def _settle(self) -> None:
        """Keeps a feed for every camera that someone watches and for no other."""
        watched = {camera for viewer in self._viewers for camera in viewer.cameras}
        for camera in self._feeds.keys() - watched:
            del self._feeds[camera]
        for camera in watched - self._feeds.keys():
            self._feeds[camera] = _Feed()

    def _shots(self, cameras: Collection[str]) -> list[Shot]:
        feeds = (self._feeds.get(camera) for camera in sorted(cameras))
        return [feed.newest for feed in feeds if feed is not None and feed.newest is not None]


class Viewer:
    """One who watches some cameras; used in a `with` block, on the event loop.

    Attributes:
        cameras: what is watched; `watch` changes it.
        news: set when there may be something to take.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._seen: dict[str, int] = {}
        self._busy: set[str] = set()
        self.cameras: frozenset[str] = frozenset()
        self.news = asyncio.Event()

    def __enter__(self) -> Self:
        self._live._join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live._leave(self)

    def watch(self, cameras: Collection[str]) -> None:
        self.cameras = frozenset(cameras)
        self._busy &= self.cameras
        self._live._settle()
        self.news.set()

    async def take(self, patience: float | None = None) -> list[Picture]:
        """The newest picture of each watched camera that this viewer has not had yet, as soon as there is one.

        A camera gives no further picture until `release` says that the last one has arrived.

        Args:
            patience: seconds to wait at most. The list is empty after that, and at the end of the server.
        """
        shots: list[Shot] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not self._live.ended and not (shots := self._fresh()):
                    self.news.clear()
                    await self.news.wait()
        for shot in shots:
            self._seen[shot.camera] = shot.number
            self._busy.add(shot.camera)
        return [await shot.develop(self._live.width, self._live.quality) for shot in shots]

    def release(self, camera: str) -> None:
        self._busy.discard(camera)
        self.news.set()

    def _fresh(self) -> list[Shot]:
        shots = self._live._shots(self.cameras - self._busy)
        return [shot for shot in shots if shot.number > self._seen.get(shot.camera, 0)]


class LiveSink:
    """Shows the frames of one camera to those who watch."""

    draws = True

    def __init__(self, live: Live, camera: str) -> None:
        self._live = live
        self._camera = camera

    def write(self, item: Annotated) -> None:
        self._live.publish(self._camera, item)

    def pause(self) -> None:
        """The camera gives no pictures: who begins to watch is not shown an old one."""
        self._live.forget(self._camera)

    def end(self) -> None:
        """Nothing here takes its time."""

    def close(self, whole: bool = True) -> None:
        """Viewers wait for the next frame of this camera."""
        self._live.forget(self._camera)
