import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.surfaces import FakeSurface

from pipeline.errors import ConfigError
from pipeline.mask import Masked, read_masks, settle_masks
from pipeline.sources import Source
from pipeline.types import Frame, Image, Media

SQUARE = "[[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5]]"
CORNERS = ((0.25, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5))


class Pictures:
    """A source of the given pictures."""

    name, stream, media = "camera", 3, Media(live=True)

    def __init__(self, *images: Image) -> None:
        self.images = images
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def frames(self, stop: threading.Event):
        for index, image in enumerate(self.images):
            yield Frame(image, self.name, index, index / 25, self.stream)


def masked(image: Image, *polygons) -> Image:
    (frame,) = Masked(Pictures(image), polygons).frames(threading.Event())
    return frame.image


def white(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def test_a_picture_on_a_gpu_is_left_behind_when_it_is_masked():
    surface = FakeSurface(white(80, 120))
    (frame,) = Masked(Pictures(surface), [CORNERS]).frames(threading.Event())
    assert frame.on_device is None
    assert not frame.image[20:40, 30:60].any()


def test_a_camera_without_masks_keeps_its_pictures_on_the_gpu():
    surface = FakeSurface(white(80, 120))
    (frame,) = Masked(Pictures(surface), []).frames(threading.Event())
    assert frame.on_device is surface
    assert surface.downloads == 0


def test_inside_is_black_and_outside_as_it_was():
    image = masked(white(80, 120), CORNERS)
    assert not image[20:40, 30:60].any()
    outside = np.ones((80, 120), bool)
    outside[17:43, 27:63] = False
    assert (image[outside] == 255).all()


@given(
    st.tuples(st.integers(8, 90), st.integers(8, 90)),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=3, unique=True),
)
def test_no_pixel_that_a_polygon_touches_is_seen(size, corners):
    height, width = size
    image = masked(white(height, width), corners)
    fine = 16  # the polygon itself, drawn on a grid so fine that its rounding does not matter
    touched = np.zeros((height * fine, width * fine), np.uint8)
    cv2.fillPoly(touched, [np.rint(np.array(corners) * (width * fine, height * fine) - 0.5).astype(np.int32)], 1)
    touched = touched.reshape(height, fine, width, fine).any(axis=(1, 3))
    assert not image[touched].any()
    near = cv2.dilate(touched.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert (image[~near] == 255).all()


def test_a_picture_that_cannot_be_written_is_masked_in_a_copy():
    image = white(40, 40)
    image.flags.writeable = False
    assert not masked(image, CORNERS)[12:18, 12:18].any()
    assert image.all()


def test_masks_follow_the_size_of_the_picture():
    small, large = (
        frame.image for frame in Masked(Pictures(white(40, 40), white(400, 400)), [CORNERS]).frames(threading.Event())
    )
    assert not small[10:20, 10:20].any()
    assert not large[100:200, 100:200].any()
    assert large[210:, 210:].all()


def test_it_is_the_source_in_all_else():
    source = Pictures()
    hidden: Source = Masked(source, [CORNERS])
    assert (hidden.name, hidden.stream, hidden.media) == ("camera", 3, Media(live=True))
    hidden.close()
    assert source.closed


def write(folder: Path, text: str) -> Path:
    file = folder / "masks.yaml"
    file.write_text(text)
    return file


def test_masks_belong_to_their_sources(tmp_path):
    file = write(tmp_path, f"masks:\n  window: {{points: {SQUARE}}}\n  path: {{points: {SQUARE}, sources: [b.mp4]}}")
    assert settle_masks(read_masks(file), ["a.mp4", "b.mp4"]) == [(CORNERS,), (CORNERS, CORNERS)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "masks is missing"),
        ("masks: {}", "masks cannot be {}: give at least one"),
        ("masks: {a: null}", "masks.a cannot be empty: give it keys, such as 'points'"),
        ("mask: {}", "unknown key 'mask'; did you mean 'masks'?"),
        ("masks: {a: {points: [[0, 0], [1, 1]]}}", "masks.a.points: a polygon has at least three points, not 2"),
        ("masks: {a: {points: [[0, 0], [1, 1], [0, 1], [1, 0]]}}", "masks.a.points: edges 1 and 3 meet"),
        (
            f"masks: {{a: {{points: {SQUARE}, classes: [car]}}}}",
            "unknown key 'masks.a.classes'; known are: points, sources",
        ),
        (f"masks: {{a: {{points: {SQUARE}, sources: c.mp4}}}}", "'a' of the masks file belongs to c.mp4"),
        ("masks: {a: [", "is not valid YAML, line 1"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        settle_masks(read_masks(write(tmp_path, text)), ["a.mp4"])
    assert told in str(caught.value)
    assert "masks file" in str(caught.value)
    assert "\n" not in str(caught.value)
