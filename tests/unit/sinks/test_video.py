import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks.video import VideoSink
from pipeline.types import Annotated, Image, Media

MakeItem = Callable[..., Annotated]
MILLISECONDS = Media(time_base=Fraction(1, 1000))


def grey(level: int, height: int = 32, width: int = 48) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def write(path: Path, media: Media, frames: Iterable[tuple[Image, float]], make_item: MakeItem) -> None:
    sink = VideoSink(path, media)
    for index, (image, pts) in enumerate(frames):
        sink.write(make_item(image, index, pts))
    sink.close()


def read(path: Path) -> tuple[list[Fraction], list[Image]]:
    """The times (seconds) and pictures (BGR) of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.pts * f.time_base for f in frames], [f.to_ndarray(format="bgr24") for f in frames]


def video_seconds(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        return Fraction(container.duration, 1_000_000)


@pytest.mark.parametrize("unit", [Fraction(1, 1000), Fraction(1, 12800), Fraction(1001, 30000), Fraction(1, 90000)])
def test_irregular_times_are_kept_to_the_tick(unit: Fraction, tmp_path: Path, make_item: MakeItem) -> None:
    rng = np.random.default_rng(7)
    ticks = (np.arange(60) + np.cumsum(rng.integers(0, 9, 60))) * max(1, round(Fraction(1, 100) / unit))
    ticks -= ticks[0]
    end = int(ticks[-1]) + 25
    media = Media(time_base=unit, frames=60, seconds=float(end * unit))
    write(tmp_path / "x.mp4", media, [(grey(4 * i), float(t * unit)) for i, t in enumerate(ticks.tolist())], make_item)
    times, images = read(tmp_path / "x.mp4")
    assert times == [t * unit for t in ticks.tolist()]
    assert np.allclose([image.mean() for image in images], 4 * np.arange(60), atol=3)
    assert abs(video_seconds(tmp_path / "x.mp4") - end * unit) < Fraction(1, 10000)


def test_without_a_time_base_times_are_close(tmp_path: Path, make_item: MakeItem) -> None:
    write(tmp_path / "x.mp4", Media(), [(grey(9), i / 29.97) for i in range(20)], make_item)
    times, _ = read(tmp_path / "x.mp4")
    assert np.allclose([float(t) for t in times], np.arange(20) / 29.97, atol=1e-5)
    assert float(video_seconds(tmp_path / "x.mp4")) == pytest.approx(20 / 29.97, abs=1e-4)


def test_times_that_stand_still_or_go_back_move_on_by_a_tick(tmp_path: Path, make_item: MakeItem) -> None:
    write(tmp_path / "x.mp4", MILLISECONDS, [(grey(9), pts) for pts in (0.0, 0.04, 0.04, 0.02, 0.1)], make_item)
    assert [float(t) for t in read(tmp_path / "x.mp4")[0]] == [0, 0.04, 0.041, 0.042, 0.1]


def test_the_last_frame_of_a_run_that_was_cut_short_lasts_as_long_as_the_one_before(
    tmp_path: Path, make_item: MakeItem
) -> None:
    media = Media(time_base=Fraction(1, 1000), frames=1000, seconds=100.0)
    write(tmp_path / "x.mp4", media, [(grey(9), i / 10) for i in range(5)], make_item)
    assert video_seconds(tmp_path / "x.mp4") == Fraction(1, 2)


def test_there_is_a_key_frame_every_second(tmp_path: Path, make_item: MakeItem) -> None:
    pts = [*np.arange(0, 3, 0.04), 3.0, 5.5, *np.arange(6, 8, 0.1)]
    write(tmp_path / "x.mp4", MILLISECONDS, [(grey(9), float(t)) for t in pts], make_item)
    with av.open(str(tmp_path / "x.mp4")) as container:
        keys = sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.size)
    assert keys == [0, 1, 2, 3, 5.5, 6.5, 7.5]


def test_colours_are_right_and_said_to_be(tmp_path: Path, make_item: MakeItem) -> None:
    image = grey(0, 64, 96)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for i, colour in enumerate(colours):
        image[:, 32 * i : 32 * i + 32] = colour
    write(tmp_path / "x.mp4", MILLISECONDS, [(image, i / 25) for i in range(3)], make_item)
    with av.open(str(tmp_path / "x.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (6, 6, 6, 1)
        assert context.pix_fmt == "yuv420p"
    seen = read(tmp_path / "x.mp4")[1][-1]
    assert np.abs(np.array([seen[32, 16 + 32 * i] for i in range(3)], int) - colours).max() <= 6


@pytest.mark.parametrize("size", [(31, 17), (18, 30), (1, 1), (2, 5)])
def test_an_odd_size_is_filled_with_its_last_column_and_row(
    size: tuple[int, int], tmp_path: Path, make_item: MakeItem
) -> None:
    height, width = size
    image = grey(60, height, width)
    image[:, -1:] = image[-1:] = 200
    write(tmp_path / "x.mp4", MILLISECONDS, [(image, i / 25) for i in range(3)], make_item)
    seen = read(tmp_path / "x.mp4")[1][-1]
    assert seen.shape[:2] == (height + height % 2, width + width % 2)
    assert abs(int(seen[-1, -1, 0]) - 200) < 12
    assert abs(int(seen[height - 1, 0, 0]) - 200) < 12


def test_a_frame_of_another_size_is_scaled_in_on_black(tmp_path: Path, make_item: MakeItem) -> None:
    write(tmp_path / "x.mp4", MILLISECONDS, [(grey(90, 48, 64), 0.0), (grey(200, 96, 48), 1.0)], make_item)
    first, second = read(tmp_path / "x.mp4")[1]
    assert first.shape == second.shape == (48, 64, 3)
    assert abs(int(second[24, 32, 0]) - 200) < 6
    assert second[:, :18].max() < 20
    assert second[:, 46:].max() < 20
    assert second[2:-2, 22:42].min() > 180


def test_a_frame_without_a_time_is_refused(tmp_path: Path, make_item: MakeItem) -> None:
    sink = VideoSink(tmp_path / "x.mp4", Media(still=True))
    with pytest.raises(SinkError, match="no time stamps"):
        sink.write(make_item(grey(0), 0, None))
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_colon_in_the_name_is_no_protocol(
    tmp_path: Path, make_item: MakeItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("12:30.mp4"), MILLISECONDS, [(grey(9), 0.0)], make_item)
    assert len(read(tmp_path / "12:30.mp4")[0]) == 1


WRITER = """
import os, sys
import numpy as np
from fractions import Fraction
from pipeline.errors import SinkError
from pipeline.sinks.encoder import Effort
from pipeline.sinks.video import VideoSink
from pipeline.types import Annotated, Classification, Frame, Media, Redacted

path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))
sink = VideoSink(path, Media(time_base=Fraction(1, 1000)), Effort(sys.argv[3]), threads=1)
rng = np.random.default_rng(0)
try:
    for i in range(10_000):
        image = rng.integers(0, 255, (64, 96, 3), np.uint8)
        sink.write(Annotated(Redacted(Frame(image, "clip", i, i / 25), nothing), image))
        print(i / 25, flush=True)
except SinkError as error:
    sink.close(whole=False)
    print(error)
"""


@pytest.mark.parametrize("preset", ["auto", "ultrafast", "medium"])
def test_a_killed_process_leaves_a_playable_file(preset: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "x.mp4"), "0", preset]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    seen = 0.0
    while seen < 4.2:
        seen = float(process.stdout.readline())
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    written = float(([str(seen).encode(), *process.stdout.read().split()])[-1])
    process.wait()
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.partial.mp4"]
    times, _ = read(tmp_path / "x.partial.mp4")
    assert times == [Fraction(i, 25) for i in range(len(times))]
    assert written - float(times[-1]) <= 1.2


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are of POSIX")
@pytest.mark.parametrize("preset", ["auto", "ultrafast"])
def test_a_full_disk_is_an_error_in_one_line(preset: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "x.mp4"), "200000", preset]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"cannot write {tmp_path / 'x.mp4'}: File too large"
    assert [path.name for path in tmp_path.iterdir()] == ["x.partial.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "x.partial.mp4"))
    assert all(capture.read()[0] for _ in range(10))
    capture.release()
