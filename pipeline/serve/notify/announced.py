"""What the broker keeps of ours, remembered over restarts: nobody else would ever take it back."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pipeline.errors import SinkError
from pipeline.sinks.partial import write_text

_LOG = logging.getLogger(__name__)


class Announced:
    """The topics of retained messages, kept in `file` (None: nowhere), each with the event that it shows, or "".

    A file that cannot be read counts as empty; one that cannot be written costs what a restart would have known.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._topics = _read(file)

    @property
    def topics(self) -> dict[str, str]:
        return dict(self._topics)

    def add(self, topic: str, event: str = "") -> None:
        """To be called before the message is published."""
        if self._topics.get(topic) != event:
            self._topics[topic] = event
            self._write()

    def remove(self, topic: str) -> None:
        """To be called when the broker has nothing there any more."""
        if self._topics.pop(topic, None) is not None:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            write_text(self._file, json.dumps(self._topics, indent=1) + "\n")
        except SinkError as error:
            _LOG.error("what is announced by MQTT is not remembered: %s", error)


def _read(file: Path | None) -> dict[str, str]:
    if file is None or not file.is_file():
        return {}
    try:
        topics = json.loads(file.read_text(encoding="utf-8"))
        return {str(topic): str(event) for topic, event in topics.items()}
    except (OSError, ValueError, AttributeError) as error:
        _LOG.error("what was announced by MQTT is not known any more: %s: %s", file, error)
        return {}
