import numpy as np
import pytest
from support.surfaces import FakeSurface

from pipeline.redact import Redactor
from pipeline.types import Annotated, Classification, Detections, Frame, Recognised


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 1), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((2, 4, 6, 3), np.uint8),
    ],
)
def test_a_frame_is_a_picture_of_three_colours(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame must be uint8"):
        Frame(image, "a", 0, None)


def test_a_frame_knows_its_size_and_when_it_was_born() -> None:
    first, second = (Frame(np.zeros((4, 6, 3), np.uint8), "a", i, None) for i in range(2))
    assert (first.height, first.width, first.stream) == (4, 6, 0)
    assert first.born <= second.born


def test_a_picture_on_a_gpu_is_downloaded_when_it_is_asked_for() -> None:
    surface = FakeSurface(np.full((4, 6, 3), 7, np.uint8))
    frame = Frame(surface, "a", 0, None)
    assert (frame.height, frame.width, surface.downloads) == (4, 6, 0)
    assert frame.on_device is surface
    assert (frame.image == 7).all()


def test_a_picture_that_may_be_changed_stands_alone() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    frame = Frame(image, "a", 0, None)
    assert frame.editable() is frame
    image.flags.writeable = False
    assert frame.editable().image.flags.writeable
    on_gpu = Frame(FakeSurface(np.zeros((4, 6, 3), np.uint8)), "a", 3, 0.5, born=7.0)
    editable = on_gpu.editable()
    assert (editable.on_device, editable.index, editable.pts, editable.born) == (None, 3, 0.5, 7.0)


def test_what_is_not_drawn_on_is_shown_as_it_is() -> None:
    surface = FakeSurface(np.zeros((4, 6, 3), np.uint8))
    nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ())
    redacted = Redactor(False)(Recognised(Frame(surface, "a", 0, None), nothing))
    item = Annotated(redacted)
    assert (item.frame.index, surface.downloads) == (0, 0)
    assert item.image is redacted.frame.image
    drawn = np.ones((4, 6, 3), np.uint8)
    assert Annotated(redacted, drawn).image is drawn


def test_detections_are_chosen_row_by_row() -> None:
    boxes_N4 = np.arange(12, dtype=np.float32).reshape(3, 4)
    detections = Detections(boxes_N4, np.array([2, 0, 1]), np.array([0.9, 0.8, 0.7], np.float32), ("a", "b", "c"))
    chosen = detections.where(np.array([True, False, True]))
    assert len(chosen) == 2
    np.testing.assert_array_equal(chosen.boxes_N4, boxes_N4[[0, 2]])
    assert chosen.labels_N.tolist() == [2, 1]
    assert chosen.names == detections.names
    assert chosen.tracks_N is None
    assert chosen.then_N is None


def test_what_is_known_of_detections_is_chosen_with_them() -> None:
    breed = Classification(np.array([0]), np.array([0.9], np.float32), ("beagle",))
    detections = Detections(
        np.zeros((3, 4), np.float32),
        np.zeros(3, np.int64),
        np.ones(3, np.float32),
        ("dog",),
        np.arange(3),
        (None, None, breed),
    )
    chosen = detections.where(np.array([True, False, True]))
    assert chosen.tracks_N is not None
    assert chosen.tracks_N.tolist() == [0, 2]
    assert chosen.then_N == (None, breed)
