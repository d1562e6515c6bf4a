"""The files of the store: where the thumbnails and clips of events lie, a folder a day."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import IO

from pipeline.errors import StoreError
from pipeline.serve.thumbnails import to_jpeg
from pipeline.serve.types import Event
from pipeline.sinks.partial import finish, partial_path
from pipeline.types import Image

_FOLDERS = {"thumbnails": ".jpg", "clips": ".mp4"}
_ID = re.compile(r"[0-9a-f]{32}")


class Files:
    """Thumbnails and clips below a folder, named by the event's id.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        try:
            for name in _FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {folder} for events cannot be made: {error.strerror}") from None

    def claim(self) -> None:
        """Makes this process the one that watches; it is that until `release`, or until it ends, however that happens.

        Raises:
            StoreError: another one is.
        """
        try:
            self._lock = open(self.folder / "watching.lock", "a")  # noqa: SIM115
        except OSError as error:
            raise StoreError(f"the folder {self.folder} for events cannot be written: {error.strerror}") from None
        try:
            _lock(self._lock)
        except OSError:
            self.release()
            raise StoreError(f"another process writes events to {self.folder}: end it, or give another store") from None

    def release(self) -> None:
        """Ends the claim, if there is one."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def thumbnail(self, event: Event) -> str:
        """Where it belongs, relative to the folder."""
        return self._place(event, "thumbnails")

    def clip(self, event: Event) -> str:
        return self._place(event, "clips")

    def path(self, name: str | None) -> Path | None:
        """The file of this relative name, if it is there."""
        path = None if name is None else self.folder / name
        return path if path is not None and path.is_file() else None

    def size(self, names: tuple[str | None, ...]) -> int:
        """Bytes of those of these files that are there."""
        total = 0
        for name in names:
            with suppress(OSError):
                total += 0 if name is None else (self.folder / name).stat().st_size
        return total

    def prepare(self, name: str) -> Path:
        """The path of a file to be written; makes the folder around it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_thumbnail(self, name: str, picture: Image) -> None:
        """Writes a JPEG aside and gives it its name.

        Raises:
            OSError: it cannot be written; an older one is still there.
        """
        path = self.prepare(name)
        partial = partial_path(path)
        try:
            partial.write_bytes(to_jpeg(picture))
            finish(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def remove(self, *names: str | None) -> None:
        """Deletes these files, and the folder of a day when its last file has gone.

        Raises:
            OSError: one cannot be deleted.
        """
        for path in (self.folder / name for name in names if name is not None):
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def remove_partial(self) -> None:
        """Deletes what a process that was killed had begun to write."""
        for kind, suffix in _FOLDERS.items():
            for path in (self.folder / kind).rglob(f"*.partial{suffix}"):
                path.unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, str, str]]:
        """Kind (`thumbnails`, `clips`), id of the event and relative name of every finished file."""
        for kind, suffix in _FOLDERS.items():
            for path in (self.folder / kind).rglob(f"*{suffix}"):
                if _ID.fullmatch(path.stem):
                    yield kind, path.stem, path.relative_to(self.folder).as_posix()

    def _place(self, event: Event, kind: str) -> str:
        return f"{kind}/{event.start.astimezone(UTC):%Y-%m-%d}/{event.id}{_FOLDERS[kind]}"


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
