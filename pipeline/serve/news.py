"""Brings events to who is to be told, on threads of its own, one for each webhook: nobody who is slow or away holds up
the cameras, or anybody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pipeline.channel import Worker
from pipeline.errors import OnsightError
from pipeline.serve.notify.messages import Moment
from pipeline.serve.notify.webhook import Webhooks
from pipeline.serve.types import CameraStatus, Event

if TYPE_CHECKING:
    from pipeline.serve.notify.mqtt import Mqtt  # needs an extra

_EVERY = 0.25  # seconds
_MOST = 10_000  # events that wait to be told
_PATIENCE = 1.0  # seconds; a receiver that answers slowly is not waited for at the end: it gets the message again

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
        self._events: deque[Event] = deque(maxlen=_MOST)
        self._lost = 0  # of them, as too many waited
        self._told: dict[str, str] = {}  # what went wrong last, by who was at work
        if mqtt is not None:
            mqtt.start()
        self._workers = [Worker(self._tell_on, "notifications")]
        for name in webhooks.names if webhooks is not None else ():
            self._workers.append(Worker(partial(self._deliver_on, name), f"webhook {name}"))

    def check(self) -> None:
        """Raises why it tells no more, if it does not."""
        for worker in self._workers:
            worker.check()

    def tell(self, event: Event) -> None:
        """An event has begun or, with its `end`, ended. Returns at once."""
        self.check()
        if len(self._events) == self._events.maxlen:
            if not self._lost:
                _LOG.error("notifications are lost: too many wait")
            self._lost += 1
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
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.close(_PATIENCE)
        if self._webhooks is not None:
            self._webhooks.close()
        if self._mqtt is not None:
            self._mqtt.close()

    def _tell_on(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY):
            self._tell_all()
        self._tell_all()

    def _deliver_on(self, name: str, stop: threading.Event) -> None:
        assert self._webhooks is not None
        while not stop.wait(_EVERY):
            with self._surviving(name):
                self._webhooks.deliver(name, time.time(), stop)

    def _tell_all(self) -> None:
        while self._events:
            event = self._events.popleft()
            moment: Moment = "started" if event.end is None else "ended"
            if self._mqtt is not None:
                self._mqtt.tell(moment, event, self._thumbnail(event) if moment == "ended" else None)
            if self._webhooks is not None:
                with self._surviving("*"):
                    self._webhooks.tell(moment, event, time.time())
        if self._lost:
            _LOG.warning("%d notifications were lost", self._lost)
            self._lost = 0

    @contextmanager
    def _surviving(self, work: str) -> Iterator[None]:
        """A disk that is full, or a file that is gone, costs notifications, not watching."""
        try:
            yield
        except (OnsightError, OSError) as error:
            if str(error) != self._told.get(work):
                _LOG.error("notifications: %s", error)
            self._told[work] = str(error)
        else:
            self._told.pop(work, None)
