import numpy as np
import pytest

from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ConfigError
from pipeline.settings import Settings, find_labels, settle

LABELS = ("person", "Traffic Light", "car", "cat", "person")


def detector(nms: bool = True) -> ModelContract:
    return ModelContract(
        task="detect",
        labels=LABELS,
        input=InputSpec(height=64, width=64),
        resize=Resize(rule="letterbox"),
        detector=DetectorSpec(candidates=10, nms=nms, threshold=0.3, iou=0.6),
    )


def classifier() -> ModelContract:
    return ModelContract(
        task="classify",
        labels=LABELS,
        input=InputSpec(height=64, width=64),
        resize=Resize(rule="stretch"),
        classifier=ClassifierSpec(top_k=3, threshold=0.1),
    )


def thresholds(settings: Settings) -> list[float]:
    return [round(float(score), 6) for score in settings.thresholds_C]


def lowest_scores(settings: Settings) -> list[float]:
    return [round(float(score), 6) for score in settings.lowest_C]


def test_a_detector_that_is_told_nothing_has_the_defaults_of_its_contract() -> None:
    settings = settle(detector())
    assert (thresholds(settings), settings.iou) == ([0.3] * 5, 0.6)
    assert (settings.classes, settings.hide, settings.tiles) == (None, None, None)


def test_a_classifier_that_is_told_nothing_has_the_defaults_of_its_contract() -> None:
    settings = settle(classifier())
    assert (thresholds(settings), settings.top_k) == ([0.1] * 5, 3)


@pytest.mark.parametrize("value", [0.0, 0.9])
def test_a_choice_wins_even_if_it_is_zero(value: float) -> None:
    settings = settle(detector(), threshold=value, iou=value)
    assert (thresholds(settings), settings.iou) == ([value] * 5, value)
    settings = settle(classifier(), threshold=value, top_k=1)
    assert (thresholds(settings), settings.top_k) == ([value] * 5, 1)


def test_a_model_without_overlaps_needs_no_suppression() -> None:
    assert settle(detector(nms=False)).iou is None


@pytest.mark.parametrize(
    ("threshold", "shown", "hidden"), [(0.9, 0.9, 0.25), (0.1, 0.1, 0.1), (0.0, 0.0, 0.0), (None, 0.3, 0.25)]
)
def test_what_is_hidden_is_looked_for_further_than_what_is_shown(
    threshold: float | None, shown: float, hidden: float
) -> None:
    settings = settle(detector(), threshold=threshold, redact=["person"])
    assert thresholds(settings) == [shown] * 5
    assert settings.hide_threshold == pytest.approx(hidden)


@pytest.mark.parametrize(("threshold", "lowest", "hidden"), [(None, 0.15, 0.15), (0.5, 0.25, 0.25), (0.9, 0.45, 0.25)])
def test_where_objects_are_followed_low_scores_are_kept_and_hidden_too(
    threshold: float | None, lowest: float, hidden: float
) -> None:
    shown = 0.3 if threshold is None else threshold
    settings = settle(detector(), threshold=threshold, redact=["person"], track=True)
    assert (thresholds(settings), lowest_scores(settings)) == ([shown] * 5, [lowest] * 5)
    assert settings.hide_threshold == pytest.approx(hidden)
    assert lowest_scores(settle(detector(), threshold=threshold)) == [shown] * 5


@pytest.mark.parametrize("contract", [detector(), classifier()])
def test_a_class_may_have_a_threshold_of_its_own(contract: ModelContract) -> None:
    settings = settle(contract, threshold=0.2, class_thresholds={" traffic LIGHT": 0.6, "person": 0.0})
    assert settings.thresholds_C.dtype == np.float32
    assert thresholds(settings) == [0.0, 0.6, 0.2, 0.2, 0.0]
    assert lowest_scores(settings) == thresholds(settings)


def test_a_track_goes_on_from_half_the_threshold_of_its_class() -> None:
    settings = settle(detector(), class_thresholds={"cat": 0.9}, track=True)
    assert settings.lowest_C.dtype == np.float32
    assert lowest_scores(settings) == [0.15, 0.15, 0.15, 0.45, 0.15]


@pytest.mark.parametrize(("track", "hidden"), [(False, 0.2), (True, 0.1)])
def test_what_is_hidden_is_looked_for_as_low_as_any_class_is_shown(track: bool, hidden: float) -> None:
    settings = settle(detector(), threshold=0.8, class_thresholds={"car": 0.2}, redact=["person"], track=track)
    assert settings.hide_threshold == pytest.approx(hidden)


def test_a_high_threshold_of_a_class_does_not_show_what_is_hidden() -> None:
    assert settle(detector(), class_thresholds={"person": 0.9}, redact=["person"]).hide_threshold == pytest.approx(0.25)


def test_one_tile_is_the_whole_frame() -> None:
    assert settle(detector(), tiles=(3, 2)).tiles == (3, 2)
    assert settle(detector(), tiles=(1, 1)).tiles is None
    assert settle(classifier(), tiles=(1, 1)).tiles is None


def test_what_is_hidden_is_looked_for_even_if_it_is_not_shown() -> None:
    settings = settle(detector(), classes=["car"], redact=["person", "cat"])
    assert settings.classes == {2}
    assert settings.hide == {0, 3, 4}
    assert settle(detector(), redact=["cat"]).classes is None


@pytest.mark.parametrize(("track", "kept"), [(False, {2}), (True, None)])
def test_all_classes_are_kept_where_a_track_decides_which_are_shown(track: bool, kept: set[int] | None) -> None:
    settings = settle(detector(), classes=["car"], track=track)
    assert (settings.classes, settings.kept) == ({2}, kept)


@pytest.mark.parametrize(
    ("contract", "choice", "reason"),
    [
        (classifier(), {"redact": ["person"]}, "'redact' needs the boxes of a detector"),
        (classifier(), {"classes": ["person"]}, "'classes' needs the boxes of a detector"),
        (classifier(), {"iou": 0.0}, "'iou' needs the boxes of a detector"),
        (classifier(), {"track": True}, "'track' needs the boxes of a detector"),
        (classifier(), {"tiles": (2, 2)}, "'tiles' needs the boxes of a detector"),
        (detector(), {"class_thresholds": {"persn": 0.5}}, "no label 'persn'; did you mean person"),
        (classifier(), {"class_thresholds": {"kar": 0.5}}, "no label 'kar'; did you mean car"),
        (detector(), {"class_thresholds": {"car": 0.5, "CAR": 0.4}}, "two scores for 'car'"),
        (detector(), {"top_k": 3}, "'top_k' is for classifiers"),
        (detector(nms=False), {"iou": 0.0}, "'iou' has no effect"),
        (detector(), {"classes": ["bicycle"]}, "no label 'bicycle'"),
        (detector(), {"redact": ["bicycle"]}, "no label 'bicycle'"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(contract: ModelContract, choice: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        settle(contract, **choice)


def test_labels_are_found_whatever_their_case_and_as_often_as_they_are() -> None:
    assert find_labels(["PERSON", " traffic light "], LABELS) == {0, 1, 4}
    assert find_labels([], LABELS) == frozenset()


@pytest.mark.parametrize(
    ("name", "meant"), [("perso", "person"), ("trafic light", "Traffic Light"), ("PERSN", "person"), ("kar", "car")]
)
def test_a_mistyped_label_is_told_what_it_may_have_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}'; did you mean .*{meant}"):
        find_labels([name], LABELS)


def test_the_same_name_is_not_suggested_twice() -> None:
    with pytest.raises(ConfigError) as caught:
        find_labels(["perso"], LABELS)
    assert str(caught.value).count("person") == 1


def test_the_labels_are_told_where_none_is_near_and_dots_only_where_some_are_left_out() -> None:
    with pytest.raises(ConfigError, match=r"it knows a, b$"):
        find_labels(["zebra"], ("a", "b"))
    many = tuple(f"label {chr(65 + i)}" for i in range(20))
    with pytest.raises(ConfigError, match=r"it knows label A, .*, label H, …"):
        find_labels(["7"], many)
