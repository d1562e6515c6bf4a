import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
httpx = pytest.importorskip("httpx")

from pydantic import ValidationError  # noqa: E402
from standardwebhooks import Webhook as Signer  # noqa: E402

from pipeline.errors import SinkError  # noqa: E402
from pipeline.serve.news import News  # noqa: E402
from pipeline.serve.notify import webhook  # noqa: E402
from pipeline.serve.notify.outbox import Outbox  # noqa: E402
from pipeline.serve.notify.webhook import WebhookConfig, Webhooks  # noqa: E402
from pipeline.serve.types import Event  # noqa: E402

SECRET = "whsec_" + "QUJD" * 8
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PERSON = Event(
    "01", "yard", "people", "person", 0.875, START, START, box=(0.1, 0.2, 0.3, 0.4), track=7, zones=("gate",)
)


class Receiver(HTTPServer):
    """Answers with the statuses of `answers`, the last one again and again, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = [200]
        self.answers_when = threading.Event()
        self.answers_when.set()
        self.taken: list[tuple[dict[str, str], str]] = []

    @property
    def url(self) -> str:
        return f"http://user:hush@127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.answers_when.wait(10)
        answers = self.server.answers
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        self.send_header("location", "http://127.0.0.1:1/")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving() as server:
        yield server


@contextmanager
def serving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def hooks(folder: Path, **urls: str) -> Iterator[Webhooks]:
    outbox = Outbox(folder / "outbox.sqlite")
    made = Webhooks({name: WebhookConfig(url=url, secret=SECRET) for name, url in urls.items()}, outbox)
    yield made
    made.close()
    outbox.close()


def deliver(sent: Webhooks, at: float | None = None) -> int:
    """To all, one after the other."""
    return sum(sent.deliver(name, now() if at is None else at, threading.Event()) for name in sent.names)


def now(seconds: float = 0) -> float:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).timestamp()


def test_a_receiver_can_verify_what_it_is_sent(tmp_path, receiver):
    with hooks(tmp_path, alarm=receiver.url) as sent:
        sent.tell("started", PERSON, now())
        assert deliver(sent) == 1
        assert deliver(sent) == 0
    ((headers, body),) = receiver.taken
    assert Signer(SECRET).verify(body, headers) == json.loads(body)
    assert json.loads(body)["type"] == "event.started"
    assert json.loads(body)["data"]["box"] == [0.1, 0.2, 0.3, 0.4]
    assert headers["webhook-id"] == "01.started"


def test_what_was_not_taken_is_sent_again_later_and_later(tmp_path, receiver):
    receiver.answers = [500, 302, 429, 200]
    with hooks(tmp_path, alarm=receiver.url) as sent:
        start = now()
        sent.tell("ended", PERSON, start)
        tried = []
        for later in (0, 3, 7, 29, 45, 130, 200, 10_000):
            deliver(sent, start + later)
            tried.append(len(receiver.taken))
    assert tried == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [headers["webhook-id"] for headers, _ in receiver.taken] == ["01.ended"] * 4


def test_messages_outlive_the_process(tmp_path, receiver):
    with hooks(tmp_path, alarm="http://127.0.0.1:9/") as sent:
        sent.tell("started", PERSON, now())
        assert deliver(sent) == 0
    with hooks(tmp_path, alarm=receiver.url) as sent:
        assert deliver(sent, now(60)) == 1


def test_one_that_cannot_be_reached_does_not_keep_the_others_waiting(tmp_path, receiver, caplog):
    with hooks(tmp_path, dead="http://me:hush@127.0.0.1:9/", well=receiver.url) as sent:
        for moment in ("started", "ended"):
            sent.tell(moment, PERSON, now())
        assert deliver(sent, now(1)) == 2
    tried = [record.getMessage() for record in caplog.records]
    assert len(tried) == 1
    assert "webhook dead (127.0.0.1) did not take 01.started" in tried[0]
    assert "hush" not in tried[0]


def test_one_that_is_slow_does_not_keep_the_others_waiting_and_each_gets_all_in_order(tmp_path, receiver):
    with serving() as slow, hooks(tmp_path, slow=slow.url, well=receiver.url) as sent:
        slow.answers_when = threading.Event()
        news = News(sent, None, lambda event: None)
        events = [replace(PERSON, id=f"{number:02}") for number in range(20)]
        for each in events:
            news.tell(each)
        until = time.monotonic() + 10
        while len(receiver.taken) < len(events):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert len(slow.taken) <= 1
        slow.answers_when.set()
        while len(slow.taken) < len(events):
            assert time.monotonic() < until
            time.sleep(0.01)
        news.close()
    for each in (slow, receiver):
        assert [headers["webhook-id"] for headers, _ in each.taken] == [f"{event.id}.started" for event in events]


def test_a_receiver_that_is_gone_is_not_tried_again(tmp_path, receiver, caplog):
    receiver.answers = [410]
    with hooks(tmp_path, alarm=receiver.url) as sent:
        sent.tell("started", PERSON, now())
        for later in (0, 2 * webhook.WAITS[-1]):
            deliver(sent, now(later))
    assert len(receiver.taken) == 1
    assert "never took 01.started" in caplog.text


def test_what_nobody_took_for_a_day_is_dropped(tmp_path, receiver, caplog):
    receiver.answers = [500]
    with hooks(tmp_path, alarm=receiver.url) as sent:
        for later in (0, 1):
            sent.tell("started", PERSON, now(later))
        deliver(sent, now(2))
        assert deliver(sent, now(webhook.GIVE_UP + 3)) == 0
        assert not sent._outbox.due("alarm", now(2 * webhook.GIVE_UP))
    assert len(receiver.taken) == 1
    assert "2 messages are dropped" in caplog.text


def test_only_what_is_wanted_is_told():
    wanted = WebhookConfig(url="http://127.0.0.1/", secret=SECRET, labels="person, car", cameras="yard")
    assert wanted.wants(PERSON)
    assert not WebhookConfig(url="http://127.0.0.1/", secret=SECRET, rules=["cars"]).wants(PERSON)


def test_messages_to_hooks_that_are_gone_are_dropped(tmp_path, receiver, caplog):
    with hooks(tmp_path, old="http://127.0.0.1:9/") as sent:
        sent.tell("started", PERSON, now())
    with hooks(tmp_path, new=receiver.url) as sent:
        assert deliver(sent, now(60)) == 0
    assert "1 notifications to webhooks that are configured no more" in caplog.text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url": "ftp://127.0.0.1/", "secret": SECRET}, "a webhook is an http:// or https:// URL"),
        ({"url": "https://", "secret": SECRET}, "a webhook is an http:// or https:// URL"),
        ({"url": "http://[::1", "secret": SECRET}, "a webhook is an http:// or https:// URL"),
        ({"url": "https://192.0.2.1/", "secret": "short"}, "base64 of 24 bytes or more"),
        ({"url": "https://192.0.2.1/"}, "secret"),
        ({"url": "https://192.0.2.1/", "secret": SECRET, "rule": "a"}, "rule"),
    ],
)
def test_what_does_not_fit_is_told(values, told):
    with pytest.raises(ValidationError, match=told):
        WebhookConfig.model_validate(values)


def test_a_queue_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(SinkError, match="cannot be used"):
        Outbox(tmp_path / "nowhere" / "outbox.sqlite")
