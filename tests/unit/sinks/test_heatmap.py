from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.sinks.heatmap import HeatmapSink, paint, spread
from pipeline.types import Annotated, Detections, Frame, Image, Redacted

HEIGHT, WIDTH = 120, 160
GREY = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
BARE = 60  # what is left of GREY where nobody was


def item(pts: float, *spots: tuple[float, float], image: Image = GREY) -> Annotated:
    """Objects with the middle of their lower edge at `spots`."""
    boxes_N4 = np.array([(x - 5, y - 30, x + 5, y) for x, y in spots], np.float32).reshape(-1, 4)
    count = len(spots)
    found = Detections(boxes_N4, np.zeros(count, np.int64), np.ones(count, np.float32), ("car",))
    return Annotated(Redacted(Frame(image, "clip.mp4", 0, pts), found), image)


def made(path: Path, *items: Annotated) -> Image:
    sink = HeatmapSink(path / "heat.png")
    for each in items:
        sink.write(each)
    sink.close()
    return cv2.imread(str(path / "heat.png"))


def seconds_of(path: Path, *items: Annotated) -> np.ndarray:
    sink = HeatmapSink(path / "heat.png")
    for each in items:
        sink.write(each)
    return sink._seconds_GG


def heat(picture: Image, x: int, y: int) -> float:
    """The level at a place, 0 to 1, read from the colour as from the scale below the picture."""
    levels = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_TURBO)[0].astype(float)
    shown = (picture[y, x] - 0.2 * BARE) / 0.8
    return float(np.abs(levels - shown).sum(axis=1).argmin()) / 255


def test_the_heat_is_where_the_objects_stood_and_nowhere_else(tmp_path: Path) -> None:
    picture = made(tmp_path, *(item(n / 10, (40, 90)) for n in range(20)))
    assert picture.shape[1] == WIDTH
    assert picture.shape[0] > HEIGHT
    assert heat(picture, 40, 90) > 0.95
    assert (picture[:HEIGHT, 60:] == BARE).all()
    assert (picture[: 90 - 20] == BARE).all()


def test_time_counts_not_frames(tmp_path: Path) -> None:
    """Half a second in one step on the left, a quarter in five steps on the right."""
    times = [0.0, 0.5, *(0.5 + 0.05 * n for n in range(1, 6))]
    spots = [(30, 60), (30, 60), *[(120, 60)] * 5]
    picture = made(tmp_path, *(item(pts, spot) for pts, spot in zip(times, spots, strict=True)))
    assert heat(picture, 30, 60) > 0.95
    assert heat(picture, 120, 60) == pytest.approx(0.5, abs=0.05)


def test_the_scale_reads_in_seconds(tmp_path: Path) -> None:
    seconds = seconds_of(tmp_path, *(item(n / 10, (40, 90), (100, 20)) for n in range(31)))
    assert seconds.sum() == pytest.approx(6.0)
    assert seconds.max() == pytest.approx(3.0)
    short, long = (paint(GREY, seconds * factor) for factor in (1, 2))
    assert np.array_equal(short[:HEIGHT], long[:HEIGHT]), "the colours go from 0 to the highest"
    assert not np.array_equal(short[HEIGHT:], long[HEIGHT:]), "the scale tells them apart"


def test_who_stands_still_leaves_the_seconds_that_he_stood_there() -> None:
    seconds = np.zeros((100, 200), np.float32)
    seconds[50, 100] = 7.0
    heated = spread(seconds)
    assert heated[50, 100] == heated.max() == pytest.approx(7.0, rel=0.03)
    assert heated[50, 104] < 0.2 * heated[50, 100]
    assert heated[50, 120] == 0


def test_a_gap_does_not_make_a_place_hot(tmp_path: Path) -> None:
    assert seconds_of(tmp_path, item(0.0, (40, 90)), item(60.0, (40, 90))).sum() == pytest.approx(1.0)


def test_the_background_is_the_mean_of_the_pictures_in_grey(tmp_path: Path) -> None:
    colourful = np.full((HEIGHT, WIDTH, 3), (0, 0, 200), np.uint8)
    picture = made(tmp_path, item(0.0, image=colourful), item(0.5, image=GREY * 0), item(1.0, image=GREY * 0))
    grey = 200 * 0.299 / 2 * 0.6
    assert np.abs(picture[:HEIGHT].astype(float) - grey).max() <= 1.5


def test_boxes_that_hang_over_the_frame_count_at_its_rim(tmp_path: Path) -> None:
    seconds = seconds_of(tmp_path, item(0.0), item(0.5, (-3, 60), (WIDTH, HEIGHT), (80, HEIGHT + 40)))
    assert (seconds[60, 0], seconds[-1, -1], seconds[-1, 80]) == (0.5, 0.5, 0.5)


def test_a_large_picture_has_a_grid_of_its_shape(tmp_path: Path) -> None:
    large = np.zeros((1080, 1920, 3), np.uint8)
    seconds = seconds_of(tmp_path, item(0.0, image=large), item(1.0, (960, 540), image=large))
    assert seconds.shape == (144, 256)
    assert np.argwhere(seconds).tolist() == [[72, 128]]
