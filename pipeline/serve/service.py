"""`onsight serve`, put together: cameras, their memory, the page, and who is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from pipeline import schedule
from pipeline.channel import Worker
from pipeline.errors import OnsightError
from pipeline.extras import needing
from pipeline.serve.cameras import Cameras
from pipeline.serve.config import CameraSpec, ServeConfig
from pipeline.serve.diary import Diary
from pipeline.serve.eye import Eye
from pipeline.serve.live import Live
from pipeline.serve.news import News
from pipeline.serve.notify.announced import Announced
from pipeline.serve.notify.outbox import Outbox
from pipeline.serve.notify.webhook import Webhooks
from pipeline.serve.opening import Opener
from pipeline.serve.recovery import recover
from pipeline.serve.registry import Registry
from pipeline.serve.retention import Retention
from pipeline.serve.rules import EVERYTHING
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.serve.web.app import create_app
from pipeline.serve.web.server import WebServer
from pipeline.serve.web.settings import WebSettings, recording_notice
from pipeline.sources.memory import give_back

_ATTEND = 1.0  # seconds
_GIVE_BACK = 60  # times to look, and memory that was freed goes back to the system
_RESTARTING = sorted(ServeConfig.model_fields.keys() - {"cameras", "rules"})

_LOG = logging.getLogger(__name__)


def serve(
    config: ServeConfig,
    stop: threading.Event,
    reread: Callable[[], ServeConfig | None],
    tell: Callable[[str, Eye], None],
) -> None:
    """Watches until `stop` is set; then ends within five seconds.

    Args:
        reread: asked every second; returns a new configuration where there is one. Of that the cameras and rules are
            taken over; all else needs a restart.
        tell: is given the address of the page and the model, once both work.

    Raises:
        OnsightError: something cannot be opened as `config` says.
    """
    eye = Eye(config, len(config.cameras))
    with ExitStack() as stack:
        store = _open_store(config, stack)
        left = recover(store)
        retention = Retention(store, config.store.keep_for, config.store.max_size)
        stack.callback(retention.close)
        news = _open_news(config, store, stack)
        live = Live(config.web.rate, config.web.width, config.web.quality, config.web.viewers)
        cut = config.store.clips.cut if config.store.clips else None
        opener = Opener(eye, live, store, news, cut, config.rules)
        plan = eye.plan
        cameras = Cameras[CameraSpec](opener, eye.recognisers, stop, plan.batch, plan.wait, alone=plan.alone)
        registry = Registry(cameras, config.store.folder / "cameras.yaml")
        web = _with_notice(config)
        server = stack.enter_context(WebServer(create_app(web, live, registry, store), web, live))

        def end() -> None:
            stop.set()  # it may be a fault that ends all
            server.end()

        registry.configure(config.cameras)
        news.watch(_rules_of(opener, cameras))
        for event in left:
            news.tell(event)
        diary = Diary(store)
        stack.callback(diary.close)
        others = (store, retention, news, server)
        attendant = _Attendant(cameras, registry, opener, news, diary, reread, config, stop, others)
        stack.callback(Worker(attendant, "attendant", stop.set).close)
        tell(server.url, eye)
        with schedule.opencv_threads(plan.opencv):
            cameras.run(end)


def _open_store(config: ServeConfig, stack: ExitStack) -> EventStore:
    wanted = config.store
    store = EventStore(wanted.url.get_secret_value() if wanted.url else wanted.folder, wanted.folder)
    stack.callback(store.close)
    return store


def _open_news(config: ServeConfig, store: EventStore, stack: ExitStack) -> News:
    webhooks, mqtt = None, None
    if config.webhooks:
        outbox = Outbox(config.store.folder / "outbox.db")
        stack.callback(outbox.close)
        webhooks = Webhooks(config.webhooks, outbox)
    if config.mqtt is not None:
        with needing("mqtt"):
            from pipeline.serve.notify.mqtt import Mqtt
        mqtt = Mqtt(config.mqtt, Announced(config.store.folder / "mqtt.json"))
        store.on_delete = mqtt.forget
        mqtt.forget({event for event in mqtt.shown if store.get(event) is None})
    news = News(webhooks, mqtt, lambda event: _thumbnail(store, event))
    stack.callback(news.close)
    return news


def _thumbnail(store: EventStore, event: Event) -> bytes | None:
    try:
        store.flush()
        known = store.get(event.id)
        path = None if known is None else store.thumbnail_path(known)
        return None if path is None else path.read_bytes()
    except (OnsightError, OSError):  # it is told without
        return None


def _with_notice(config: ServeConfig) -> WebSettings:
    if "notice" in config.web.model_fields_set:
        return config.web
    return config.web.model_copy(update={"notice": recording_notice(config.store.keep, config.store.clips is not None)})


def _rules_of(opener: Opener, cameras: Cameras[CameraSpec]) -> dict[str, list[str]]:
    """The names of each camera's rules."""
    rules = opener.rules or (EVERYTHING,)
    return {name: [rule.name for rule in rules if not rule.cameras or name in rule.cameras] for name in cameras.specs}


class _Checked(Protocol):
    def check(self) -> None:
        """Raises why it works no more, if it does not."""


@dataclass
class _Attendant:
    """Looks every second after the cameras, and after `others`, without which nobody should believe that all is well:
    when one of them has failed, the attendant fails, too, and all ends. Takes over a new configuration. Gives memory
    back each minute.
    """

    cameras: Cameras[CameraSpec]
    registry: Registry
    opener: Opener
    news: News
    diary: Diary
    reread: Callable[[], ServeConfig | None]
    config: ServeConfig
    ending: threading.Event
    others: Sequence[_Checked]

    def __call__(self, stop: threading.Event) -> None:
        for looks in count(1):
            if stop.wait(_ATTEND):
                return
            for other in self.others:
                other.check()
            if (config := self.reread()) is not None:
                self._take_over(config)
            self._look()
            if looks % _GIVE_BACK == 0:  # a minute in which much was seen would leave its pictures' memory for ever
                give_back()

    def _look(self) -> None:
        status, health, rules = self.cameras.attend(), self.cameras.health(), _rules_of(self.opener, self.cameras)
        if self.ending.is_set():  # they may be gone already, which nobody has to be told
            return
        self.news.watch(rules)
        self.news.report(status)
        self.diary.write(health)

    def _take_over(self, config: ServeConfig) -> None:
        before, self.opener.rules = self.opener.rules, config.rules
        try:
            self.registry.configure(config.cameras, anew=True)  # files of masks and zones may have changed, too
        except OnsightError as error:
            self.opener.rules = before
            _LOG.error("the new configuration cannot be used, all stays as it was: %s", error)
            return
        kept = [key for key in _RESTARTING if getattr(config, key) != getattr(self.config, key)]
        if kept:
            _LOG.error("the configuration was read again, but a restart is needed for: %s", ", ".join(kept))
        else:
            _LOG.warning("the configuration was read again")
