import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.redact import Redactor
from pipeline.serve.cameras import Cameras
from pipeline.serve.watched import Watched
from pipeline.sources.state import Health
from pipeline.types import Annotated, Classification, Frame, Media, Recognised

SEEN = Classification(np.int64([0]), np.float32([0.9]), ("thing",))
PATIENCE = 10.0


class Ticking:
    """A camera that gives a picture every millisecond; `dead`: it is lost after the first."""

    media = Media(live=True)

    def __init__(self, name: str, stream: int, dead: bool = False) -> None:
        self.name, self.stream, self._dead = name, stream, dead
        self.health = Health(time.monotonic(), time.monotonic(), 5.0)

    def close(self) -> None: ...

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        index = 0
        while not stop.wait(0.001):
            self.health = self.health.pictured(time.monotonic(), 6, 4)
            yield Frame(np.zeros((4, 6, 3), np.uint8), self.name, index, index / 1000, self.stream)
            index += 1
            if self._dead:
                self.health = self.health.lost(time.monotonic(), "it is gone")
                stop.wait()


class Shown:
    """A sink that keeps how many frames of each camera it was given."""

    draws = True

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}
        self.paused: list[str] = []
        self.closed: list[str] = []
        self.came = threading.Condition()

    def of(self, name: str) -> "One":
        return One(self, name)

    def wait_for(self, name: str, more: int = 3) -> None:
        with self.came:
            wanted = self.frames.get(name, 0) + more
            assert self.came.wait_for(lambda: self.frames.get(name, 0) >= wanted, PATIENCE)


class One:
    draws = True

    def __init__(self, shown: Shown, name: str) -> None:
        self.shown, self.name, self.closed = shown, name, False

    def write(self, item: Annotated) -> None:
        with self.shown.came:
            assert not self.closed
            self.shown.frames[self.name] = self.shown.frames.get(self.name, 0) + 1
            self.shown.came.notify_all()

    def pause(self) -> None:
        self.shown.paused.append(self.name)

    def end(self) -> None: ...

    def close(self, whole: bool = True) -> None:
        self.closed = True
        self.shown.closed.append(self.name)


class Watching:
    """Cameras that run on a thread of the test's own; a spec is a name, and `dead` and `bad` are special."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.shown = Shown()
        self.looks: set[tuple[str, str | None]] = set()
        self.shared = threading.Event()
        self.cameras = Cameras[str](self._open, [self._recognise], self.stop, batch=2, wait=0.5)
        self._thread = threading.Thread(target=self.cameras.run)
        self._thread.start()

    def _open(self, name: str, spec: str, stream: int) -> Watched:
        if spec == "bad":
            raise ConfigError("this cannot be")
        source = Ticking(name, stream, spec == "dead")
        return Watched(
            name,
            source,
            lambda: source.health,
            (),
            Redactor(False),
            lambda redacted: Annotated(redacted, redacted.frame.image),
            [self.shown.of(spec)],
            lambda frame: replace(frame, look="anew" if spec == "all" else "same"),
        )

    def _recognise(self, frames: list[Frame]) -> list[Recognised]:
        self.looks |= {(frame.source, frame.look) for frame in frames}
        if {frame.source for frame in frames} == {"door", "yard"}:
            self.shared.set()
        return [Recognised(frame, SEEN) for frame in frames]

    def end(self) -> None:
        self.stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.end()


def test_cameras_come_change_and_go_while_others_are_watched(watching):
    cameras, shown = watching.cameras, watching.shown
    cameras.add("door", "first door")
    shown.wait_for("first door")
    cameras.add("yard", "yard")
    shown.wait_for("yard")
    cameras.change("door", "second door")
    shown.wait_for("second door")
    assert shown.closed == ["first door"]
    cameras.remove("door")
    assert shown.closed == ["first door", "second door"]
    shown.wait_for("yard")
    assert [status.name for status in cameras.status()] == ["yard"]
    watching.end()
    assert shown.closed[2:] == ["yard"]


def test_frames_of_several_cameras_share_an_inference(watching):
    watching.cameras.add("door", "door")
    watching.cameras.add("yard", "yard")
    assert watching.shared.wait(PATIENCE)


def test_a_dead_camera_leaves_the_others_alone(watching):
    watching.cameras.add("dead", "dead")
    watching.cameras.add("yard", "yard")
    watching.shown.wait_for("yard", 20)
    dead, yard = watching.cameras.status()
    assert (dead.state, dead.reason, dead.gaps) == ("waiting", "it is gone", 1)
    assert yard.frames > 0
    assert (yard.width, yard.height) == (6, 4)
    assert yard.latency is not None
    assert yard.fps > 0
    watching.cameras.attend()
    assert watching.shown.paused == ["dead"]


def test_what_does_not_fit_changes_nothing(watching):
    cameras = watching.cameras
    cameras.add("yard", "yard")
    with pytest.raises(ConfigError, match="there is a camera 'yard' already"):
        cameras.add("yard", "other")
    with pytest.raises(ConfigError, match="this cannot be"):
        cameras.change("yard", "bad")
    with pytest.raises(KeyError):
        cameras.change("door", "door")
    with pytest.raises(KeyError):
        cameras.remove("door")
    watching.shown.wait_for("yard")
    assert cameras.specs == {"yard": "yard"}


def test_a_new_configuration_touches_only_what_differs(watching):
    cameras, shown = watching.cameras, watching.shown
    cameras.become({"a": "a", "b": "b", "c": "c"})
    cameras.become({"b": "b", "c": "other c", "d": "d"})
    for name in ("b", "other c", "d"):
        shown.wait_for(name)
    assert sorted(shown.closed) == ["a", "c"]
    assert cameras.specs == {"b": "b", "c": "other c", "d": "d"}


def test_a_configuration_that_does_not_fit_changes_nothing(watching):
    cameras, shown = watching.cameras, watching.shown
    cameras.become({"a": "a", "b": "b"})
    with pytest.raises(ConfigError, match="this cannot be"):
        cameras.become({"b": "other b", "c": "bad"})
    shown.wait_for("a")
    shown.wait_for("b")
    assert cameras.specs == {"a": "a", "b": "b"}
    assert shown.closed == ["other b"]  # it was opened, but never watched


def test_all_cameras_may_be_opened_anew(watching):
    cameras, shown = watching.cameras, watching.shown
    cameras.become({"a": "a"})
    shown.wait_for("a")
    cameras.become({"a": "a"})
    assert shown.closed == []
    cameras.become({"a": "a"}, anew=True)
    assert shown.closed == ["a"]
    shown.wait_for("a")


def test_each_camera_has_a_gate_of_its_own(watching):
    for name in ("all", "few"):
        watching.cameras.add(name, name)
        watching.shown.wait_for(name)
    assert watching.looks == {("all", "anew"), ("few", "same")}


def test_drops_are_counted_per_camera(watching):
    cameras = watching.cameras
    cameras.add("yard", "yard")
    watching.shown.wait_for("yard")
    with watching.shown.came:  # nothing is shown meanwhile
        before = cameras.status()[0].dropped
        time.sleep(0.1)
        assert cameras.status()[0].dropped > before


class Failing(One):
    def close(self, whole: bool = True) -> None:
        super().close(whole)
        raise ZeroDivisionError(self.name)


def test_what_cannot_be_closed_leaves_nothing_else_open():
    shown = Shown()
    watched = Watched(
        "yard",
        Ticking("yard", 0),
        lambda: Health(0.0, 0.0, 5.0),
        (),
        Redactor(False),
        lambda redacted: Annotated(redacted, redacted.frame.image),
        [One(shown, "a"), Failing(shown, "b"), Failing(shown, "c"), One(shown, "d")],
    )
    with pytest.raises(ZeroDivisionError, match="b"):
        watched.close()
    assert shown.closed == ["a", "b", "c", "d"]


def test_a_camera_that_cannot_be_closed_leaves_no_other_open():
    shown = Shown()

    def open_camera(name: str, spec: str, stream: int) -> Watched:
        source = Ticking(name, stream)
        sink = (Failing if spec == "bad" else One)(shown, name)
        overlay = lambda redacted: Annotated(redacted, redacted.frame.image)  # noqa: E731
        return Watched(name, source, lambda: source.health, (), Redactor(False), overlay, [sink])

    stop = threading.Event()
    stop.set()
    cameras = Cameras[str](open_camera, [Watching._recognise], stop)
    cameras.become({"a": "good", "b": "bad", "c": "good"})
    with pytest.raises(ZeroDivisionError, match="b"):
        cameras.run()
    assert shown.closed == ["a", "b", "c"]
