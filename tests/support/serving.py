"""Cameras and a memory for the page of `onsight serve`, without threads and without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.errors import ConfigError
from pipeline.serve.types import Audit, CameraState, CameraStatus, Event, Gap
from pipeline.sources.live import hide_credentials
from pipeline.types import Annotated, Classification, Frame, Redacted

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeCameras:
    """Cameras that are in the state that a test puts them into."""

    def __init__(self, *names: str) -> None:
        self.cameras: dict[str, CameraStatus] = {}
        self.specs: dict[str, Mapping[str, Any]] = {}
        for name in names:
            self.put(name)

    def put(self, name: str, state: CameraState = "live", **values: Any) -> None:
        status = CameraStatus(name, state, START, fps=24.9, latency=0.041, frames=1200, width=1280, height=720)
        self.cameras[name] = replace(status, **values)

    def status(self) -> list[CameraStatus]:
        return list(self.cameras.values())

    def add(self, name: str, spec: Mapping[str, Any]) -> None:
        if name in self.cameras:
            raise ConfigError(f"there is a camera '{name}' already")
        self._check(spec)
        self.put(name, "connecting")
        self.specs[name] = spec

    def settings(self, name: str) -> Mapping[str, Any]:
        if name not in self.cameras:
            raise KeyError(name)
        spec = {"source": "rtsp://192.0.2.1/", **self.specs.get(name, {})}
        return {**spec, "source": hide_credentials(str(spec["source"]))}

    def change(self, name: str, spec: Mapping[str, Any]) -> None:
        if name not in self.cameras:
            raise KeyError(name)
        self._check({**self.settings(name), **spec})
        self.specs[name] = spec

    def remove(self, name: str) -> None:
        del self.cameras[name]

    def _check(self, spec: Mapping[str, Any]) -> None:
        if not isinstance(spec.get("source"), str):
            raise ConfigError("'source' is missing")


class FakeEvents:
    """A memory in a list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.missed: list[Gap] = []
        self.log: list[Audit] = []

    def put(self, number: int, *, start: datetime | None = None, **values: Any) -> Event:
        """Event number `number`, as old as it is low."""
        start = start or START + timedelta(minutes=number)
        event = Event(f"{number:06}", "gate", "anyone", "person", 0.87, start, start, start + timedelta(seconds=4))
        event = replace(event, box=(0.2, 0.3, 0.4, 0.9), path=((0.0, 0.3, 0.6),), track=number, **values)
        self.events = sorted([*self.events, event], key=lambda each: each.id, reverse=True)
        return event

    def search(
        self,
        *,
        cameras: Collection[str] = (),
        labels: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        rules: Collection[str] = (),
        before: str | None = None,
        limit: int = 50,
    ) -> list[Event]:
        found = [
            event
            for event in self.events
            if (not cameras or event.camera in cameras)
            and (not labels or event.label in labels)
            and (since is None or event.start >= since)
            and (until is None or event.start <= until)
            and (not rules or event.rule in rules)
            and (before is None or event.id < before)
        ]
        return found[:limit]

    def miss(self, number: int, start: datetime, seconds: float | None = 90, camera: str = "yard") -> None:
        """Gap number `number`."""
        end = None if seconds is None else start + timedelta(seconds=seconds)
        self.missed.insert(0, Gap(f"{number:06}", camera, start, end, "Connection refused"))

    def gaps(
        self,
        *,
        cameras: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Gap]:
        found = [
            gap
            for gap in self.missed
            if (not cameras or gap.camera in cameras)
            and (since is None or gap.end is None or gap.end >= since)
            and (until is None or gap.start < until)
            and (before is None or gap.id < before)
        ]
        return found[:limit]

    def get(self, id: str) -> Event | None:
        return next((event for event in self.events if event.id == id), None)

    def thumbnail_path(self, event: Event) -> Path | None:
        return self.folder / event.thumbnail if event.thumbnail else None

    def clip_path(self, event: Event) -> Path | None:
        return self.folder / event.clip if event.clip else None

    def delete(self, id: str, /) -> None:
        self.events = [event for event in self.events if event.id != id]

    def audit(self, user: str, action: str, what: str) -> None:
        self.log.insert(0, Audit(START, user, action, what))

    def audits(self, limit: int) -> list[Audit]:
        return self.log[:limit]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """The audit log without times, oldest first."""
        return [(entry.user, entry.action, entry.what) for entry in reversed(self.log)]


def picture(number: int = 0, size: tuple[int, int] = (72, 128)) -> np.ndarray:
    """A picture, height x width, that differs from number to number."""
    image = np.full((*size, 3), (40 + 7 * number % 200, 90, 60), np.uint8)
    cv2.rectangle(image, (number * 5 % size[1], 10), (number * 5 % size[1] + 20, 40), (80, 200, 240), -1)
    return image


def shown(image: np.ndarray) -> Annotated:
    """What a pipeline gives its sinks."""
    nothing = Classification(np.zeros(0, np.int64), np.zeros(0, np.float32), ())
    return Annotated(Redacted(Frame(image, "camera", 0, 0.0), nothing), image)
