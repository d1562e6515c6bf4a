"""COCO's average precision against cases that can be reckoned by hand."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from support.boxes import BOX, LABELS, found, moved, truth

from training.coco import RECALLS, average_precision


def test_everything_found() -> None:
    pictures = [truth((BOX, 0), (moved(BOX, 200), 1)), truth(), truth(((5, 5, 25, 25), 1))]
    seen = [found((BOX, 0, 0.9), (moved(BOX, 200), 1, 0.8)), found(), found(((5, 5, 25, 25), 1, 0.3))]
    metrics = average_precision(pictures, seen, LABELS)
    assert (metrics.map, metrics.map50, metrics.map75) == pytest.approx((1, 1, 1))
    assert metrics.per_class == {"person": pytest.approx(1), "car": pytest.approx(1), "dog": None}
    assert metrics.by_size == {"small": pytest.approx(1), "medium": None, "large": pytest.approx(1)}
    assert (metrics.images, metrics.boxes) == (3, 3)


@pytest.mark.parametrize(("width", "thresholds"), [(82, 7), (77, 6), (52, 1), (48, 0), (97, 10)])
def test_a_box_counts_up_to_the_threshold_that_its_overlap_reaches(width: int, thresholds: int) -> None:
    narrow = (BOX[0], BOX[1], BOX[0] + width, BOX[3])  # IoU: width ÷ 100
    metrics = average_precision([truth((BOX, 0))], [found((narrow, 0, 0.9))], LABELS)
    assert metrics.map == pytest.approx(thresholds / 10)
    assert metrics.map50 == pytest.approx(float(width >= 50))
    assert metrics.map75 == pytest.approx(float(width >= 75))


def test_an_overlap_that_is_the_threshold_reaches_it() -> None:
    metrics = average_precision([truth((BOX, 0))], [found(((10, 10, 85, 110), 0, 0.9))], LABELS)
    assert metrics.map75 == pytest.approx(1)


def test_half_of_the_objects_found() -> None:
    metrics = average_precision([truth((BOX, 0), (moved(BOX, 200), 0))], [found((BOX, 0, 0.9))], LABELS)
    assert metrics.map == pytest.approx(51 / 101)  # precision 1 at recall 0, 0.01, …, 0.5, and 0 at 0.51, …, 1


def test_the_curves_of_classes_at_half_an_overlap() -> None:
    narrow = (BOX[0], BOX[1], BOX[0] + 60, BOX[3])
    objects = [truth((BOX, 0), (moved(BOX, 200), 0), (moved(BOX, 400), 2))]
    metrics = average_precision(objects, [found((narrow, 0, 0.9))], LABELS)
    np.testing.assert_allclose(metrics.curves50["person"], RECALLS <= 0.5)
    np.testing.assert_allclose(metrics.curves50["dog"], 0)
    assert set(metrics.curves50) == {"person", "dog"}
    assert metrics.map50 == pytest.approx(np.mean([curve.mean() for curve in metrics.curves50.values()]))


def test_a_mistake_costs_what_its_score_says() -> None:
    elsewhere = moved(BOX, 300)
    for score, expected in ((0.95, 0.5), (0.2, 1)):  # before the right one, precision is 1 ÷ 2; after it, no matter
        metrics = average_precision([truth((BOX, 0))], [found((BOX, 0, 0.9), (elsewhere, 0, score))], LABELS)
        assert metrics.map == pytest.approx(expected)


def test_a_second_box_on_one_object_is_a_mistake() -> None:
    seen = found((BOX, 0, 0.95), (moved(BOX, 1), 0, 0.9), (moved(BOX, 200), 0, 0.8))
    metrics = average_precision([truth((BOX, 0), (moved(BOX, 200), 0))], [seen], LABELS)
    assert metrics.map == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_mistake_in_a_picture_without_objects_counts() -> None:
    metrics = average_precision([truth((BOX, 0)), truth()], [found((BOX, 0, 0.8)), found((BOX, 0, 0.9))], LABELS)
    assert metrics.map == pytest.approx(0.5)


def test_wrong_labels() -> None:
    metrics = average_precision([truth((BOX, 0))], [found((BOX, 1, 0.9))], LABELS)
    assert (metrics.map, metrics.map50, metrics.map75) == (0, 0, 0)
    assert metrics.per_class == {"person": 0, "car": None, "dog": None}


def test_classes_weigh_the_same_however_many_objects_they_have() -> None:
    pictures = [truth((BOX, 0), (moved(BOX, 150), 0), (moved(BOX, 300), 0), (moved(BOX, 0, 200), 2))]
    seen = [found((BOX, 0, 0.9), (moved(BOX, 150), 0, 0.9), (moved(BOX, 300), 0, 0.9))]
    metrics = average_precision(pictures, seen, LABELS)
    assert metrics.map == pytest.approx(0.5)
    assert metrics.per_class == {"person": pytest.approx(1), "car": None, "dog": 0}


def test_what_is_found_in_a_crowd_is_no_mistake() -> None:
    crowd = (200, 0, 600, 400)
    pictures = [truth((BOX, 0), (crowd, 0), crowd=[1])]
    inside = [((210 + 50 * i, 20, 250 + 50 * i, 60), 0, 0.95) for i in range(3)]
    metrics = average_precision(pictures, [found(*inside, (BOX, 0, 0.9))], LABELS)
    assert metrics.map == pytest.approx(1)
    assert metrics.boxes == 1
    only = average_precision([truth((crowd, 0), crowd=[0])], [found(*inside)], LABELS)
    assert (only.map, only.per_class["person"], only.boxes) == (None, None, 0)


def test_sizes_go_by_the_area_of_the_object() -> None:
    small, medium, large = (0, 0, 31, 31), (100, 0, 150, 50), (200, 0, 300, 100)
    objects = [(box, 0) for box in (small, medium, large)]
    seen = [found((small, 0, 0.9), (large, 0, 0.8))]
    by_size = average_precision([truth(*objects)], seen, LABELS).by_size
    assert by_size == {"small": pytest.approx(1), "medium": 0, "large": pytest.approx(1)}
    by_size = average_precision([truth(*objects, areas=[900, 900, 9000])], seen, LABELS).by_size
    assert by_size == {"small": pytest.approx(51 / 101), "medium": pytest.approx(1), "large": None}


def test_only_the_best_boxes_of_a_class_count() -> None:
    wrong = [(moved(BOX, 150 * i), 0, 0.9) for i in (1, 2)]
    pictures, seen = [truth((BOX, 0), (BOX, 1))], [found((BOX, 0, 0.5), *wrong, (BOX, 1, 0.1))]
    assert average_precision(pictures, seen, LABELS).per_class["person"] == pytest.approx(1 / 3)
    few = average_precision(pictures, seen, LABELS, max_detections=2)
    assert few.per_class == {"person": 0, "car": pytest.approx(1), "dog": None}


def test_a_hundred_boxes_count_if_nothing_is_said() -> None:
    wrong = [(moved(BOX, 2 * i), 0, 0.9) for i in range(60, 160)]
    pictures, seen = [truth((BOX, 0))], [found((BOX, 0, 0.5), *wrong)]
    assert average_precision(pictures, seen, LABELS).map == 0
    assert average_precision(pictures, seen, LABELS, 300).map == pytest.approx(1 / 101)


def test_nothing_found_and_nothing_to_find() -> None:
    assert average_precision([truth((BOX, 0))], [found()], LABELS).map == 0
    for pictures, seen in (([truth()], [found((BOX, 0, 0.9))]), ([], [])):
        metrics = average_precision(pictures, seen, LABELS)
        assert (metrics.map, metrics.map50, metrics.map75, metrics.boxes) == (None, None, None, 0)
        assert metrics.by_size == {"small": None, "medium": None, "large": None}
        assert metrics.per_class == dict.fromkeys(LABELS)


def test_labels_that_occur_twice_but_not_in_the_truth() -> None:
    labels = ("N/A", "person", "N/A")
    metrics = average_precision([truth((BOX, 1))], [found((BOX, 1, 0.9), (BOX, 2, 0.9))], labels)
    assert metrics.per_class == {"N/A": None, "person": pytest.approx(1)}


def test_detections_that_do_not_fit() -> None:
    picture = truth((BOX, 0))
    with pytest.raises(ValueError, match="1 pictures, but detections of 2"):
        average_precision([picture], [found(), found()], LABELS)
    with pytest.raises(ValueError, match="none of the 3 labels"):
        average_precision([picture], [found((BOX, 3, 0.5))], LABELS)
    for strange in (((0, 0, float("nan"), 5), 0, 0.5), (BOX, 0, float("nan"))):
        with pytest.raises(ValueError, match="must be finite"):
            average_precision([picture], [found(strange)], LABELS)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    average_precision([truth((BOX, 0))], [found((BOX, 0, 0.9))], LABELS)
    average_precision([truth((BOX, 0))], [found()], LABELS)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
