"""What the page of `onsight serve` needs of the cameras and of the memory. Both are called from several threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.serve.types import Audit, CameraStatus, Event, Gap


class Cameras(Protocol):
    """The cameras that are watched."""

    def status(self) -> Sequence[CameraStatus]:
        """All of them as they are now, in the order in which they are shown."""

    def add(self, name: str, spec: Mapping[str, Any]) -> None:
        """Watches one more.

        Raises:
            ConfigError: the name is taken, or `spec` cannot be used.
        """

    def settings(self, name: str) -> Mapping[str, Any]:
        """The spec of a camera as it may be shown: its source without credentials.

        Raises:
            KeyError: there is no such camera.
        """

    def change(self, name: str, spec: Mapping[str, Any]) -> None:
        """Gives a camera other settings; without a source it keeps the one that it has.

        Raises:
            KeyError: there is no such camera.
            ConfigError: `spec` cannot be used; the camera goes on as it was.
        """

    def remove(self, name: str) -> None:
        """Watches it no more; its events stay.

        Raises:
            KeyError: there is no such camera.
        """


class Events(Protocol):
    """The memory of what was seen, and of who looked at it."""

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
    ) -> Sequence[Event]:
        """The newest events first; those older than the id `before`, where one is given."""

    def gaps(
        self,
        *,
        cameras: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[Gap]:
        """The newest times without pictures first; those older than the id `before`, where one is given."""

    def get(self, id: str) -> Event | None: ...

    def thumbnail_path(self, event: Event) -> Path | None:
        """A JPEG file inside the folder of the store; None: there is none."""

    def clip_path(self, event: Event) -> Path | None:
        """An mp4 file inside the folder of the store; None: there is none (yet)."""

    def delete(self, id: str, /) -> None:
        """Forgets an event and its files; one that is not there is forgotten already."""

    def audit(self, user: str, action: str, what: str) -> None: ...

    def audits(self, limit: int) -> Sequence[Audit]:
        """The newest first."""
