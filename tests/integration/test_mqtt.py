"""MQTT with a real broker: what a subscriber such as Home Assistant sees."""

import json
import os
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

paho = pytest.importorskip("paho.mqtt.client")

from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402

from pipeline.serve.notify.announced import Announced  # noqa: E402
from pipeline.serve.notify.broker import MqttConfig  # noqa: E402
from pipeline.serve.notify.mqtt import Mqtt  # noqa: E402
from pipeline.serve.types import CameraStatus, Event  # noqa: E402

BROKER = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(BROKER is None, reason="needs mosquitto: apt-get install mosquitto")

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
YARD = CameraStatus("yard", "live", START, fps=25.04)


def person(**changes: object) -> Event:
    values = {"id": "01", "camera": "yard", "rule": "people", "label": "person", "score": 0.9}
    return Event(**{**values, "start": START, "best": START, **changes})  # type: ignore[arg-type]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Broker:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")

    def start(self) -> None:
        self._process = subprocess.Popen([str(BROKER), "-c", str(self._file)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("the broker does not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


class Subscriber:
    """Sees all that is published, and what is retained."""

    def __init__(self, port: int) -> None:
        self._seen: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_message = lambda _, __, message: self._seen.put((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def wait_for(self, topic: str, *, seconds: float = 20) -> bytes:
        """The next message of this topic."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                seen, payload = self._seen.get(timeout=left)
            except queue.Empty:
                break
            if seen == topic:
                return payload
        raise AssertionError(f"nothing was published on {topic}")

    def say(self, topic: str) -> None:
        self._client.publish(topic, b"")

    def next(self) -> str:
        """The topic of the next message."""
        return self._seen.get(timeout=20)[0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    seen = Subscriber(broker.port)
    yield seen
    seen.close()


@pytest.fixture
def told(broker: Broker) -> Iterator[Mqtt]:
    made = mqtt(broker)
    made.watch({"yard": ["people", "Cars & trucks"]})
    made.start()
    yield made
    made.close()


def mqtt(broker: Broker, file: Path | None = None, **settings: Any) -> Mqtt:
    return Mqtt(MqttConfig(host="127.0.0.1", port=broker.port, **settings), Announced(file))


def test_cameras_are_found_and_events_are_told(subscriber, told):
    found = json.loads(subscriber.wait_for("homeassistant/device/onsight_yard/config"))
    occupancy = found["components"]["rule_people"]
    assert occupancy["device_class"] == "occupancy"
    assert subscriber.wait_for("onsight/status") == b"online"
    told.report([YARD])
    state = json.loads(subscriber.wait_for(found["components"]["connection"]["state_topic"]))
    assert (state["state"], state["fps"]) == ("live", 25.0)
    told.tell("started", person(), b"jpeg")
    assert json.loads(subscriber.wait_for("onsight/events"))["type"] == "event.started"
    assert json.loads(subscriber.wait_for("onsight/yard/event"))["event_type"] == "started"
    assert subscriber.wait_for(occupancy["state_topic"]) == b"ON"
    assert subscriber.wait_for(found["components"]["thumbnail"]["image_topic"]) == b"jpeg"
    told.tell("ended", person(end=START))
    assert subscriber.wait_for(occupancy["state_topic"]) == b"OFF"


def test_a_rule_is_on_while_any_of_its_events_lasts(subscriber, told):
    subscriber.wait_for("onsight/status")
    topic = "onsight/yard/rules/people"
    told.tell("started", person())
    assert subscriber.wait_for(topic) == b"ON"
    told.tell("started", person(id="02"))
    told.tell("ended", person())
    told.tell("ended", person(id="02"))
    assert subscriber.wait_for(topic) == b"OFF"


def test_who_comes_later_or_after_the_broker_was_away_sees_what_holds(broker, told):
    first = Subscriber(broker.port)
    first.wait_for("onsight/status")
    first.close()
    told.report([YARD])
    broker.stop()
    told.tell("started", person())
    broker.start()
    late = Subscriber(broker.port)
    assert json.loads(late.wait_for("onsight/yard/state"))["state"] == "live"
    later = Subscriber(broker.port)
    assert later.wait_for("onsight/yard/rules/people") == b"ON"
    late.close()
    later.close()


def test_a_camera_that_is_gone_is_withdrawn(subscriber, told):
    subscriber.wait_for("onsight/status")
    told.watch({"door": ["people"]})
    assert subscriber.wait_for("homeassistant/device/onsight_yard/config") == b""
    assert subscriber.wait_for("homeassistant/device/onsight_door/config") != b""


def retained(broker: Broker) -> set[str]:
    """The topics of what the broker keeps, the status aside."""
    late = Subscriber(broker.port)
    topics = {late.next()}  # it has subscribed
    late.say("end")
    while (topic := late.next()) != "end":
        topics.add(topic)
    late.close()
    return topics - {"onsight/status"}


def once(found: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not found():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def test_the_thumbnail_of_a_deleted_event_is_taken_back(broker, subscriber, told):
    subscriber.wait_for("onsight/status")
    told.tell("ended", person(id="01"), b"first")
    told.tell("ended", person(id="02"), b"second")
    assert told.shown == {"02"}
    assert subscriber.wait_for("onsight/yard/thumbnail") == b"first"
    assert subscriber.wait_for("onsight/yard/thumbnail") == b"second"
    told.forget(["01"])  # another one is shown
    told.forget(["02", "03"])
    assert subscriber.wait_for("onsight/yard/thumbnail") == b""
    once(lambda: told.report([]) or told.shown == set())
    assert "onsight/yard/thumbnail" not in retained(broker)


def test_what_went_while_nobody_was_there_is_taken_back(broker, tmp_path):
    file = tmp_path / "mqtt.json"
    first = mqtt(broker, file)
    first.watch({"yard": ["people", "cars"], "door": ["people"]})
    first.start()
    first.report([YARD])
    first.tell("ended", person(), b"jpeg")
    once(lambda: len(retained(broker)) == 7)
    first.close()
    again = mqtt(broker, file)
    assert again.shown == {"01"}
    again.watch({"yard": ["people"]})  # the broker is not there yet
    again.forget(["01"])
    assert json.loads(file.read_text()).keys() >= {"onsight/yard/thumbnail"}
    again.start()
    kept = {"homeassistant/device/onsight_yard/config", "onsight/yard/rules/people", "onsight/yard/state"}
    once(lambda: retained(broker) == kept)
    once(lambda: again.report([]) or json.loads(file.read_text()).keys() == kept)
    again.watch({"yard": ["people"], "door": ["people"]})  # it is back
    once(lambda: "onsight/door/rules/people" in retained(broker))
    again.close()


def test_a_list_that_cannot_be_used_costs_only_what_it_knew(tmp_path, caplog):
    file = tmp_path / "mqtt.json"
    file.write_text("[")
    assert Announced(file).topics == {}
    assert "is not known any more" in caplog.text
    kept = Announced(tmp_path / "nowhere" / "mqtt.json")
    kept.add("a")
    assert kept.topics == {"a": ""}
    assert "is not remembered" in caplog.text


def test_the_end_is_told(broker, subscriber):
    made = mqtt(broker, prefix="house/cameras", discovery=None)
    made.start()
    assert subscriber.wait_for("house/cameras/status") == b"online"
    made.close()
    assert subscriber.wait_for("house/cameras/status") == b"offline"
