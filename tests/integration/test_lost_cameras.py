"""Cameras of which something becomes the matter, and that come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import clips

from pipeline.sources.live import Camera, Timing
from pipeline.types import Frame

SOON = Timing(opening=5, reading=1, stall=0.4, first_wait=0.05, longest_wait=0.2, frozen=0.6, plain=0.6)
PATIENCE = 20.0  # seconds; what takes longer does not come


class Reader:
    """Reads a camera in a thread, as the channel does."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.frames: list[Frame] = []
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for frame in self.camera.frames(self.stop):
            self.frames.append(frame)

    def close(self) -> None:
        self.stop.set()
        self._thread.join()

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"it stays {self.camera.health}"
            time.sleep(0.01)

    def until_state(self, state: str) -> None:
        self.until(lambda: self.camera.health.state == state)

    def until_more(self, count: int = 5) -> None:
        enough = len(self.frames) + count
        self.until(lambda: len(self.frames) >= enough)


@pytest.fixture(params=["rtsp", "http"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[clips.Camera]:
    with clips.camera(clips.write_clip(tmp_path / "clip.mp4"), **{request.param: 0}) as server:
        yield server


@pytest.fixture
def reader(server: clips.Camera) -> Iterator[Reader]:
    reader = Reader(Camera(server.urls[0], patient=True, timing=SOON))
    reader.until_state("live")
    yield reader
    reader.close()
    numbers = [frame.index for frame in reader.frames]
    assert numbers == list(range(len(numbers)))
    assert all(later.pts > earlier.pts for earlier, later in zip(reader.frames, reader.frames[1:], strict=False))


def test_a_camera_that_is_cut_off_comes_back(server: clips.Camera, reader: Reader) -> None:
    server.turn("kill")
    reader.until_state("waiting")
    reader.until(lambda: reader.camera.health.reason == "Connection refused")
    server.turn("well")
    reader.until_state("live")
    reader.until_more()
    health = reader.camera.health
    assert (health.gaps, health.reason) == (1, None)
    assert health.recent[0].end is not None


def test_a_camera_that_goes_silent_stalls_then_is_lost_and_comes_back(server: clips.Camera, reader: Reader) -> None:
    server.turn("pause")
    reader.until_state("stalled")
    assert reader.camera.health.reason.startswith("connected, but no picture has come")
    reader.until_state("waiting")
    server.turn("well")
    reader.until_state("live")
    reader.until_more()
    assert reader.camera.health.gaps == 1
    assert reader.camera.health.past > SOON.stall


def test_damage_on_the_line_ends_nothing(server: clips.Camera, reader: Reader) -> None:
    server.turn("corrupt")
    reader.until_more(40)
    server.turn("well")
    reader.until_more(40)
    reader.until_state("live")
    assert clips.is_upright(reader.frames[-1].image)


@pytest.mark.parametrize(("mode", "words"), [("black", "has been black"), ("freeze", "has not changed")])
def test_a_wrong_picture_is_told_and_shown(server: clips.Camera, reader: Reader, mode: str, words: str) -> None:
    server.turn(mode)
    reader.until_state("stalled")
    reader.until(lambda: words in str(reader.camera.health.reason))
    reader.until_more()
    server.turn("well")
    reader.until_state("live")
    assert reader.camera.health.gaps == 0


def test_a_camera_may_be_absent_in_the_beginning(server: clips.Camera) -> None:
    server.turn("kill")
    reader = Reader(Camera(server.urls[0], patient=True, timing=SOON))
    reader.until_state("waiting")
    assert not reader.frames
    server.turn("well")
    reader.until_more()
    reader.close()
    assert reader.camera.health.gaps == 1
