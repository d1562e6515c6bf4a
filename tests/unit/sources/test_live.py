"""Cameras that go away and come back, and the clock of live sources."""

from __future__ import annotations

import logging
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support import clips

from pipeline.sources import live, open_source, timeline


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
    assert [record.message.split(" after")[0] for record in caplog.records] == [
        f"{url} was lost: reconnecting",
        f"{url} is back",
    ]


def test_stop_ends_the_wait_for_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 60.0)
    stop = threading.Event()
    with clips.camera(clips.write_clip(tmp_path / "clip.mp4"), http=0) as camera:
        frames = open_source(camera.urls[0]).frames(stop)
        next(frames)
    threading.Timer(1, stop.set).start()
    began = time.monotonic()
    list(frames)
    assert time.monotonic() - began < 3


def test_waits_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            if len(waits) == 12:
                self.set()
            return self.is_set()

    monkeypatch.setattr(live.Camera, "_connect", lambda self: None)
    camera = live.Camera.__new__(live.Camera)
    camera.name, camera._ready = "camera", None
    assert list(camera.frames(Stop())) == []
    nominal = [min(0.5 * 2**number, 30) for number in range(12)]
    ratios = [wait / expected for wait, expected in zip(waits, nominal, strict=True)]
    assert all(0.75 <= ratio <= 1.25 for ratio in ratios)
    assert len(set(ratios)) > 6


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
