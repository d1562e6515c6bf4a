import numpy as np
import pytest

from pipeline.palette import colour_of
from pipeline.trails import SECONDS, Trails
from pipeline.types import Detections, Frame, Image

NAMES = ("person", "car")
PERSON, CAR = 0, 1


def thing(x: float, label: int = CAR, track: int | None = 1, y: float = 100) -> Detections:
    """An object that stands at (x, y)."""
    boxes_N4 = np.array([[x - 10, y - 40, x + 10, y]], np.float32)
    tracks_N = None if track is None else np.array([track])
    return Detections(boxes_N4, np.array([label]), np.array([0.9], np.float32), NAMES, tracks_N)


NOTHING = thing(0).where(np.array([False]))


def draw(trails: Trails, pts: float, found: Detections, stream: int = 0) -> Image:
    image = np.zeros((200, 300, 3), np.uint8)
    trails.draw(image, Frame(image, "clip.mp4", 0, pts, stream), found)
    return image


def columns(image: Image) -> tuple[int, int] | None:
    """The first and the last column that is not black."""
    found = np.flatnonzero(image.any(axis=(0, 2)))
    return (int(found[0]), int(found[-1])) if len(found) else None


def walk(trails: Trails, *seconds: float, stream: int = 0, **options: int) -> Image:
    """Draws an object that goes 20 pixels a second to the right, along the row 100."""
    for pts in seconds:
        image = draw(trails, pts, thing(50 + 20 * pts, **options), stream)
    return image


def test_a_trail_shows_where_an_object_stood_in_the_colour_of_its_class():
    image = walk(Trails(), *np.arange(0, 1.01, 0.1))
    assert columns(image) == pytest.approx((50, 70), abs=2)
    rows = np.flatnonzero(image.any(axis=(1, 2)))
    assert 97 <= rows[0] <= rows[-1] <= 103
    assert (image[100, 60] == colour_of("car")).all()


def test_a_trail_reaches_back_a_while_and_grows_thicker_to_the_object():
    image = walk(Trails(), *np.arange(0, 5.01, 0.1))
    assert columns(image) == pytest.approx((150 - 20 * SECONDS, 150), abs=3)
    thickness = image.any(axis=2).sum(axis=0)
    assert thickness[146] > thickness[115] > 0


@pytest.mark.parametrize("rate", [2, 10, 60])
def test_its_length_does_not_hang_on_the_frame_rate(rate):
    image = walk(Trails(), *(n / rate for n in range(5 * rate + 1)))
    assert columns(image) == pytest.approx((150 - 20 * SECONDS, 150), abs=12 if rate == 2 else 3)


def test_the_trail_of_a_lost_object_runs_out():
    trails = Trails()
    walk(trails, 0, 0.5, 1.0)
    assert columns(draw(trails, 1.0 + SECONDS / 2, NOTHING)) is not None
    assert columns(draw(trails, 1.1 + SECONDS, NOTHING)) is None
    assert trails._sources == {0: {}}


def test_sources_and_tracks_have_trails_of_their_own():
    trails = Trails()
    walk(trails, 0, 1.0)
    assert columns(draw(trails, 1.0, NOTHING, stream=1)) is None
    draw(trails, 1.1, thing(200, track=2, y=50))
    image = draw(trails, 1.2, thing(220, track=2, y=50))
    assert columns(image[:80]) == pytest.approx((200, 220), abs=3)
    assert columns(image[80:]) == pytest.approx((50, 70), abs=3)


@pytest.mark.parametrize("track", [0, None])
def test_what_has_no_number_has_no_trail(track):
    assert columns(walk(Trails(), 0, 0.5, 1.0, track=track)) is None


def test_what_is_hidden_has_no_trail():
    assert columns(walk(Trails({PERSON}), 0, 0.5, 1.0, label=CAR)) is not None
    assert columns(walk(Trails({PERSON}), 0, 0.5, 1.0, label=PERSON)) is None


def test_a_track_that_turns_out_to_be_hidden_loses_its_trail():
    trails = Trails({PERSON})
    walk(trails, 0, 0.5)
    assert columns(walk(trails, 1.0, label=PERSON)) is None
    assert columns(draw(trails, 1.2, NOTHING)) is None


def test_trails_that_leave_the_picture_are_cut():
    trails = Trails()
    draw(trails, 0.0, thing(-500, y=-500))
    assert columns(draw(trails, 1.0, thing(700, y=700))) is not None


def test_a_trail_follows_the_size_of_the_frames():
    trails = Trails()
    walk(trails, *np.arange(0, 1.01, 0.1))
    small = np.zeros((100, 150, 3), np.uint8)
    trails.draw(small, Frame(small, "clip.mp4", 0, 1.1), thing(36, y=50))
    assert columns(small) == pytest.approx((25, 36), abs=2)
