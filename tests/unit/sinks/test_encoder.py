"""How a preset is found. Clocks are told, not read: no test depends on how fast the machine is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from pipeline.sinks import encoder
from pipeline.sinks.encoder import PRESETS, Effort, NvencError, Start
from pipeline.sinks.video import VideoSink
from pipeline.terms import Preset
from pipeline.types import Annotated, Image, Media

MakeItem = Callable[..., Annotated]

MEDIA = Media(time_base=Fraction(1, 1000))
COSTS = dict(zip(PRESETS, (0.001, 0.002, 0.004, 0.007, 0.009, 0.012), strict=True))  # CPU seconds of a frame


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The CPU time of the process."""
    clock = Clock()
    monkeypatch.setattr(encoder, "process_time", clock)
    return clock


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(encoder, "perf_counter", clock)
    return clock


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The presets that were tried; they cost what `COSTS` says."""
    tried: list[str] = []

    def takes_at_most(cpu_seconds: float, preset: str, images: Sequence[Image]) -> bool:
        tried.append(preset)
        return COSTS[preset] * len(images) <= cpu_seconds

    monkeypatch.setattr(encoder, "_takes_at_most", takes_at_most)
    return tried


def grey(level: int = 90, height: int = 32, width: int = 48) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def start_of(frames: int, cpu: Clock, seconds: float, image: Image | None = None) -> Start:
    """A start whose frames take `seconds` of CPU time each."""
    start = Start()
    for index in range(frames):
        start.keep(grey() if image is None else image, index / 25)
        cpu.now += seconds
    return start


@pytest.mark.parametrize(
    ("seconds", "preset"),
    [(0.0, "ultrafast"), (0.019, "ultrafast"), (0.021, "superfast"), (0.039, "superfast"), (0.041, "veryfast")],
)
def test_the_slowest_preset_is_taken_that_adds_a_tenth_to_the_cpu_time_of_a_frame_at_most(
    seconds: float, preset: str, cpu: Clock, trials: list[str]
) -> None:
    assert Effort().find(start_of(12, cpu, seconds)) == preset


def test_no_preset_is_taken_that_costs_more_and_makes_files_no_smaller(cpu: Clock, trials: list[str]) -> None:
    assert Effort().find(start_of(12, cpu, 9.0)) == "veryfast"
    assert trials == ["superfast", "veryfast"]


def test_a_slower_preset_is_not_tried_where_a_faster_one_takes_too_long(cpu: Clock, trials: list[str]) -> None:
    assert Effort().find(start_of(12, cpu, 0.001)) == "ultrafast"
    assert trials == ["superfast"]


def test_too_few_frames_to_tell_get_the_fastest(cpu: Clock, trials: list[str]) -> None:
    effort = Effort()
    assert effort.find(start_of(3, cpu, 9.0)) == "ultrafast"
    assert effort.known(grey()) is None, "the next video may tell more"


def test_a_preset_is_found_once_for_a_size(cpu: Clock, trials: list[str]) -> None:
    effort = Effort()
    effort.find(start_of(12, cpu, 0.03))
    assert effort.known(grey(7)) == "superfast"
    assert effort.known(grey(7, 64, 48)) is None


def test_every_preset_can_be_asked_for() -> None:
    assert get_args(Preset) == ("auto", *PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_that_was_asked_for_is_taken_without_a_trial(preset: str) -> None:
    assert Effort(preset).known(grey()) == preset


@pytest.mark.parametrize("preset", PRESETS)
def test_a_trial_ends_when_it_has_taken_too_long(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [grey(20 * index) for index in range(8)]
    ticks = count()
    monkeypatch.setattr(encoder, "thread_time", lambda: next(ticks))
    assert encoder._takes_at_most(8 + 1, preset, images)
    assert not encoder._takes_at_most(8, preset, images)
    before = next(ticks)
    assert not encoder._takes_at_most(2, preset, images)
    assert next(ticks) - before < 8


def test_a_dozen_frames_are_enough_or_fewer_when_they_are_slow_or_large(
    cpu: Clock, wall: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not start_of(11, cpu, 0.1).enough
    assert start_of(12, cpu, 0.1).enough
    slow = start_of(3, cpu, 9.0)
    wall.now += 60.0
    assert not slow.enough
    slow.keep(grey(), 3 / 25)
    assert slow.enough
    monkeypatch.setattr(encoder, "_BYTES", 4 * grey().nbytes)
    assert not start_of(3, cpu, 0.1).enough
    assert start_of(4, cpu, 0.1).enough


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


@pytest.mark.parametrize("frames", [1, 3, 11, 12, 13, 40])
def test_a_video_whose_preset_has_to_be_found_loses_no_frame(frames: int, tmp_path: Path, make_item: MakeItem) -> None:
    sink = VideoSink(tmp_path / "x.mp4", MEDIA, Effort())
    image = grey()
    for index in range(frames):
        image[:] = 5 * index
        sink.write(make_item(image, index, index / 25))
    sink.close()
    assert sink.preset in PRESETS
    assert times_of(tmp_path / "x.mp4") == pytest.approx([index / 25 for index in range(frames)])
    with av.open(str(tmp_path / "x.mp4")) as container:
        levels = [frame.to_ndarray(format="bgr24").mean() for frame in container.decode(video=0)]
    assert np.allclose(levels, 5 * np.arange(frames), atol=3)


def test_frames_that_were_kept_are_written_after_a_failure_too(tmp_path: Path, make_item: MakeItem) -> None:
    sink = VideoSink(tmp_path / "x.mp4", MEDIA, Effort())
    for index in range(5):
        sink.write(make_item(grey(), index, index / 25))
    sink.close(whole=False)
    assert len(times_of(tmp_path / "x.partial.mp4")) == 5


def test_the_second_video_of_a_size_begins_at_once(
    cpu: Clock, trials: list[str], tmp_path: Path, make_item: MakeItem
) -> None:
    effort = Effort()
    for name in ("a", "b"):
        sink = VideoSink(tmp_path / f"{name}.mp4", MEDIA, effort)
        for index in range(12):
            sink.write(make_item(grey(), index, index / 25))
            cpu.now += 0.03
            assert (sink.preset is None) is (name == "a" and index < 11)
        sink.close()
        assert sink.preset == "superfast"
    assert len(trials) == len(set(trials)), "they are tried for the first video alone"


def test_what_nvenc_took_until_it_did_not_open_is_no_cpu_time_of_a_frame(
    cpu: Clock, trials: list[str], tmp_path: Path, make_item: MakeItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_slowly(context: object, encoder: str) -> None:
        if encoder == "nvenc":
            cpu.now += 9.0
            raise NvencError("no such luck")

    monkeypatch.setattr("pipeline.sinks.mp4.open_encoder", open_slowly)
    sink = VideoSink(tmp_path / "x.mp4", MEDIA, Effort("auto", "nvenc", Effort()))
    for index in range(12):
        sink.write(make_item(grey(), index, index / 25))
        cpu.now += 0.03
    sink.close()
    assert (sink.encoder, sink.preset) == ("x264", "superfast")
