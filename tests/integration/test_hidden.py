"""What is to be hidden is in no output of `serve`, looked for pixel by pixel, when the model that finds it fails."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
from support.models import constant_detector, tiny_detector
from support.served import until
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from pipeline.model import OnnxModel
from pipeline.serve.config import ServeConfig
from pipeline.serve.eye import Eye
from pipeline.serve.service import serve
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.sources.state import Health
from pipeline.types import Frame, Media

pytest.importorskip("paho.mqtt.client")

PATIENCE = 60.0
SIZE = 128
SECRET = (0, 255, 0)
FACE = (80, 20, 120, 60)


def secret_in(image: np.ndarray) -> bool:
    """Whether it shows more than a speck of what is to be hidden."""
    blue, green, red = (image[..., channel].astype(int) for channel in range(3))
    return bool(((green > 90) & (blue < green - 60) & (red < green - 60)).sum() > 4)


def thing_in(image: np.ndarray) -> bool:
    """Whether it shows what may be seen."""
    return bool(((image[..., 2] > 128) & (image[..., 1] < 90)).sum() > 100)


@dataclass
class Scene:
    """What the camera shows: something red for as long as `thing`, and always what is to be hidden, which moves away
    from where it was hidden last once the model has failed.
    """

    thing: bool = True
    skipped: float = 0.0  # seconds of its clock
    failing: threading.Event = field(default_factory=threading.Event)

    def clear(self) -> None:
        """The red thing is gone for longer than an event waits for it."""
        self.thing = False
        self.skipped += 10.0

    def picture(self) -> np.ndarray:
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        if self.thing:
            image[20:60, 10:50] = (0, 0, 255)
        top = 84 if self.failing.is_set() else 24
        image[top : top + 32, 84:116] = SECRET
        return image


class FakeCamera:
    """A live source of a scene."""

    media = Media(live=True)

    def __init__(self, scene: Scene, stream: int, name: str) -> None:
        self.scene, self.stream, self.name = scene, stream, name
        self.health = Health(0.0, 0.0, 5.0)

    def close(self) -> None: ...

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        number = 0
        while not stop.wait(0.02):
            yield Frame(self.scene.picture(), self.name, number, number / 50 + self.scene.skipped, self.stream)
            number += 1


@dataclass
class Outputs:
    """All that left the process: pictures by the way on which they went, and texts."""

    pictures: dict[str, list[np.ndarray]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def add(self, way: str, jpeg: bytes) -> None:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        self.pictures.setdefault(way, []).append(image)

    def add_clip(self, way: str, file: Any) -> None:
        with av.open(file) as video:
            shown = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
        self.pictures.setdefault(way, []).extend(shown)


class Service:
    """`serve` on a thread, with somebody who watches on every way there is."""

    def __init__(self, config: ServeConfig, outputs: Outputs) -> None:
        self.outputs = outputs
        self.stop = threading.Event()
        self.fault: BaseException | None = None
        self.url = ""
        self._threads = [threading.Thread(target=self._serve, args=(config,))]
        self._threads[0].start()
        until(lambda: self.url or self.fault)
        self._page = httpx.Client(base_url=self.url, timeout=PATIENCE)
        for watch in (self._watch_socket, self._watch_mjpeg):
            self._threads.append(threading.Thread(target=watch))
            self._threads[-1].start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._page.close()

    def ask(self, path: str) -> httpx.Response:
        return self._page.get(path)

    def camera(self) -> dict[str, Any]:
        (camera,) = self.ask("/api/cameras").json()
        return dict(camera)

    def wait_for_frames(self, count: int) -> None:
        """Until so many more have come behind the model, whatever became of them."""
        before = self.camera()
        until(lambda: sum(self.camera()[key] - before[key] for key in ("frames", "withheld")) >= count)

    def events(self) -> list[dict[str, Any]]:
        return list(self.ask("/api/events").json()["events"])

    def _serve(self, config: ServeConfig) -> None:
        try:
            serve(config, self.stop, lambda: None, self._tell)
        except BaseException as fault:
            self.fault = fault

    def _tell(self, url: str, eye: Eye) -> None:
        self.url = url

    def _watch_socket(self) -> None:
        with suppress(WebSocketException, OSError), connect(self.url.replace("http", "ws") + "api/live") as socket:
            socket.send(json.dumps({"cameras": ["yard"]}))
            for message in socket:
                if isinstance(message, bytes):
                    head = 2 + int.from_bytes(message[:2], "big")
                    self.outputs.add("socket", message[head:])
                    socket.send(json.dumps({"seen": "yard"}))

    def _watch_mjpeg(self) -> None:
        with suppress(httpx.HTTPError), self._page.stream("GET", "/api/cameras/yard/mjpeg") as answer:
            waiting = b""
            for chunk in answer.iter_raw():
                waiting += chunk
                while b"\r\n\r\n" in waiting:
                    head, _, rest = waiting.partition(b"\r\n\r\n")
                    length = int(head.rpartition(b"Content-Length: ")[2])
                    if len(rest) < length + 2:
                        break
                    self.outputs.add("mjpeg", rest[:length])
                    waiting = rest[length + 2 :]


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """What webhooks and the MQTT broker are sent is there."""
    outputs = Outputs()

    def post(self: Any, hook: Any, message: Any, now: float) -> tuple[int, str]:
        outputs.told.append(message.body)
        return 200, "taken"

    def publish(self: Any, topic: str, payload: str | bytes, *_: Any, **__: Any) -> SimpleNamespace:
        if isinstance(payload, str):
            outputs.told.append(payload)
        elif payload:
            outputs.add("mqtt", payload)
        return SimpleNamespace(mid=1, wait_for_publish=lambda seconds: None)

    monkeypatch.setattr("pipeline.serve.notify.webhook.Webhooks._post", post)
    monkeypatch.setattr("paho.mqtt.client.Client.publish", publish)
    monkeypatch.setattr("paho.mqtt.client.Client.is_connected", lambda self: True)
    return outputs


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    monkeypatch.setattr(
        "pipeline.serve.opening.Camera", lambda _, stream, *, name, **__: FakeCamera(scene, stream, name)
    )
    monkeypatch.setattr("pipeline.serve.web.watching._PATIENCE", 0.2)
    return scene


def configure(folder: Path, hides: str) -> ServeConfig:
    faces = constant_detector(folder / "faces.onnx", [(FACE, 0.9, 0)], labels=("face",))
    values = {
        "model": tiny_detector(folder / "m.onnx"),
        "device": "cpu",
        "cameras": {"yard": "rtsp://127.0.0.1:1/"},
        "redact_style": "fill",
        "draw": False,
        "rules": [{"name": "thing", "labels": ["red"]}],
        "store": {"folder": folder / "events", "clips": {"before": "0.5s", "after": "0.1s", "reserve": 0}},
        "web": {"port": 0, "rate": 60},
        "webhooks": {"home": {"url": "http://127.0.0.1:1/", "secret": "whsec_" + "A" * 32}},
        "mqtt": {"host": "127.0.0.1", "port": 1},
    }
    return ServeConfig.model_validate({**values, hides: ["green"] if hides == "redact" else faces})


def break_model(monkeypatch: pytest.MonkeyPatch, scene: Scene, name: str) -> None:
    """The model of this name fails as soon as the scene says so."""
    infer = OnnxModel.infer

    def sick(self: OnnxModel, frames: Any) -> Any:
        if scene.failing.is_set() and self.path.name == name:
            raise RuntimeError("made to fail")
        return infer(self, frames)

    monkeypatch.setattr(OnnxModel, "infer", sick)


def see_an_event_and_a_half(service: Service, scene: Scene) -> None:
    """One event is over, with its clip; the next lasts."""
    (first,) = until(service.events)
    service.wait_for_frames(20)
    scene.clear()
    until(lambda: service.events()[0]["clip"])
    scene.thing = True
    until(lambda: len(service.events()) == 2)
    outputs, event = service.outputs, f"/api/events/{first['id']}"
    until(lambda: {"socket", "mjpeg", "mqtt"} <= outputs.pictures.keys())
    outputs.add("thumbnail", service.ask(f"{event}/thumbnail").content)
    outputs.add("snapshot", service.ask("/api/cameras/yard/snapshot").content)
    outputs.add_clip("clip", io.BytesIO(service.ask(f"{event}/clip").content))


def collect_files(folder: Path, outputs: Outputs) -> None:
    """What is left in the store, whether it is whole or not."""
    for path in folder.rglob("*"):
        if path.suffix == ".jpg":
            outputs.add("thumbnail", path.read_bytes())
        elif path.suffix == ".mp4":
            outputs.add_clip("clip", str(path))
        else:
            assert path.is_dir() or path.suffix in (".db", ".json", ".lock", ".db-wal", ".db-shm"), path


def assert_hidden(outputs: Outputs, scene: Scene) -> None:
    assert secret_in(scene.picture())
    leaks = {way: sum(map(secret_in, pictures)) for way, pictures in outputs.pictures.items()}
    assert not any(leaks.values()), leaks


def rows(folder: Path) -> list[Event]:
    with closing(EventStore(folder)) as store:
        return store.search()


@pytest.mark.parametrize("hides", ["redact", "redact_model"])
def test_without_a_failure_it_is_hidden_everywhere(tmp_path, outputs, scene, hides) -> None:
    service = Service(configure(tmp_path, hides), outputs)
    try:
        see_an_event_and_a_half(service, scene)
    finally:
        service.end()
    assert service.fault is None
    collect_files(tmp_path / "events", outputs)
    assert_hidden(outputs, scene)
    assert all(any(map(thing_in, pictures)) for pictures in outputs.pictures.values())
    assert outputs.pictures.keys() == {"socket", "mjpeg", "snapshot", "thumbnail", "clip", "mqtt"}


@pytest.mark.parametrize("after", ["at once", "after some frames"])
def test_frames_are_withheld_from_every_output_while_the_redaction_model_fails(
    tmp_path, monkeypatch, outputs, scene, after
) -> None:
    break_model(monkeypatch, scene, "faces.onnx")
    if after == "at once":
        scene.failing.set()
    service = Service(configure(tmp_path, "redact_model"), outputs)
    try:
        if after == "after some frames":
            see_an_event_and_a_half(service, scene)
            scene.failing.set()
        service.wait_for_frames(10)
        before, told = service.camera(), len(outputs.told)
        if (answer := service.ask("/api/cameras/yard/snapshot")).is_success:  # the last one that was shown
            outputs.add("snapshot", answer.content)
        events = service.events()
        service.wait_for_frames(20)
        now = service.camera()
        assert service.events() == events
        assert not [each for each in outputs.told[told:] if "event." in each]
    finally:
        service.end()
    assert service.fault is None
    collect_files(tmp_path / "events", outputs)
    assert_hidden(outputs, scene)
    assert now["frames"] == before["frames"]
    assert now["withheld"] >= before["withheld"] + 20
    known = rows(tmp_path / "events")
    assert all(event.end is not None for event in known)
    assert len(known) == (0 if after == "at once" else 2)
    assert len([each for each in outputs.told if "event.started" in each]) == 2 * len(known)  # webhook and broker
    if after == "at once":
        assert (now["frames"], outputs.pictures) == (0, {})


@pytest.mark.parametrize("after", ["at once", "after some frames"])
def test_all_ends_where_the_model_that_does_the_work_fails(tmp_path, monkeypatch, outputs, scene, after) -> None:
    """It says what to hide as well: there is nothing left to watch with."""
    break_model(monkeypatch, scene, "m.onnx")
    if after == "at once":
        scene.failing.set()
    service = Service(configure(tmp_path, "redact"), outputs)
    try:
        if after == "after some frames":
            see_an_event_and_a_half(service, scene)
            scene.failing.set()
        until(lambda: service.fault)
    finally:
        service.end()
    assert isinstance(service.fault, RuntimeError)
    assert str(service.fault) == "made to fail"
    collect_files(tmp_path / "events", outputs)
    assert_hidden(outputs, scene)
    known = rows(tmp_path / "events")
    assert all(event.end is not None for event in known)
    assert len(known) == (0 if after == "at once" else 2)
    if after == "at once":
        assert outputs.pictures == {}
