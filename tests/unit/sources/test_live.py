"""Cameras that go away and come back, and the clock of live sources."""

from __future__ import annotations

import gc
import logging
import socketserver
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from support import clips

from pipeline.errors import SourceError
from pipeline.sources import live, open_source, timeline
from pipeline.sources.connection import Lost
from pipeline.sources.live import Camera, Timing
from pipeline.types import Image


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_that_comes_back_goes_on(tmp_path: Path, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4")
    stop = threading.Event()
    limit = threading.Timer(20, stop.set)
    limit.start()
    with clips.camera(clip, **{scheme: 0}) as first:
        url = first.urls[0]
        source = open_source(url.replace("//", "//user:secret@"))
        frames = source.frames(stop)
        before = [next(frames) for _ in range(10)]
        first.kill()
    with clips.camera(clip, **{scheme: int(url.rstrip("/").split(":")[-1])}), caplog.at_level(logging.INFO):
        after = [next(frames) for _ in range(25)]
        frames.close()
    limit.cancel()
    times = [frame.pts for frame in before + after]
    assert [frame.index for frame in before + after] == list(range(35))
    assert all(later > earlier for earlier, later in pairwise(times))
    assert {frame.source for frame in after} == {url}
    assert times[-1] < 12
    told = [record.message for record in caplog.records]
    assert told[0].startswith(f"{url} was lost: reconnecting (")
    assert told[-1].startswith(f"{url} is back after ")


def test_stop_ends_the_wait_for_a_camera(tmp_path: Path) -> None:
    stop = threading.Event()
    with clips.camera(clips.write_clip(tmp_path / "clip.mp4"), http=0) as camera:
        frames = Camera(camera.urls[0], timing=Timing(first_wait=60)).frames(stop)
        next(frames)
    threading.Timer(1, stop.set).start()
    began = time.monotonic()
    list(frames)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("patient", [True, False])
def test_a_connection_that_was_lost_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    """Its decoder has the memory of some pictures: nothing may keep the error, whose traceback keeps the connection."""
    made: list[weakref.ref[Brief]] = []
    alive: list[int] = []
    given_back: list[None] = []

    class Brief:
        recording = False

        def __init__(self, *_: object) -> None:
            made.append(weakref.ref(self))

        def pictures(self) -> Iterator[tuple[Image, None]]:
            yield np.zeros((4, 4, 3), np.uint8), None
            raise Lost("gone")

        def close(self) -> None: ...

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            alive.append(sum(each() is not None for each in made))
            return self.is_set()

    monkeypatch.setattr(live, "Stream", Brief)
    monkeypatch.setattr(live, "give_back", lambda: given_back.append(None))
    frames = Camera("rtsp://127.0.0.1:9/", patient=patient).frames(Stop())
    gc.disable()
    try:
        assert len(list(islice(frames, 4))) == 4
    finally:
        gc.enable()
    assert alive == [0, 0, 0]
    assert given_back == [None] * 3


class Patience(threading.Event):
    """Notes how long it is waited for, and is set at the twelfth time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        if len(self.waits) == 12:
            self.set()
        return self.is_set()


@pytest.mark.parametrize("lasting", [False, True])
def test_waits_grow_and_differ_and_are_the_longest_where_trying_does_not_help(
    monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    def fail(camera: Camera) -> None:
        raise Lost("gone", lasting=lasting)

    monkeypatch.setattr(Camera, "_open", fail)
    monkeypatch.setattr(live, "give_back", lambda: pytest.fail("it has had no decoder"))
    camera, stop = Camera("rtsp://127.0.0.1:9/", patient=True), Patience()
    assert camera.health.state == "connecting"
    assert list(camera.frames(stop)) == []
    assert (camera.health.state, camera.health.reason) == ("failed" if lasting else "waiting", "gone")
    nominal = [30.0 if lasting else min(0.5 * 2**number, 30) for number in range(12)]
    ratios = [wait / expected for wait, expected in zip(stop.waits, nominal, strict=False)]
    assert all(0.75 <= ratio <= 1.25 for ratio in ratios)
    assert len(set(ratios)) > 6


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize("answer", ["401 Unauthorized", "404 Not Found", "503 Service Unavailable"])
def test_a_camera_that_refuses_says_why(scheme: str, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    stop, lasting = threading.Event(), not answer.startswith("5")
    with refusing(answer, stop) as (port, asked):
        url = f"{scheme}://user:secret@127.0.0.1:{port}/live"
        with pytest.raises(SourceError, match=answer[:3] if lasting else "5XX"):
            Camera(url)
        camera = Camera(url, name="yard", patient=True, timing=Timing(first_wait=0.01, longest_wait=0.01))
        assert list(camera.frames(stop)) == []
    assert asked()
    assert camera.health.state == ("failed" if lasting else "waiting")
    assert camera.health.gaps == 1
    assert len(caplog.messages) == 1, "a reason is told once"
    assert "secret" not in f"{camera.health.reason} {caplog.text}"


@contextmanager
def refusing(answer: str, stop: threading.Event) -> Iterator[tuple[int, Callable[[], bool]]]:
    """A server that has one answer, and sets `stop` at the sixth connection. Gives its port, and whether it was so."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            nonlocal connections
            connections += 1
            if connections == 6:
                stop.set()
            while first := self.rfile.readline():
                head = [first, *iter(self.rfile.readline, b"\r\n")]
                number = next((line for line in head if line.lower().startswith(b"cseq")), b"X: 0\r\n")
                protocol = b"RTSP/1.0" if b"RTSP" in first else b"HTTP/1.1"
                self.wfile.write(b"%b %b\r\n%bContent-Length: 0\r\n\r\n" % (protocol, answer.encode(), number))

    connections = 0
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], lambda: connections >= 6
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_the_size_may_change_on_the_way(tmp_path: Path, scheme: str) -> None:
    with clips.camera(clips.write_growing_clip(tmp_path / "clip.ts"), **{scheme: 0}) as server:
        camera = Camera(server.urls[0])
        frames = camera.frames(threading.Event())
        taken = list(islice(frames, 30))
        frames.close()
    sizes = [(160, 120) if clips.number_in(frame.image) < 10 else (320, 240) for frame in taken]
    assert [(frame.width, frame.height) for frame in taken] == sizes
    assert len(set(sizes)) == 2
    assert all(later.pts > earlier.pts for earlier, later in pairwise(taken))
    assert (camera.health.width, camera.health.height) == sizes[-1]


def test_file_time_keeps_what_is_stored_and_mends_the_rest() -> None:
    times = timeline.FileTime(0.04)
    assert [times.stamp(raw) for raw in (0.1, 0.14, 0.5)] == [0.1, 0.14, 0.5]
    assert times.stamp(0.0) == pytest.approx(0.54)  # missing
    assert times.stamp(0.58) == 0.58
    assert times.stamp(9.0) == 9.0
    assert times.stamp(0.02) == pytest.approx(9.04)  # starts anew
    assert times.stamp(0.06) == pytest.approx(9.08)


def test_live_time_follows_the_stream_and_after_a_gap_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(timeline.time, "monotonic", lambda: now)
    times = timeline.LiveTime()
    assert times.stamp(77.0) == 0
    now = 1000.5
    assert times.stamp(77.04) == pytest.approx(0.04)
    now = 1009.0
    times.reconnected()
    assert times.stamp(3.0) == pytest.approx(9.0)
    assert times.stamp(3.04) == pytest.approx(9.04)
    assert times.stamp(1.0) > 9.04  # the camera set its clock
    assert times.stamp(1.04) == pytest.approx(9.081)
    assert times.stamp(None) > 9.081
