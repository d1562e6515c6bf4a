import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import InputSpec, Resize
from pipeline.errors import ContractError
from pipeline.postprocess import best_classes, find_hidden, find_objects
from pipeline.preprocess import plan_geometry
from pipeline.types import Classification, Detections

NAMES = tuple(f"class {i}" for i in range(1203))
AS_IT_IS = plan_geometry(1000, 1000, InputSpec(height=1000, width=1000), Resize(rule="stretch"))


def detect(
    boxes: object,
    scores: object,
    labels: object,
    threshold: float | np.ndarray = 0.25,
    iou: float | None = 0.5,
    **options: object,
) -> Detections:
    """Of a batch of one frame."""
    boxes_1K4 = np.asarray(boxes, np.float32).reshape(1, -1, 4)
    geometry = options.pop("geometry", AS_IT_IS)
    arrays = (np.asarray(scores, np.float32)[None], np.asarray(labels, np.int64)[None])
    (found,) = find_objects(boxes_1K4, *arrays, [geometry], NAMES, threshold, iou, **options)
    return found


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(sides.clip(0)))
    return both / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - both)


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> list[int]:
    """Class-aware suppression as a textbook has it: indices of the boxes to keep, best first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(labels[i] != labels[j] or overlap(boxes[i], boxes[j]) <= iou for j in kept):
            kept.append(int(i))
    return kept


# Detectors


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up to 25 boxes with whole-number corners, of different scores, some of them beyond the frame."""
    count = draw(st.integers(0, 25))
    corner, side = st.integers(-50, 120), st.integers(1, 100)
    boxes = [draw(st.tuples(corner, corner, side, side)) for _ in range(count)]
    corners = np.float64([(x, y, x + w, y + h) for x, y, w, h in boxes]).reshape(-1, 4)
    scores = np.float32(draw(st.permutations(range(1, count + 1)))) / 32
    labels = draw(st.lists(st.sampled_from([0, 1, 2, 90, 1202]), min_size=count, max_size=count))
    return corners, scores, np.int64(labels)


@given(scene=scenes(), iou=st.sampled_from([0.0, 0.1, 0.33, 0.45, 0.7, 1.0]))
@settings(max_examples=300, deadline=None)
def test_suppression_is_that_of_the_textbook(scene: tuple[np.ndarray, np.ndarray, np.ndarray], iou: float) -> None:
    boxes, scores, labels = scene
    kept = suppress(boxes, scores, labels, iou)
    found = detect(boxes, scores, labels, threshold=0.0, iou=iou)
    np.testing.assert_array_equal(found.scores_N, scores[kept])
    np.testing.assert_array_equal(found.labels_N, labels[kept])
    np.testing.assert_array_equal(found.boxes_N4, boxes[kept].clip(0, 1000))


def test_equal_boxes_of_two_classes_both_stay() -> None:
    found = detect([[10, 10, 50, 50]] * 3, [0.5, 0.9, 0.8], [0, 1, 0])
    assert found.labels_N.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores_N, [0.9, 0.8])


def test_boxes_of_far_classes_on_a_large_frame_are_told_apart() -> None:
    """Suppression must not lose precision where label ids and coordinates are large."""
    large = plan_geometry(6000, 8000, InputSpec(height=6000, width=8000), Resize(rule="stretch"))
    boxes = [[7000, 5000, 7004, 5004], [7002, 5000, 7006, 5004], [7000.5, 5000, 7004.5, 5004]]
    found = detect(boxes, [0.9, 0.8, 0.7], [1202] * 3, iou=0.5, geometry=large)
    np.testing.assert_array_equal(found.boxes_N4, np.float32(boxes[:2]))


def test_boxes_beyond_the_frame_are_suppressed_before_they_are_clipped() -> None:
    """Two boxes that are alike inside the frame but not outside are two objects."""
    boxes = [[-100, -100, 10, 10], [-10, -10, 10, 10]]
    found = detect(boxes, [0.9, 0.8], [0, 0])
    np.testing.assert_array_equal(found.boxes_N4, [[0, 0, 10, 10]] * 2)


def test_an_overlap_at_the_limit_is_allowed() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]
    assert len(detect(boxes, [0.9, 0.8], [0, 0], iou=0.5)) == 2
    assert len(detect(boxes, [0.9, 0.8], [0, 0], iou=0.49)) == 1


def test_without_iou_nothing_is_suppressed_and_the_best_is_first() -> None:
    found = detect([[1, 1, 9, 9], [2, 2, 9, 9], [1, 1, 9, 9]], [0.5, 0.9, 0.7], [0, 0, 0], iou=None)
    np.testing.assert_array_equal(found.boxes_N4, [[2, 2, 9, 9], [1, 1, 9, 9], [1, 1, 9, 9]])
    np.testing.assert_allclose(found.scores_N, [0.9, 0.7, 0.5])


@pytest.mark.parametrize("iou", [None, 0.5])
def test_the_threshold_belongs_to_what_is_kept(iou: float | None) -> None:
    boxes = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]
    found = detect(boxes, [0.3, 0.29999, 0.31], [0, 0, 0], threshold=0.3, iou=iou)
    np.testing.assert_allclose(found.scores_N, [0.31, 0.3])


@pytest.mark.parametrize("iou", [None, 0.5])
def test_a_score_of_the_threshold_zero_counts_but_an_unused_row_does_not(iou: float | None) -> None:
    found = detect([[0, 0, 9, 9], [20, 20, 29, 29], [0, 0, 0, 0]], [0.0, 0.5, 0.0], [1, 2, -1], threshold=0.0, iou=iou)
    assert found.labels_N.tolist() == [2, 1]


@pytest.mark.parametrize("iou", [None, 0.5])
def test_each_class_may_have_a_threshold_of_its_own(iou: float | None) -> None:
    thresholds_C = np.full(len(NAMES), 0.25, np.float32)
    thresholds_C[[1, 3]] = 0.6, 0.1
    boxes = [[20 * i, 0, 20 * i + 9, 9] for i in range(6)]
    scores, labels = [0.6, 0.59999, 0.25, 0.2, 0.1, 0.9], [1, 1, 0, 0, 3, -1]
    found = detect(boxes, scores, labels, threshold=thresholds_C, iou=iou)
    assert found.labels_N.tolist() == [1, 0, 3]
    with pytest.raises(ContractError, match="class 1300"):
        detect(boxes[:1], [0.3], [1300], threshold=thresholds_C, iou=iou)


@pytest.mark.parametrize(("classes", "labels"), [(None, [0, 1, 2]), ({0, 2}, [0, 2]), (frozenset({1}), [1]), ((), [])])
def test_only_the_wanted_classes_are_kept(classes: object, labels: list[int]) -> None:
    boxes = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]
    assert detect(boxes, [0.9, 0.8, 0.7], [0, 1, 2], classes=classes).labels_N.tolist() == labels


@pytest.mark.parametrize("iou", [None, 0.5])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_frame_without_objects(iou: float | None, rows: int) -> None:
    found = detect(np.zeros((rows, 4)), np.zeros(rows), np.full(rows, -1), iou=iou)
    assert len(found) == 0
    assert found.boxes_N4.shape == (0, 4)


@pytest.mark.parametrize("iou", [None, 0.5])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_types_and_names(iou: float | None, rows: int) -> None:
    found = detect(np.ones((rows, 4)), np.full(rows, 0.5), np.zeros(rows), iou=iou)
    assert (found.boxes_N4.dtype, found.labels_N.dtype, found.scores_N.dtype) == (np.float32, np.int64, np.float32)
    assert found.names == NAMES


@pytest.mark.parametrize(("label", "score", "told"), [(1202, 0.9, False), (1203, 0.9, True), (1203, 0.1, False)])
def test_a_class_without_a_label_is_a_broken_contract(label: int, score: float, told: bool) -> None:
    if not told:
        detect([[0, 0, 9, 9]], [score], [label])
        return
    with pytest.raises(ContractError, match="class 1203, but has 1203 labels"):
        detect([[0, 0, 9, 9]], [score], [label])


def test_boxes_are_taken_back_to_the_frame() -> None:
    geometry = plan_geometry(720, 1280, InputSpec(height=640, width=640), Resize(rule="letterbox", antialias=False))
    found = detect([[0, 140, 320, 320], [-5, 100, 700, 600]], [0.9, 0.8], [0, 1], geometry=geometry)
    np.testing.assert_allclose(found.boxes_N4, [[0, 0, 640, 360], [0, 0, 1280, 720]], atol=1e-3)


def test_the_outputs_of_the_model_are_not_changed() -> None:
    boxes_1K4 = np.float32([[[-5, -5, 9, 9], [1, 1, 9, 9]]])
    scores_1K, labels_1K = np.float32([[0.5, 0.9]]), np.int64([[0, 0]])
    find_objects(boxes_1K4, scores_1K, labels_1K, [AS_IT_IS], NAMES, 0.25, 0.5)
    np.testing.assert_array_equal(boxes_1K4, [[[-5, -5, 9, 9], [1, 1, 9, 9]]])
    np.testing.assert_array_equal(scores_1K, np.float32([[0.5, 0.9]]))


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("iou", [None, 0.5])
@pytest.mark.parametrize(
    ("box", "score"),
    [
        ([NAN, 0, 9, 9], 0.9),
        ([0, 0, INFINITE, 9], 0.9),
        ([-INFINITE] * 2 + [INFINITE] * 2, 0.9),
        ([0, 0, 9, 9], NAN),
        ([0, 0, 9, 9], INFINITE),
    ],
)
def test_a_row_that_is_not_finite_is_no_object_and_disturbs_no_other(
    box: list[float], score: float, iou: float | None
) -> None:
    found = detect([box, [10, 10, 50, 50], [12, 10, 50, 50]], [score, 0.9, 0.8], [0, 0, 0], iou=iou)
    np.testing.assert_array_equal(found.boxes_N4, [[10, 10, 50, 50], [12, 10, 50, 50]][: 1 if iou else 2])


# What is to be hidden


def hidden(boxes: object, scores: object, labels: object, *, threshold: float = 0.25, **options: object) -> np.ndarray:
    arrays = (np.asarray(boxes, np.float32).reshape(1, -1, 4), np.float32([scores]), np.asarray([labels]))
    (found,) = find_hidden(*arrays, [options.get("geometry", AS_IT_IS)], {0, 2}, threshold)
    return found


def test_every_box_of_the_classes_is_hidden_however_they_overlap() -> None:
    boxes = [[10, 10, 50, 50]] * 3 + [[0, 0, 9, 9]] * 2
    found = hidden(boxes, [0.9, 0.8, 0.25, 0.9, 0.2], [0, 0, 2, 1, 0])
    np.testing.assert_array_equal(found, [[10, 10, 50, 50]] * 3)
    assert found.dtype == np.float32


def test_what_is_hidden_lies_in_the_frame() -> None:
    geometry = plan_geometry(720, 1280, InputSpec(height=640, width=640), Resize(rule="letterbox", antialias=False))
    found = hidden([[0, 140, 320, 320], [-5, 100, 700, 600]], [0.9, 0.8], [0, 2], geometry=geometry)
    np.testing.assert_allclose(found, [[0, 0, 640, 360], [0, 0, 1280, 720]], atol=1e-3)


def test_a_score_that_is_not_a_number_is_hidden() -> None:
    assert len(hidden([[0, 0, 9, 9]] * 3, [NAN, INFINITE, -INFINITE], [0, 0, 0])) == 2


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
@pytest.mark.parametrize("corner", range(4))
def test_a_box_that_is_not_finite_does_not_become_finite(value: float, corner: int) -> None:
    """Clipped to the frame, it would hide an edge in place of an object."""
    box = [10.0, 10.0, 20.0, 20.0]
    box[corner] = value
    assert not np.isfinite(hidden([box], [0.9], [0])).all()
    assert len(hidden([box], [0.9], [1])) == 0


@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_to_hide_is_no_box(rows: int) -> None:
    found = hidden(np.zeros((rows, 4)), np.zeros(rows), np.full(rows, -1), threshold=0.0)
    assert (found.shape, found.dtype) == ((0, 4), np.float32)


# Classifiers


def classify(scores: object, top_k: int, threshold: float | np.ndarray) -> Classification:
    """Of a batch of one frame."""
    (best,) = best_classes(np.float32([scores]), NAMES, top_k, threshold)
    return best


def test_the_best_classes_come_first() -> None:
    best = classify([0.1, 0.6, 0.3], 2, 0.0)
    assert best.labels_K.tolist() == [1, 2]
    np.testing.assert_allclose(best.scores_K, [0.6, 0.3])
    assert (best.labels_K.dtype, best.scores_K.dtype, best.names) == (np.int64, np.float32, NAMES)


@given(scores=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5]), min_size=1, max_size=40), k=st.integers(1, 50))
def test_the_best_classes_are_those_of_a_full_sort(scores: list[float], k: int) -> None:
    """Of equal scores the lower label id wins, so that every machine reports the same."""
    best = classify(scores, k, 0.1)
    expected = [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k] if scores[i] > 0.05]
    assert best.labels_K.tolist() == expected


@pytest.mark.parametrize(("threshold", "labels"), [(0.0, [1, 2, 0]), (0.3, [1, 2]), (0.31, [1]), (1.0, [])])
def test_the_threshold_of_a_classifier_is_inclusive(threshold: float, labels: list[int]) -> None:
    assert classify([0.1, 0.6, 0.3], 5, threshold).labels_K.tolist() == labels


def test_each_class_of_a_classifier_may_have_a_threshold_of_its_own() -> None:
    """One that falls short makes room for the next."""
    thresholds_C = np.float32([0.1, 0.7, 0.3])
    assert classify([0.1, 0.6, 0.3], 2, thresholds_C).labels_K.tolist() == [2, 0]


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_score_that_is_not_finite_is_no_class(value: float, k: int) -> None:
    assert classify([0.1, value, 0.3], k, 0.0).labels_K.tolist() == [2, 0][:k]


# Batches


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of up to four frames: scores of which many are equal or not finite, labels, and boxes."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(0, 12)))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    scores_BK = random.choice(np.float32([0, 0.2, 0.3, 0.5, 0.9, np.nan, np.inf]), shape)
    corners_BK4 = np.float32(random.integers(-20, 60, (*shape, 4)))
    corners_BK4[..., 2:] += corners_BK4[..., :2].clip(0) + 1
    corners_BK4[random.random(shape) < 0.1, 0] = np.nan
    return corners_BK4, scores_BK, random.integers(-1, 4, shape)


@given(batch=batches(), k=st.integers(1, 14))
@settings(deadline=None)
def test_the_classes_of_a_batch_are_those_of_its_frames(batch: tuple[np.ndarray, ...], k: int) -> None:
    _, scores_BC, _ = batch
    together = best_classes(scores_BC, NAMES, k, 0.25)
    assert len(together) == len(scores_BC)
    for found, scores_C in zip(together, scores_BC, strict=True):
        alone = classify(scores_C, k, 0.25)
        np.testing.assert_array_equal(found.labels_K, alone.labels_K)
        np.testing.assert_array_equal(found.scores_K, alone.scores_K)


@given(batch=batches(), iou=st.sampled_from([None, 0.3]), classes=st.sampled_from([None, {0, 2}]))
@settings(deadline=None)
def test_the_objects_of_a_batch_are_those_of_its_frames(
    batch: tuple[np.ndarray, ...], iou: float | None, classes: set[int] | None
) -> None:
    """Frames of a batch may lie in their inputs in different ways."""
    sizes = [(1000, 1000), (500, 500), (1000, 500), (40, 30)]
    square = InputSpec(height=1000, width=1000)
    geometries = [plan_geometry(*size, square, Resize(rule="stretch")) for size in sizes[: len(batch[1])]]
    together = find_objects(*batch, geometries, NAMES, 0.25, iou, classes)
    hidden_together = find_hidden(*batch, geometries, {0, 2}, 0.25)
    for i, geometry in enumerate(geometries):
        rows = tuple(each[i] for each in batch)
        alone = detect(*rows, iou=iou, geometry=geometry, classes=classes)
        np.testing.assert_array_equal(together[i].boxes_N4, alone.boxes_N4)
        np.testing.assert_array_equal(together[i].labels_N, alone.labels_N)
        np.testing.assert_array_equal(together[i].scores_N, alone.scores_N)
        np.testing.assert_array_equal(hidden_together[i], hidden(*rows, geometry=geometry))
