"""Copies events out of the store, and notes who did it."""

from __future__ import annotations

import getpass
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import SinkError
from pipeline.serve.listing import to_json
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.sinks.partial import finish, partial_path, write_text, writing


def export(store: EventStore, found: Iterable[Event], folder: Path, what: str) -> int:
    """Copies the clips and thumbnails of events into `folder`, with an `events.json` that describes them.

    The audit log is written first: who is not noted gets nothing.

    Args:
        what: what was asked for, for the audit log.

    Returns: the number of events.

    Raises:
        SinkError: the folder cannot be made or written to, or already holds an export.
        StoreError: the audit log cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if (folder / "events.json").exists():
        raise SinkError(f"{folder} holds an export already: choose another folder")
    store.audit(_user(), "export", what)
    store.flush()
    described = []
    for event in found:
        stem = _stem(event)
        thumbnail = _copy(store.thumbnail_path(event), folder, stem)
        clip = _copy(store.clip_path(event), folder, stem)
        described.append({**to_json(event), "thumbnail": thumbnail, "clip": clip})
    write_text(folder / "events.json", json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return len(described)


def _stem(event: Event) -> str:
    """As in `2026-11-26_08-30-00_yard_person_1f0c2b`."""
    words = (f"{event.start.astimezone():%Y-%m-%d_%H-%M-%S}", event.camera, event.label, event.id[-6:])
    return "_".join(re.sub(r"[^\w-]+", "-", word) for word in words)


def _copy(source: Path | None, folder: Path, stem: str) -> str | None:
    """Copies the file, if there is one, and returns its name in `folder`."""
    if source is None:
        return None
    target = folder / f"{stem}{source.suffix}"
    with writing(target):
        shutil.copyfile(source, partial_path(target))
        finish(target)
    return target.name


def _user() -> str:
    """The name of the user of this process at the operating system."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
