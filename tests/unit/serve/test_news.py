import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.watching import event

from pipeline.errors import SinkError
from pipeline.serve.news import News

PATIENCE = 10.0


class Hooks:
    """A webhook that does not answer until the end of the test."""

    names = ("alarm",)

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.hangs, self.answer = threading.Event(), threading.Event()
        self.fails = False

    def tell(self, moment, event, now) -> None:
        if self.fails:
            raise SinkError("the disk is full")
        self.told.append((moment, event.id))

    def deliver(self, name, now, stop) -> int:
        self.hangs.set()
        self.answer.wait(PATIENCE)
        return 0

    def close(self) -> None: ...


class Broker:
    """MQTT."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bytes | None]] = []
        self.came = threading.Condition()
        self.closed = False

    def start(self) -> None: ...

    def tell(self, moment, event, thumbnail) -> None:
        with self.came:
            assert not self.closed
            self.told.append((moment, event.id, thumbnail))
            self.came.notify_all()

    def wait_for(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.told) >= count, PATIENCE)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    hooks = Hooks()
    yield hooks
    hooks.answer.set()


def test_who_is_slow_keeps_nobody_waiting(hooks):
    broker = Broker()
    news = News(hooks, broker, lambda event: b"jpeg")
    begun, ended = event(lasted=None), event()
    assert hooks.hangs.wait(PATIENCE)
    news.tell(begun)
    news.tell(ended)
    broker.wait_for(2)
    assert broker.told == [("started", begun.id, None), ("ended", ended.id, b"jpeg")]
    last = [event(number) for number in range(20)]
    for each in last:
        news.tell(each)
    news.close()  # while they still hang
    everything = [("started", begun.id), *(("ended", each.id) for each in (ended, *last))]
    assert [told[:2] for told in broker.told] == everything
    assert hooks.told == everything
    assert broker.closed


def test_a_full_disk_costs_webhooks_alone(hooks, caplog):
    hooks.answer.set()
    hooks.fails = True
    broker = Broker()
    news = News(hooks, broker, lambda event: None)
    news.tell(event())
    broker.wait_for(1)
    news.tell(event())
    news.close()
    assert len(broker.told) == 2
    assert set(caplog.messages) == {"notifications: the disk is full"}


def test_of_too_many_that_wait_the_oldest_are_lost(monkeypatch, caplog):
    monkeypatch.setattr("pipeline.serve.news._MOST", 5)
    reached, goes_on = threading.Event(), threading.Event()

    class Hanging(Broker):
        def tell(self, moment, event, thumbnail) -> None:
            reached.set()
            assert goes_on.wait(PATIENCE)
            super().tell(moment, event, thumbnail)

    broker = Hanging()
    news = News(None, broker, lambda event: None)
    all_of_them = [event(number) for number in range(21)]
    news.tell(all_of_them[0])
    assert reached.wait(PATIENCE)
    for each in all_of_them[1:]:
        news.tell(each)
    goes_on.set()
    news.close()
    assert [told[1] for told in broker.told] == [each.id for each in (all_of_them[0], *all_of_them[-5:])]
    assert caplog.messages == ["notifications are lost: too many wait", "15 notifications were lost"]


def test_a_fault_is_raised_where_it_is_asked_for():
    class Broken(Broker):
        def tell(self, moment, event, thumbnail) -> None:
            raise ZeroDivisionError

    news = News(None, Broken(), lambda event: None)
    news.tell(replace(event(), end=None))
    with pytest.raises(ZeroDivisionError):
        news.close()
    with pytest.raises(ZeroDivisionError):
        news.tell(event())


def test_nobody_to_tell():
    news = News(None, None, lambda event: None)
    news.watch({"yard": ["seen"]})
    news.report([])
    news.tell(event())
    news.close()


def test_the_end_of_an_event_that_began_before_this_process_leaves_later_ones_on():
    pytest.importorskip("paho.mqtt.client")
    from pipeline.serve.notify.announced import Announced
    from pipeline.serve.notify.broker import MqttConfig
    from pipeline.serve.notify.mqtt import Mqtt

    mqtt = Mqtt(MqttConfig(host="127.0.0.1"), Announced(None))
    mqtt.watch({"yard": ["seen"]})
    topic = mqtt._topics.rule("yard", "seen")
    mqtt.tell("ended", event())
    assert mqtt._standing[topic] == "OFF"
    mqtt.tell("started", event(1, lasted=None))
    assert mqtt._standing[topic] == "ON"
    mqtt.tell("ended", event(1))
    assert mqtt._standing[topic] == "OFF"


def test_without_mqtt_its_package_is_not_needed():
    script = "import sys; sys.modules['paho'] = None; import pipeline.serve.service"
    subprocess.run([sys.executable, "-c", script], check=True)
