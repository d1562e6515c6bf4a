"""What every source promises, checked on every source."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import clips

from pipeline.sources import Source, open_source
from pipeline.types import Frame

EVEN = tuple(number / 25 for number in range(20))
LIVE_FRAMES = 25


@dataclass
class Case:
    """A source and the truth about it. `times`: of its frames, None for images; `exact`: its times are known."""

    spec: str
    times: tuple[float, ...] | None = EVEN
    size: tuple[int, int] = (160, 120)
    live: bool = False
    exact: bool = True
    count: int = 20


def write_images(folder: Path) -> Path:
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"img{number}.png"), clips.picture(number))
    return folder


FILES = {
    "mp4": lambda folder: Case(str(clips.write_clip(folder / "clip.mp4", sound=True))),
    "variable-mp4": lambda folder: Case(
        str(clips.write_clip(folder / "clip.mp4", clips.VARIABLE)), clips.VARIABLE, count=15
    ),
    "variable-mkv": lambda folder: Case(
        str(clips.write_clip(folder / "clip.mkv", clips.VARIABLE)), clips.VARIABLE, count=15
    ),
    "rotated-90": lambda folder: Case(str(clips.write_clip(folder / "clip.mp4", rotation=90))),
    "rotated-180": lambda folder: Case(str(clips.write_clip(folder / "clip.mp4", rotation=180))),
    "rotated-270": lambda folder: Case(str(clips.write_clip(folder / "clip.mov", rotation=270))),
    "av1": lambda folder: Case(str(clips.write_clip(folder / "clip.mp4", codec="libsvtav1"))),
    "av1-rotated": lambda folder: Case(str(clips.write_clip(folder / "clip.mp4", codec="libsvtav1", rotation=90))),
    "vp9": lambda folder: Case(str(clips.write_clip(folder / "clip.webm", codec="libvpx-vp9"))),
    "mpegts": lambda folder: Case(str(clips.write_clip(folder / "clip.ts"))),
    "raw-h264": lambda folder: Case(str(clips.write_clip(folder / "clip.h264"))),
    "odd-size": lambda folder: Case(
        str(clips.write_clip(folder / "clip.mkv", codec="ffv1", size=(161, 121))), size=(161, 121)
    ),
    "image": lambda folder: Case(str(write_images(folder / "images") / "img0.png"), None, count=1),
    "folder": lambda folder: Case(str(write_images(folder / "images")), None, count=12),
    "glob": lambda folder: Case(str(write_images(folder / "images").parent / "**" / "*.png"), None, count=12),
    "synthetic": lambda folder: Case("synthetic:160x120@25?frames=20"),
}
LIVE = {
    "rtsp": lambda camera: Case(camera.urls[0], live=True),
    "http-mjpeg": lambda camera: Case(camera.urls[1], live=True, exact=False),
    "synthetic-live": lambda camera: Case("synthetic:160x120@25?live=1", live=True),
}


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clips.Camera]:
    clip = clips.write_clip(tmp_path_factory.mktemp("camera") / "clip.mp4")
    with clips.camera(clip, rtsp=0, http=0) as camera:
        yield camera


@pytest.fixture(params=[*FILES, *LIVE])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param in FILES:
        return FILES[request.param](tmp_path)
    return LIVE[request.param](request.getfixturevalue("camera"))


def read(source: Source, live: bool, enough: int = LIVE_FRAMES) -> list[Frame]:
    frames = source.frames(threading.Event())
    taken = list(islice(frames, enough if live else None))
    frames.close()  # type: ignore[attr-defined]
    return taken


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def shows(frames: list[Frame], case: Case) -> list[int]:
    """What tells the frames apart: the numbers in them, or of a synthetic picture its checksums."""
    if case.spec.startswith("synthetic"):
        return [hash(frame.image.tobytes()) for frame in frames]
    return [clips.number_in(frame.image) for frame in frames]


def test_frames_are_whole_and_in_order(case: Case) -> None:
    source = open_source(case.spec, stream=3)
    frames = read(source, case.live)
    assert source.media.live == case.live
    assert source.stream == 3
    assert {(frame.width, frame.height) for frame in frames} == {case.size}
    assert {frame.stream for frame in frames} == {3}
    if case.times is None:
        assert [frame.index for frame in frames] == [0] * len(frames)
        assert [Path(frame.source).name for frame in frames] == [f"img{number}.png" for number in range(len(frames))]
        assert source.media.still
    else:
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert {frame.source for frame in frames} == {source.name} == {case.spec}
        assert not source.media.still
    assert len(frames) == (LIVE_FRAMES if case.live else case.count)
    if case.spec.startswith("synthetic"):
        assert len(set(shows(frames, case))) == len(frames)
    else:
        first = clips.number_in(frames[0].image)
        assert shows(frames, case) == [(first + number) % 20 for number in range(len(frames))]
        assert all(clips.is_upright(frame.image) for frame in frames)
        assert first == 0 or case.live


def test_times_are_those_of_the_source(case: Case) -> None:
    frames = read(open_source(case.spec), case.live)
    times = [frame.pts for frame in frames]
    if case.times is None:
        assert set(times) == {None}
        return
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    if case.live and case.exact:
        assert np.diff(times) == pytest.approx(0.04, abs=1e-4)
    elif case.live:
        assert times[-1] == pytest.approx(0.04 * (LIVE_FRAMES - 1), abs=0.5)
    else:
        assert times == pytest.approx(case.times, abs=1e-6)


def test_media_tells_the_length(case: Case) -> None:
    media = open_source(case.spec).media
    if case.live or case.times is None:
        assert media.seconds is None
    elif media.seconds is not None:  # a raw stream does not know
        assert media.seconds == pytest.approx(case.times[-1] + 0.04, abs=1e-3)
    assert media.frames in (None, case.count)


def test_closing_releases_everything(case: Case) -> None:
    read(open_source(case.spec), case.live, 2)  # what libraries keep open once and for all
    before = open_files()
    source = open_source(case.spec)
    frames = source.frames(threading.Event())
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert open_files() == before


def test_a_source_that_is_not_read_can_be_closed(case: Case) -> None:
    read(open_source(case.spec), case.live, 2)  # what libraries keep open once and for all
    before = open_files()
    source = open_source(case.spec)
    for _ in range(2):
        source.close()
    assert open_files() == before


def test_media_names_the_files_that_are_read(case: Case) -> None:
    files = open_source(case.spec).media.files
    is_file = not case.live and not case.spec.startswith("synthetic")
    assert len(files) == (0 if not is_file else case.count if case.times is None else 1)
    assert all(path.is_file() for path in files)


def test_stop_ends_soon(case: Case) -> None:
    stop = threading.Event()
    frames = open_source(case.spec).frames(stop)
    next(frames)
    stop.set()
    began = time.monotonic()
    assert len(list(frames)) <= 1
    assert time.monotonic() - began < 2


def test_frames_can_be_read_again(case: Case) -> None:
    source = open_source(case.spec)
    first, second = read(source, case.live, 5), read(source, case.live, 5)
    assert len(first) == len(second)
    if not case.live:
        assert shows(first, case) == shows(second, case)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no such schedulers")
def test_making_a_clip_leaves_the_scheduler_as_it_was(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    clips.write_clip(tmp_path / "clip.mp4", codec="libsvtav1")
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
