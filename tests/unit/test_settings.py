import pytest

from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ConfigError
from pipeline.settings import find_labels, settle

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


def test_a_detector_that_is_told_nothing_has_the_defaults_of_its_contract() -> None:
    settings = settle(detector())
    assert (settings.threshold, settings.iou) == (0.3, 0.6)
    assert settings.classes is None
    assert settings.hide is None


def test_a_classifier_that_is_told_nothing_has_the_defaults_of_its_contract() -> None:
    settings = settle(classifier())
    assert (settings.threshold, settings.top_k) == (0.1, 3)


@pytest.mark.parametrize("value", [0.0, 0.9])
def test_a_choice_wins_even_if_it_is_zero(value: float) -> None:
    settings = settle(detector(), threshold=value, iou=value)
    assert (settings.threshold, settings.iou) == (value, value)
    settings = settle(classifier(), threshold=value, top_k=1)
    assert (settings.threshold, settings.top_k) == (value, 1)


def test_a_model_without_overlaps_needs_no_suppression() -> None:
    assert settle(detector(nms=False)).iou is None


@pytest.mark.parametrize(
    ("threshold", "shown", "hidden"), [(0.9, 0.9, 0.3), (0.1, 0.1, 0.1), (0.0, 0.0, 0.0), (None, 0.3, 0.3)]
)
def test_what_is_hidden_is_looked_for_further_than_what_is_shown(
    threshold: float | None, shown: float, hidden: float
) -> None:
    settings = settle(detector(), threshold=threshold, redact=["person"])
    assert (settings.threshold, settings.hide_threshold) == (shown, hidden)


@pytest.mark.parametrize(("threshold", "lowest", "hidden"), [(None, 0.15, 0.15), (0.5, 0.25, 0.25), (0.9, 0.45, 0.3)])
def test_where_objects_are_followed_low_scores_are_kept_and_hidden_too(
    threshold: float | None, lowest: float, hidden: float
) -> None:
    shown = 0.3 if threshold is None else threshold
    settings = settle(detector(), threshold=threshold, redact=["person"], track=True)
    assert (settings.threshold, settings.lowest, settings.hide_threshold) == (shown, lowest, hidden)
    assert settle(detector(), threshold=threshold).lowest == shown


def test_what_is_hidden_is_looked_for_even_if_it_is_not_shown() -> None:
    settings = settle(detector(), classes=["car"], redact=["person", "cat"])
    assert settings.classes == {2}
    assert settings.hide == {0, 3, 4}
    assert settle(detector(), redact=["cat"]).classes is None


@pytest.mark.parametrize(
    ("contract", "choice", "reason"),
    [
        (classifier(), {"redact": ["person"]}, "'redact' needs the boxes of a detector"),
        (classifier(), {"classes": ["person"]}, "'classes' needs the boxes of a detector"),
        (classifier(), {"iou": 0.0}, "'iou' needs the boxes of a detector"),
        (classifier(), {"track": True}, "'track' needs the boxes of a detector"),
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
