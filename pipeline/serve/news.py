"""Brings events to who is to be told: a thread of its own, so that nobody who is slow or away holds up the cameras."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from pipeline.channel import Worker
from pipeline.errors import OnsightError
from pipeline.serve.notify.messages import Moment
from pipeline.serve.notify.mqtt import Mqtt
from pipeline.serve.notify.webhook import Webhooks
from pipeline.serve.types import CameraStatus, Event

_EVERY = 0.25  # seconds

_LOG = logging.getLogger(__name__)


class News:
    """Webhooks and MQTT, fed by any thread.

    Args:
        thumbnail: the JPEG of an event, if there is one.
    """

    def __init__(
        self,
        webhooks: Webhooks | None,
        mqtt: Mqtt | None,
        thumbnail: Callable[[Event], bytes | None],
    ) -> None:
        self._webhooks = webhooks
        self._mqtt = mqtt
        self._thumbnail = thumbnail
        self._events: deque[Event] = deque()
        if mqtt is not None:
            mqtt.start()
        self._worker = Worker(self._work, "notifications")

    def tell(self, event: Event) -> None:
        """An event has begun or, with its `end`, ended. Returns at once."""
        self._worker.check()
        self._events.append(event)

    def watch(self, rules: Mapping[str, Sequence[str]]) -> None:
        """These are the cameras and their rules from now on."""
        if self._mqtt is not None:
            self._mqtt.watch(rules)

    def report(self, cameras: Sequence[CameraStatus]) -> None:
        """Tells how the cameras are."""
        if self._mqtt is not None:
            self._mqtt.report(cameras)

    def close(self) -> None:
        """Tells what waits, and ends. Webhooks that do not take it now get it at the next start."""
        self._worker.close()
        if self._webhooks is not None:
            self._webhooks.close()
        if self._mqtt is not None:
            self._mqtt.close()

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY):
            self._tell_all()
            self._deliver()
        self._tell_all()

    def _tell_all(self) -> None:
        while self._events:
            event = self._events.popleft()
            try:
                self._tell(event, "started" if event.end is None else "ended")
            except OnsightError as error:
                _LOG.error("event %s was not told: %s", event.id, error)

    def _tell(self, event: Event, moment: Moment) -> None:
        if self._webhooks is not None:
            self._webhooks.tell(moment, event, time.time())
        if self._mqtt is not None:
            self._mqtt.tell(moment, event, self._thumbnail(event) if moment == "ended" else None)

    def _deliver(self) -> None:
        if self._webhooks is not None:
            self._webhooks.deliver(time.time())
