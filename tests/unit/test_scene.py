import numpy as np
import pytest

from pipeline.lettering import Lettering
from pipeline.overlay import Overlay
from pipeline.palette import BLACK
from pipeline.scene import draw_scene
from pipeline.types import Counts, Detections, Frame, Image, LineCount, Redacted, ZoneCount

SIZE = 12


def zone(points=((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)), inside=2) -> ZoneCount:
    return ZoneCount("yard", points, {"car": inside}, {}, {}, dict.fromkeys(range(inside), "car"), {})


def line(points=((0.2, 0.5), (0.8, 0.5)), inward=1, outward=0) -> LineCount:
    return LineCount("gate", points, {"car": inward}, {"car": outward})


def drawn(counts: Counts, height: int = 240, width: int = 320, level: int = 128) -> Image:
    image = np.full((height, width, 3), level, np.uint8)
    draw_scene(image, counts, Lettering(), SIZE)
    return image


@pytest.mark.parametrize("level", [0, 255])
def test_an_outline_shows_on_any_background(level):
    image = drawn(Counts((zone(),), ()), level=level)
    assert (image[100:150, 80] > 200).all()
    assert (image[180, 120:200] > 200).all()
    assert (image[100:150, 78] < 128).all()
    assert (image[100:150, 90:230] == level).all(), "nothing inside"
    assert (image[190:] == level).all()


def test_a_zone_tells_its_name_and_how_many_are_inside():
    two, also_two, three = (drawn(Counts((zone(inside=n),), ())) for n in (2, 2, 3))
    assert np.array_equal(two, also_two)
    rows, columns = np.nonzero((two != three).any(axis=2))
    assert rows.max() < 62, "the number stands above the upper edge"
    assert columns.min() > 80, "behind the name"


def test_a_line_tells_both_numbers_and_points_in():
    image = drawn(Counts((), (line(),)))
    assert (image[120, 100:150] > 200).all()
    assert (image[105:118, 160] > 200).all(), "the arrow points up: to the left of who walks to the right"
    assert (image[125:, :] == 128).all()
    assert not np.array_equal(image, drawn(Counts((), (line(inward=2),))))
    assert not np.array_equal(image, drawn(Counts((), (line(outward=2),))))
    turned = drawn(Counts((), (line(((0.8, 0.5), (0.2, 0.5))),)))
    assert (turned[123:135, 160] > 200).all()


def test_text_stays_in_the_frame():
    for points in (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), ((0.9, 0.02), (1.0, 0.02), (1.0, 0.1))):
        image = drawn(Counts((zone(points),), ()))
        assert (image == BLACK).all(axis=2).any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 50), (50, 2), (17, 31)])
def test_tiny_frames(height, width):
    drawn(Counts((zone(),), (line(),)), height, width)


def test_the_overlay_draws_the_scene_of_a_frame_that_has_one():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), ("car",))
    pictures = []
    for counts in (None, Counts((zone(),), (line(),))):
        frame = Frame(np.full((240, 320, 3), 128, np.uint8), "clip.mp4", 0, 0.0)
        pictures.append(Overlay()(Redacted(frame, nothing, counts)).image)
    assert (pictures[0] == 128).all()
    assert (pictures[1][70:95, 80] > 200).all()
