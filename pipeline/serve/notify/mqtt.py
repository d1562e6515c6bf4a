"""MQTT: cameras and events for home automation, with Home Assistant's discovery."""

from __future__ import annotations

import json
import logging
import ssl
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pipeline.errors import ConfigError
from pipeline.serve.notify.broker import MqttConfig
from pipeline.serve.notify.discovery import OFF, OFFLINE, ON, ONLINE, Topics, device, slug
from pipeline.serve.notify.messages import Moment, to_message
from pipeline.serve.types import CameraStatus, Event

_QUEUED = 1000  # messages that wait for a broker that is away; older ones go first
_WAITS = (1, 120)  # seconds between tries to reconnect, doubling
_KEEP_ALIVE = 30
_AT_LEAST_ONCE = 1

_LOG = logging.getLogger(__name__)


class Mqtt:
    """A client that stays connected: what holds (states, discovery) is retained and told again after a reconnection,
    events are queued while the broker is away, a thousand at most.

    Args:
        config: the broker.
        rules: the rules of each camera.

    Raises:
        ConfigError: the certificate of the broker's authority cannot be read.
    """

    def __init__(self, config: MqttConfig, rules: Mapping[str, Sequence[str]]) -> None:
        self._config = config
        self._topics = Topics(config.prefix)
        self._standing: dict[str, str | bytes] = {}  # what is retained, by topic
        self._lasting: Counter[tuple[str, str]] = Counter()  # events that last, by camera and rule
        self._rules: dict[str, Sequence[str]] = {}
        self._missed: deque[tuple[str, str]] = deque(maxlen=_QUEUED)
        self._lock = Lock()  # the client tells of connections on a thread of its own
        self._client = self._make_client()
        self.watch(rules)

    def _make_client(self) -> paho.Client:
        config = self._config
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"onsight-{config.node}", clean_session=True)
        client.will_set(self._topics.status, OFFLINE, _AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(*_WAITS)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
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
        self._client.loop_stop()

    def watch(self, rules: Mapping[str, Sequence[str]]) -> None:
        """These are the cameras and their rules from now on; those that are gone are withdrawn."""
        for camera in self._rules.keys() - rules.keys():
            self._withdraw(camera)
        self._rules = dict(rules)
        for camera, names in rules.items():
            if self._config.discovery:
                message = device(camera, names, self._topics, self._config.node)
                self._stand(self._discovery_topic(camera), json.dumps(message))
            for name in names:
                self._stand(self._topics.rule(camera, name), ON if self._lasting[camera, name] else OFF)

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
            self._stand(self._topics.thumbnail(event.camera), thumbnail)

    def report(self, cameras: Iterable[CameraStatus]) -> None:
        """Publishes how the cameras are, where that has changed."""
        for camera in cameras:
            self._stand(self._topics.camera(camera.name), json.dumps(_to_state(camera)))

    def _withdraw(self, camera: str) -> None:
        gone = [self._topics.camera(camera), self._topics.thumbnail(camera)]
        gone += [self._topics.rule(camera, name) for name in self._rules[camera]]
        gone += [self._discovery_topic(camera)] if self._config.discovery else []
        for topic in gone:
            with self._lock:
                self._standing.pop(topic, None)
            self._client.publish(topic, b"", _AT_LEAST_ONCE, retain=True)

    def _discovery_topic(self, camera: str) -> str:
        return f"{self._config.discovery}/device/{self._config.node}_{slug(camera)}/config"

    def _happen(self, topic: str, message: dict[str, Any]) -> None:
        with self._lock:
            if self._client.is_connected():
                self._client.publish(topic, json.dumps(message), _AT_LEAST_ONCE)
            else:
                self._missed.append((topic, json.dumps(message)))

    def _stand(self, topic: str, payload: str | bytes) -> None:
        with self._lock:
            if self._standing.get(topic) == payload:
                return
            self._standing[topic] = payload
            if self._client.is_connected():
                self._client.publish(topic, payload, _AT_LEAST_ONCE, retain=True)

    def _connected(self, client: paho.Client, *_: Any) -> None:
        _LOG.info("MQTT broker %s: connected", self._config.host)
        with self._lock:
            for topic, payload in self._standing.items():
                client.publish(topic, payload, _AT_LEAST_ONCE, retain=True)
            client.publish(self._topics.status, ONLINE, _AT_LEAST_ONCE, retain=True)
            while self._missed:
                client.publish(*self._missed.popleft(), _AT_LEAST_ONCE)

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
