"""MQTT: cameras and events for home automation, with Home Assistant's discovery."""

from __future__ import annotations

import json
import logging
import ssl
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pipeline.channel import Worker
from pipeline.errors import ConfigError
from pipeline.serve.notify.announced import Announced
from pipeline.serve.notify.broker import MqttConfig
from pipeline.serve.notify.discovery import OFF, OFFLINE, ON, ONLINE, Topics, device, slug
from pipeline.serve.notify.messages import Moment, to_message
from pipeline.serve.types import CameraStatus, Event

_QUEUED = 1000  # messages that wait for a broker that is away; older ones go first
_WAITS = (1, 120)  # seconds between tries to reconnect, doubling
_KEEP_ALIVE = 30
_AT_LEAST_ONCE = 1
_AT_MOST_ONCE = 0  # for what stands: the client must not send it again after it is told anew, and may be other
_ENDS = 1.0  # seconds that the end of the connection is waited for

_LOG = logging.getLogger(__name__)


class Mqtt:
    """A client that stays connected: what holds (states, discovery) is retained and told again after a reconnection,
    events are queued while the broker is away, a thousand at most. What holds no more is taken back, even if an
    earlier process announced it.

    Args:
        config: the broker.
        announced: what it keeps of ours.

    Raises:
        ConfigError: the certificate of the broker's authority cannot be read.
    """

    def __init__(self, config: MqttConfig, announced: Announced) -> None:
        self._config = config
        self._announced = announced
        self._topics = Topics(config.prefix)
        self._stale: dict[str, int] = {}  # what is to be taken back, by topic, and the number of the message that does
        self._taken: deque[int] = deque()  # numbers of messages
        self._standing: dict[str, str | bytes] = {}  # what is retained, by topic
        self._lasting: Counter[tuple[str, str]] = Counter()  # events that last, by camera and rule
        self._rules: dict[str, Sequence[str]] = {}
        self._missed: deque[tuple[str, str]] = deque(maxlen=_QUEUED)
        self._lock = Lock()  # the client tells of connections on a thread of its own
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        config = self._config
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"onsight-{config.node}", clean_session=True)
        client.will_set(self._topics.status, OFFLINE, _AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(*_WAITS)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        if config.username:
            client.username_pw_set(config.username, config.password.get_secret_value() if config.password else None)
        if config.tls or config.ca:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=str(config.ca) if config.ca else None))
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"the certificate of the MQTT broker's authority, {config.ca}: {error}") from None
        return client

    def start(self) -> None:
        """Connects in the background, and again whenever the connection is lost."""
        secure = self._config.tls or self._config.ca
        self._client.connect_async(self._config.host, self._config.port or (8883 if secure else 1883), _KEEP_ALIVE)
        self._client.loop_start()

    def close(self) -> None:
        """Says that nobody watches any more, and ends the connection."""
        if self._client.is_connected():
            self._client.publish(self._topics.status, OFFLINE, _AT_LEAST_ONCE, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        # It may be connecting, which cannot be interrupted.
        Worker(lambda _: self._stop_loop(), "connection to the MQTT broker").close(_ENDS)
        self._settle()

    def _stop_loop(self) -> None:
        self._client.loop_stop()

    def watch(self, rules: Mapping[str, Sequence[str]]) -> None:
        """These are the cameras and their rules from now on; what the broker keeps of others is taken back."""
        wanted = {topic for camera, names in rules.items() for topic in self._retained(camera, names)}
        self._take_back(self._announced.topics.keys() - wanted)
        self._rules = dict(rules)
        for camera, names in rules.items():
            if self._config.discovery:
                message = device(camera, names, self._topics, self._config.node)
                self._stand(self._discovery_topic(camera), json.dumps(message))
            for name in names:
                self._stand(self._topics.rule(camera, name), ON if self._lasting[camera, name] else OFF)

    @property
    def shown(self) -> set[str]:
        """The ids of the events whose thumbnails the broker keeps."""
        return {event for event in self._announced.topics.values() if event}

    def forget(self, events: Collection[str]) -> None:
        """Takes back the thumbnails of events, by their ids, that are deleted."""
        self._take_back({topic for topic, event in self._announced.topics.items() if event and event in events})

    def tell(self, moment: Moment, event: Event, thumbnail: bytes | None = None) -> None:
        """Publishes that an event has started or ended; `thumbnail` is a JPEG. Of a camera that is gone, nothing."""
        if event.camera not in self._rules:
            return
        message = to_message(moment, event)
        self._happen(self._topics.events, message)
        self._happen(self._topics.happened(event.camera), {"event_type": moment, **message["data"]})
        lasting = self._lasting[event.camera, event.rule] + (1 if moment == "started" else -1)
        self._lasting[event.camera, event.rule] = lasts = max(0, lasting)  # one may end that began before this process
        self._stand(self._topics.rule(event.camera, event.rule), ON if lasts else OFF)
        if thumbnail is not None:
            self._stand(self._topics.thumbnail(event.camera), thumbnail, event.id)

    def report(self, cameras: Iterable[CameraStatus]) -> None:
        """Publishes how the cameras are, where that has changed. To be called now and then."""
        for camera in cameras:
            self._stand(self._topics.camera(camera.name), json.dumps(_to_state(camera)))
        self._settle()

    def _retained(self, camera: str, rules: Sequence[str]) -> list[str]:
        topics = [self._topics.camera(camera), self._topics.thumbnail(camera)]
        topics += [self._topics.rule(camera, name) for name in rules]
        return [*topics, self._discovery_topic(camera)] if self._config.discovery else topics

    def _take_back(self, topics: Collection[str]) -> None:
        with self._lock:
            for topic in topics:
                self._standing.pop(topic, None)
                if topic not in self._stale:
                    self._stale[topic] = self._clear(topic) if self._client.is_connected() else 0

    def _clear(self, topic: str) -> int:
        return self._client.publish(topic, b"", _AT_LEAST_ONCE, retain=True).mid

    def _discovery_topic(self, camera: str) -> str:
        return f"{self._config.discovery}/device/{self._config.node}_{slug(camera)}/config"

    def _happen(self, topic: str, message: dict[str, Any]) -> None:
        with self._lock:
            if self._client.is_connected():
                self._client.publish(topic, json.dumps(message), _AT_LEAST_ONCE)
            else:
                self._missed.append((topic, json.dumps(message)))

    def _stand(self, topic: str, payload: str | bytes, event: str = "") -> None:
        with self._lock:
            if self._standing.get(topic) == payload:
                return
            self._stale.pop(topic, None)
            self._announced.add(topic, event)
            self._standing[topic] = payload
            if self._client.is_connected():
                self._client.publish(topic, payload, _AT_MOST_ONCE, retain=True)

    def _connected(self, client: paho.Client, *_: Any) -> None:
        _LOG.info("MQTT broker %s: connected", self._config.host)
        with self._lock:
            for topic, payload in self._standing.items():
                client.publish(topic, payload, _AT_MOST_ONCE, retain=True)
            self._stale = {topic: self._clear(topic) for topic in self._stale}
            client.publish(self._topics.status, ONLINE, _AT_LEAST_ONCE, retain=True)
            while self._missed:
                client.publish(*self._missed.popleft(), _AT_LEAST_ONCE)

    def _published(self, client: paho.Client, userdata: Any, mid: int, *_: Any) -> None:
        """The broker has taken a message. The client holds a lock of its own here: ours may not be waited for."""
        self._taken.append(mid)

    def _settle(self) -> None:
        """What the broker has taken back need not be remembered."""
        with self._lock:
            taken = {self._taken.popleft() for _ in range(len(self._taken))}
            for topic in [topic for topic, number in self._stale.items() if number in taken]:
                del self._stale[topic]
                self._announced.remove(topic)

    def _disconnected(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, *_: Any) -> None:
        if reason.is_failure:
            _LOG.warning("MQTT broker %s: %s; connecting again", self._config.host, reason)


def _to_state(camera: CameraStatus) -> dict[str, Any]:
    return {
        "state": camera.state,
        "since": camera.since.isoformat(),
        "reason": camera.reason,
        "fps": round(camera.fps, 1),
        "dropped": camera.dropped,
        "gaps": camera.gaps,
    }
