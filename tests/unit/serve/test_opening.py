"""Cameras as `onsight serve` opens them: what their sinks get, above all where redaction fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.models import constant_detector, tiny_detector

from pipeline.errors import ConfigError
from pipeline.model import OnnxModel
from pipeline.serve.clips import Cut
from pipeline.serve.config import CameraSpec, ServeConfig
from pipeline.serve.encoding import FrameFeed
from pipeline.serve.eye import Eye
from pipeline.serve.live import Live
from pipeline.serve.news import News
from pipeline.serve.opening import Opener
from pipeline.serve.packets import PacketReader
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.serve.watched import Watched
from pipeline.types import Annotated, Detections, Frame

CAMERA = "rtsp://127.0.0.1:1/"  # nothing listens there
SIZE = 128
FACE = (80, 20, 120, 60)
WHERE = (slice(24, 56), slice(84, 116))  # inside the face
SECRET = (255, 255, 255)


class Told(News):
    """What is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A detector of colours, and one of a face on the right."""
    faces = constant_detector(tmp_path / "faces.onnx", [(FACE, 0.9, 0)], labels=("face",))
    return {"model": tiny_detector(tmp_path / "m.onnx"), "faces": faces}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(tmp_path / "events")) as store:
        yield store


def opener(store: EventStore, models: dict[str, Path], cut: Cut | None = Cut(), **choices: Any) -> Opener:  # noqa: B008
    eye = Eye(ServeConfig(model=models["model"], device="cpu", **choices))  # type: ignore[arg-type]
    return Opener(eye, Live(rate=1e9), store, Told(), cut, ())


def spec(**values: Any) -> CameraSpec:
    return CameraSpec(source=CAMERA, **values)  # type: ignore[arg-type]


def frames(count: int) -> list[Frame]:
    """Something red on the left, and on the right what nobody is to see."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[20:60, 10:50] = (0, 0, 255)
    image[WHERE] = SECRET
    return [Frame(image.copy(), "yard", number, number / 10) for number in range(count)]


def show(open_camera: Opener, watched: Watched, given: Sequence[Frame]) -> list[bytes]:
    """Brings the frames to the camera's sinks, while somebody watches. Returns the pictures of the viewer."""
    recognise, *_ = open_camera.eye.recognisers

    async def watch() -> list[bytes]:
        with open_camera.live.viewer() as viewer:
            viewer.watch(["yard"])
            seen = []
            for frame in given:
                watched.take(recognise([frame])[0])
                seen += await viewer.take(0.2 if not seen else 5.0) if watched.tally.frames else []
                viewer.release("yard")
            seen += await viewer.take(0.05)
            return [bytes(picture.jpeg) for picture in seen]

    return asyncio.run(watch())


def bright(image: np.ndarray) -> bool:
    return bool(image[WHERE].mean() > 128)


def fail(*_: Any) -> Any:
    raise RuntimeError("made to fail")


@pytest.mark.parametrize("fails", ["infer", "nothing"])
def test_what_is_to_be_hidden_reaches_no_sink(store, models, monkeypatch, fails) -> None:
    open_camera = opener(
        store, models, redact_model=str(models["faces"]), classes=["red"], redact_style="fill", draw=False
    )
    hider = open_camera.eye._hider
    assert hider is not None
    infer, packets, written = OnnxModel.infer, [], []
    if fails == "infer":
        monkeypatch.setattr(OnnxModel, "infer", lambda self, given: (fail if self is hider else infer)(self, given))
    monkeypatch.setattr("pipeline.serve.clips.Recorder.add", lambda self, packet, at: packets.append(packet))
    monkeypatch.setattr("pipeline.serve.encoding.FrameFeed.add", _watching(FrameFeed.add, written))
    watched = open_camera("yard", spec(), 0)
    pictures = show(open_camera, watched, frames(5))
    watched.close()
    store.flush()
    files = [path for path in store.files.folder.rglob("*") if path.suffix in (".jpg", ".mp4")]
    assert isinstance(open_camera.news, Told)
    if fails == "infer":
        assert (watched.tally.withheld, watched.tally.frames) == (5, 0)
        assert (pictures, packets, written, files, store.search(), open_camera.news.events) == ([], [], [], [], [], [])
        return
    assert (watched.tally.withheld, watched.tally.frames) == (0, 5)
    assert len(packets) == len(written) == 5
    (event,) = {each.id for each in store.search()}
    assert [(each.id, each.end is None) for each in open_camera.news.events] == [(event, True), (event, False)]
    shown = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in pictures]
    assert shown
    assert len(files) == 1
    assert not any(bright(image) for image in (*shown, *written))
    assert bright(frames(1)[0].image)


def _watching(add: Any, written: list[np.ndarray]) -> Any:
    def watch(self: FrameFeed, image: np.ndarray, pts: float) -> None:
        written.append(image.copy())
        add(self, image, pts)

    return watch


@pytest.mark.parametrize(
    ("choices", "masked", "kind"),
    [
        ({}, False, PacketReader),
        ({}, True, FrameFeed),
        ({"redact": ["red"]}, False, FrameFeed),
        ({"redact_model": "faces"}, False, FrameFeed),
    ],
)
def test_what_hides_something_never_copies_packets(store, models, tmp_path, choices, masked, kind) -> None:
    choices = {key: str(models["faces"]) if key == "redact_model" else value for key, value in choices.items()}
    masks = tmp_path / "masks.yaml"
    masks.write_text(yaml.safe_dump({"masks": {"all": {"points": [[0, 0], [1, 0], [1, 1]]}}}))
    before = {thread.name for thread in threading.enumerate()}
    watched = opener(store, models, **choices)("yard", spec(masks=masks) if masked else spec(), 0)
    started = [thread.name for thread in threading.enumerate() if thread.name not in before]
    watched.end()
    watched.close()
    assert [name for name in started if "packets" in name] == ["onsight packets of rtsp://127.0.0.1:1/"] * (
        kind is PacketReader
    )
    assert type(watched.sinks[1]._clips) is kind  # type: ignore[attr-defined]


SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_a_file_of_masks_serves_several_cameras(store, models, tmp_path) -> None:
    masks = tmp_path / "masks.yaml"
    corner = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    places = {"here": {"points": corner, "sources": "yard"}, "there": {"points": SQUARE, "sources": ["door", "gate"]}}
    masks.write_text(yaml.safe_dump({"masks": places}))
    open_camera = opener(store, models, cut=None)
    yard = open_camera("yard", spec(masks=masks), 0)
    assert [polygon.tolist() for polygon in yard.source._polygons] == [corner]  # type: ignore[attr-defined]
    assert len(open_camera("gate", spec(masks=masks), 1).source._polygons) == 1  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="has no mask for camera 'porch': its 'sources' are the names of cameras"):
        open_camera("porch", spec(masks=masks), 2)


def test_a_file_of_zones_serves_several_cameras(store, models, tmp_path) -> None:
    zones = tmp_path / "zones.yaml"
    line = {"points": [[0, 0], [1, 1]], "sources": ["yard", "gate"]}
    zones.write_text(yaml.safe_dump({"zones": {"lawn": {"points": SQUARE, "sources": "yard"}}, "lines": {"way": line}}))
    open_camera = opener(store, models, cut=None, track=True)

    def names(camera: str) -> list[str]:
        places = open_camera._places(spec(zones=zones), camera)
        assert places is not None
        return [place.name for place in (*places.zones, *places.lines)]

    assert names("yard") == ["lawn", "way"]
    assert names("gate") == ["way"]
    with pytest.raises(ConfigError, match="neither a zone nor a line for camera 'porch'"):
        names("porch")


def test_without_clips_nothing_is_encoded(store, models) -> None:
    watched = opener(store, models, cut=None)("yard", spec(), 0)
    assert watched.sinks[1]._clips is None  # type: ignore[attr-defined]
    watched.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": "clip.mp4"}, "a camera is the number of a webcam, or an rtsp:// or http:// URL"),
        ({"source": CAMERA, "zones": "z.yaml"}, "'zones' needs 'track'"),
        ({"source": CAMERA, "masks": "no.yaml"}, "no.yaml cannot be read"),
    ],
)
def test_what_does_not_fit_is_told(store, models, given, told) -> None:
    with pytest.raises(ConfigError, match=told):
        opener(store, models)("yard", CameraSpec.model_validate(given), 0)


class Shown:
    """A sink that keeps how many things each frame shows."""

    draws = True

    def __init__(self) -> None:
        self.counts: list[int] = []

    def write(self, item: Annotated) -> None:
        assert isinstance(item.results, Detections)
        self.counts.append(len(item.results.boxes_N4))

    def pause(self) -> None: ...

    def end(self) -> None: ...

    def close(self, whole: bool = True) -> None: ...


@pytest.mark.parametrize(("every", "own"), [(2, None), (1, 2)])
def test_frames_at_which_the_model_does_not_look_repeat_its_last_answer(store, models, every, own) -> None:
    open_camera = opener(store, models, cut=None, every=every, classes=["red"])
    recognise, *_ = open_camera.eye.recognisers
    watched, shown = open_camera("yard", spec(every=own), 0), Shown()
    watched.sinks = [shown]
    for frame in frames(4):
        watched.take(recognise([watched.gate(frame)])[0])
    assert (watched.tally.frames, watched.tally.looked) == (4, 2)
    assert shown.counts == [1, 1, 1, 1]


def test_what_is_known_of_a_camera_goes_with_it(store, models, classifier_path) -> None:
    open_camera = opener(store, models, cut=None, every=2, track=True, then=classifier_path)
    (recognise, *_), second = open_camera.eye.recognisers, open_camera.eye._second
    assert second is not None
    for stream in range(3):
        watched = open_camera("yard", spec(), stream)
        for frame in frames(3):
            watched.take(recognise([watched.gate(replace(frame, stream=stream))])[0])
        assert set(second._tracks) == {stream}
        watched.close()
    assert len(second._tracks) == 0


def test_cameras_that_start_together_are_looked_at_in_turn(store, models) -> None:
    open_camera = opener(store, models, cut=None, every=3)
    gates = [open_camera(f"camera {stream}", spec(), stream).gate for stream in range(4)]
    looks = [[number for number, frame in enumerate(frames(9)) if gate(frame).looked] for gate in gates]
    assert looks == [[0, 3, 6], [0, 1, 4, 7], [0, 2, 5, 8], [0, 3, 6]]


def test_a_camera_that_has_to_be_redacted_is_looked_at_all_the_time(store, models) -> None:
    with pytest.raises(ConfigError, match="'every' does not go with 'redact'"):
        opener(store, models, redact=["red"])("yard", spec(every=2), 0)


@pytest.mark.parametrize("gate", [{"every": 2}, {"motion_gate": True}])
@pytest.mark.parametrize("hides", ["redact", "redact_model"])
def test_what_the_model_does_not_look_at_cannot_be_hidden(models, gate, hides) -> None:
    hidden = {"redact": ["red"], "redact_model": str(models["faces"])}
    with pytest.raises(ConfigError, match=f"does not go with '{hides}'"):
        Eye(ServeConfig(model=models["model"], **gate, **{hides: hidden[hides]}))
