from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gpu import FakeDriver, use

from pipeline.contract import ClassifierSpec, InputSpec, ModelContract, Resize
from pipeline.model import Outputs
from pipeline.second import BATCH, GPU_BATCH, LOOK_AGAIN, SecondModel, squares_around
from pipeline.track import LOST_AFTER
from pipeline.types import Classification, Detections, Frame, Image, Look, Recognised

NAMES = ("cat", "dog")
BLUE, GREEN, RED = (200, 50, 0), (50, 200, 0), (0, 50, 200)


class Fake:
    """A classifier of blue, green and red: its scores are the parts of the channels in the light of the picture."""

    device = "cpu"

    def __init__(self, top_k: int = 2, threshold: float = 0.0) -> None:
        self.contract = ModelContract(
            task="classify",
            labels=("blue", "green", "red"),
            input=InputSpec(height=8, width=8),
            resize=Resize(rule="stretch"),
            classifier=ClassifierSpec(top_k=top_k, threshold=threshold),
        )
        self.batches: list[int] = []

    def infer(self, frames_BHW3: Image) -> Outputs:
        self.batches.append(len(frames_BHW3))
        light_B3 = frames_BHW3.mean(axis=(1, 2)) + 1e-6
        return {"scores": (light_B3 / light_B3.sum(axis=1, keepdims=True)).astype(np.float32)}


def boxes(
    *corners: tuple[float, ...], labels: Sequence[int] | None = None, tracks: Sequence[int] | None = None
) -> Detections:
    count = len(corners)
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([0] * count if labels is None else labels, np.int64),
        np.ones(count, np.float32),
        NAMES,
        None if tracks is None else np.array(tracks, np.int64),
    )


def painted(
    *areas: tuple[tuple[int, int, int, int], tuple[int, int, int]], size: tuple[int, int] = (100, 200)
) -> Image:
    image = np.zeros((*size, 3), np.uint8)
    for (x1, y1, x2, y2), colour in areas:
        image[y1:y2, x1:x2] = colour
    return image


def look(
    second: SecondModel,
    found: Detections,
    image: Image,
    pts: float | None = None,
    stream: int = 0,
    kind: Look | None = None,
) -> list:
    """The label and score of the best class of every object; None where there is none."""
    results = second(Recognised(Frame(image, "clip.mp4", 0, pts, stream, look=kind), found)).results
    assert isinstance(results, Detections)
    assert results.then_N is not None
    return [
        None if each is None else (each.names[each.labels_K[0]], pytest.approx(float(each.scores_K[0]), abs=1e-5))
        for each in results.then_N
    ]


PLACES = ((10.0, 10.0, 30.0, 30.0), (100.0, 20.0, 140.0, 60.0), (150.0, 70.0, 170.0, 90.0))
STREET = painted(((10, 10, 30, 30), BLUE), ((100, 20, 140, 60), GREEN), ((150, 70, 170, 90), RED))


def test_every_object_gets_what_is_seen_in_its_box():
    second = SecondModel(Fake())
    assert look(second, boxes(*PLACES), STREET) == [("blue", 0.8), ("green", 0.8), ("red", 0.8)]


def test_as_much_is_told_as_the_contract_says():
    for top_k, threshold, count in ((1, 0.0, 1), (3, 0.0, 3), (3, 0.1, 2), (3, 0.9, 0)):
        second = SecondModel(Fake(top_k, threshold))
        results = second(Recognised(Frame(STREET, "clip.mp4", 0, None), boxes(PLACES[0]))).results
        (answer,) = results.then_N
        assert len(answer) == count
        assert answer.names == ("blue", "green", "red")


def test_nothing_else_changes():
    found, hide_N4 = boxes(*PLACES, tracks=[3, 0, 9]), np.array([PLACES[0]], np.float32)
    given = Recognised(Frame(STREET, "clip.mp4", 0, 0.0), found, hide_N4)
    looked = SecondModel(Fake())(given)
    assert looked.frame is given.frame
    assert looked.hide_N4 is hide_N4
    for name in ("boxes_N4", "labels_N", "scores_N", "names", "tracks_N"):
        assert getattr(looked.results, name) is getattr(found, name)


def test_only_the_classes_asked_for_are_looked_at():
    model = Fake()
    found = boxes(*PLACES, labels=[1, 0, 1])
    assert look(SecondModel(model, frozenset({1})), found, STREET) == [("blue", 0.8), None, ("red", 0.8)]
    assert model.batches == [2]


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (1, [1]), (BATCH, [BATCH]), (2 * BATCH + 6, [BATCH, BATCH, 6])]
)
def test_the_objects_of_a_frame_share_inferences(count, batches):
    model = Fake()
    seen = look(SecondModel(model), boxes(*[PLACES[i % 3] for i in range(count)]), STREET)
    assert seen == [(("blue", "green", "red")[i % 3], 0.8) for i in range(count)]
    assert model.batches == batches


def test_on_a_gpu_fewer_share_one_for_each_is_made_up_to_the_same_size(monkeypatch):
    use(FakeDriver(), monkeypatch)
    model = Fake()
    model.device = "cuda"
    look(SecondModel(model), boxes(*[PLACES[0]] * (2 * GPU_BATCH + 1)), STREET)
    assert model.batches == [GPU_BATCH, GPU_BATCH, 1]


def test_a_classifier_that_resizes_in_its_graph_gets_each_object_as_it_is():
    model = Fake()
    model.contract = model.contract.model_copy(update={"resize": Resize(rule="graph")})
    assert look(SecondModel(model), boxes(*PLACES), STREET) == [("blue", 0.8), ("green", 0.8), ("red", 0.8)]
    assert model.batches == [1, 1, 1]


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((100, 20, 110, 60), (85, 20, 125, 60)),
        ((80, 40, 120, 50), (80, 25, 120, 65)),
        ((0, 20, 10, 60), (0, 20, 40, 60)),
        ((190, 20, 200, 60), (160, 20, 200, 60)),
        ((80, 95, 120, 100), (80, 60, 120, 100)),
        ((20, 40, 180, 60), (20, 0, 180, 100)),
        ((0, 0, 200, 100), (0, 0, 200, 100)),
        ((10.4, 20.2, 12.1, 21.9), (10, 20, 13, 22)),
        ((199.9, 99.9, 200, 100), (199, 99, 200, 100)),
    ],
)
def test_a_look_takes_in_the_square_around_a_box(box, square):
    assert squares_around(np.float32([box]), 100, 200).tolist() == [list(square)]


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 30),
        (10, 10, 30, 10),
        (30, 30, 10, 10),
        (-50, 10, -10, 30),
        (200, 10, 240, 30),
        (10, 100, 30, 120),
        (float("nan"), 10, 30, 30),
    ],
)
def test_a_box_without_a_pixel_gets_no_look(box):
    model = Fake()
    assert look(SecondModel(model), boxes(box, PLACES[0]), STREET) == [None, ("blue", 0.8)]
    assert model.batches == [1]


corner = st.floats(width=32) | st.floats(-20, 120, width=32)


@settings(max_examples=100, deadline=None)
@given(
    corners=st.lists(st.tuples(corner, corner, corner, corner), max_size=4),
    shape=st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_whatever_the_boxes_are_each_has_an_answer_or_none(corners, shape):
    assert len(look(SecondModel(Fake()), boxes(*corners), painted(size=shape))) == len(corners)


def test_without_tracks_every_frame_is_looked_at():
    model = Fake()
    second = SecondModel(model)
    for pts in (0.0, 0.04, 0.08):
        look(second, boxes(*PLACES), STREET, pts)
    assert model.batches == [3, 3, 3]


def test_what_is_no_detection_is_a_fault():
    results = Classification(np.array([0]), np.array([1], np.float32), NAMES)
    with pytest.raises(ValueError, match="boxes of a detector"):
        SecondModel(Fake())(Recognised(Frame(STREET, "clip.mp4", 0, None), results))


# Tracks


def test_a_track_is_looked_at_once_and_keeps_its_answer():
    model = Fake()
    second = SecondModel(model)
    found = boxes(PLACES[0], tracks=[7])
    for pts in (0.0, 0.04, 0.5, 1.0, 1.5, LOOK_AGAIN - 0.04):
        assert look(second, found, STREET if pts == 0 else painted(), pts) == [("blue", 0.8)]
    assert model.batches == [1]


def test_a_box_without_a_number_is_not_looked_at():
    model = Fake()
    second = SecondModel(model)
    assert look(second, boxes(*PLACES, tracks=[0, 0, 0]), STREET, 0.0) == [None, None, None]
    assert look(second, boxes(*PLACES, tracks=[1, 0, 2]), STREET, 0.04) == [("blue", 0.8), None, ("red", 0.8)]
    assert model.batches == [2]


@pytest.mark.parametrize(("side", "looks"), [(20, 1), (21, 1), (23, 2), (40, 2), (10, 1)])
def test_a_track_that_has_come_closer_is_looked_at_again(side, looks):
    model = Fake()
    second = SecondModel(model)
    for pts, width in ((0.0, 20), (0.04, side), (0.08, 20)):
        look(second, boxes((10, 10, 10 + width, 10 + width), tracks=[1]), STREET, pts)
    assert len(model.batches) == looks


@pytest.mark.parametrize("rate", [5, 25, 60])
def test_a_track_is_looked_at_again_after_a_while(rate):
    model = Fake()
    second = SecondModel(model)
    for index in range(round(5 * LOOK_AGAIN * rate)):
        look(second, boxes(PLACES[0], tracks=[1]), STREET, 3 + index / rate)
    assert len(model.batches) == 5


def test_a_large_look_weighs_more_than_a_small_one():
    second = SecondModel(Fake())
    small, large = (0, 0, 20, 20), (0, 0, 40, 40)
    assert look(second, boxes(small, tracks=[1]), painted(((0, 0, 20, 20), BLUE)), 0.0) == [("blue", 0.8)]
    seen = look(second, boxes(large, tracks=[1]), painted(((0, 0, 40, 40), RED)), 0.5)
    assert seen == [("red", (0.0 * 400 + 0.8 * 1600) / 2000)]
    for pts in (1.0, 1.5, 2.0):
        assert look(second, boxes(small, tracks=[1]), painted(((0, 0, 20, 20), BLUE)), pts) == seen
    again = look(second, boxes(small, tracks=[1]), painted(((0, 0, 20, 20), BLUE)), 0.5 + LOOK_AGAIN)
    assert again == [("red", 0.8 * 1600 / 2400)]


def test_a_track_that_is_gone_is_forgotten():
    model = Fake()
    second = SecondModel(model)
    for pts in (0.0, 0.5 * LOST_AFTER, 1.4 * LOST_AFTER):
        look(second, boxes(PLACES[0], tracks=[1]), STREET, pts)
    assert len(model.batches) == 1
    look(second, boxes(PLACES[1], tracks=[2]), STREET, 1.5 * LOST_AFTER)
    assert look(second, boxes(PLACES[2], tracks=[1]), STREET, 2.5 * LOST_AFTER) == [("red", 0.8)]
    assert len(model.batches) == 3


def test_each_source_has_tracks_of_its_own():
    model = Fake()
    second = SecondModel(model)
    assert look(second, boxes(PLACES[0], tracks=[1]), STREET, 0.0, stream=0) == [("blue", 0.8)]
    assert look(second, boxes(PLACES[1], tracks=[1]), STREET, 9.0, stream=1) == [("green", 0.8)]
    assert look(second, boxes(PLACES[2], tracks=[1]), STREET, 0.04, stream=0) == [("blue", 0.8)]
    assert len(model.batches) == 2


def test_a_track_whose_class_is_not_asked_for_has_no_answer():
    second = SecondModel(Fake(), frozenset({1}))
    seen = [look(second, boxes(PLACES[0], labels=[label], tracks=[1]), STREET, 0.1 * label) for label in (0, 1, 0)]
    assert seen == [[None], [("blue", 0.8)], [None]]


# Frames at which the first model has not looked


def test_a_predicted_box_is_not_looked_into_but_keeps_its_answer_and_is_not_forgotten():
    model = Fake()
    second = SecondModel(model)
    assert look(second, boxes(PLACES[0], tracks=[1]), STREET, 0.0, kind="anew") == [("blue", 0.8)]
    grown = boxes((0.0, 0.0, 60.0, 60.0), tracks=[1])
    for pts in (0.9 * LOST_AFTER, 1.8 * LOST_AFTER, 2.7 * LOST_AFTER):
        assert look(second, grown, STREET, pts, kind="ahead") == [("blue", 0.8)]
    assert model.batches == [1]


def test_a_track_that_gets_its_number_while_nothing_moves_is_looked_at():
    model = Fake()
    second = SecondModel(model)
    assert look(second, boxes(PLACES[2], tracks=[0]), STREET, 0.0, kind="anew") == [None]
    assert look(second, boxes(PLACES[2], tracks=[1]), STREET, 0.04, kind="same") == [("red", 0.8)]
    assert model.batches == [1]
