"""The page of detectors: whole in itself, safe, and usable with one class as with hundreds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.boxes import BOX, moved, truth
from support.pages import Page

from pipeline.types import Detections
from training.coco import average_precision
from training.evaluation import Skipped
from training.evaluation_boxes import BoxEvaluation, EvaluatedBoxes, Protocol, compare_boxes
from training.metrics_boxes import evaluate_boxes
from training.report_boxes import SHEET, render_boxes


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "<one>.png"
    cv2.imwrite(str(path), np.full((480, 640, 3), 128, np.uint8))
    return path


def evaluation(
    picture: Path, labels: Sequence[str], n: int = 12, models: int = 1, wrong: float = 0.4, iou: float | None = 0.65
) -> BoxEvaluation:
    """Pictures of one object of each class in turn; each box lies on it, beside it, or has the wrong class."""
    random = np.random.default_rng(0)
    names = tuple(labels)
    images = tuple(replace(truth((moved(BOX, 5 * i), i % len(names))), path=picture) for i in range(n))
    evaluated = []
    for m in range(models):
        found = []
        for image in images:
            bad = random.random() < wrong
            box = image.boxes_N4 + np.float32(random.choice([0, 60, 300]) if bad else 0)
            label = (image.labels_N + (bad and random.integers(2))) % len(names)
            found.append(Detections(box, label, np.float32([random.uniform(0.3, 0.99)]), names))
        average = average_precision(images, found, names)
        metrics = evaluate_boxes(images, found, names, average, threshold=0.25)
        protocol = Protocol(0.001, 300, iou, iou and 0.45)
        evaluated.append(EvaluatedBoxes(f"m{m}.onnx", Path(f"m{m}.onnx"), "somehow", protocol, tuple(found), metrics))
    comparison = compare_boxes(evaluated[0].metrics, evaluated[1].metrics) if models > 1 else None
    skipped = (Skipped("<img src=x>.jpg", "<img src=x>.jpg is not an image"),)
    return BoxEvaluation(picture.parent, names, images, tuple(evaluated), comparison, skipped, 0, 1234, 5, "1.2.3")


@pytest.mark.parametrize("models", [1, 2])
def test_the_page_needs_nothing_beside_it(picture: Path, models: int) -> None:
    text = render_boxes(evaluation(picture, ["a", "b", "c"], models=models))
    page = Page(text)
    assert page.links
    for link in page.links:
        assert link.startswith(("data:image/", "#")), link
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == 3 * models
    assert "#01010" not in text
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= set(re.findall(r"--(\w+):", text))


def test_what_was_measured_is_told(picture: Path) -> None:
    given = evaluation(picture, ["cat", "dog"])
    text = Page(render_boxes(given)).text
    metrics = given.models[0].metrics
    point, average = metrics.point, metrics.average
    for value in (average.map, average.map50, average.map75, point.precision, point.recall, point.f1):
        assert value is not None
        assert f"{100 * value:.1f} %" in text
    for low, high in metrics.intervals.values():
        assert f"{100 * low:.1f} – {100 * high:.1f}" in text
    assert "12 objects of 2 classes in 12 pictures" in text
    assert f"a score of at least 0.25: {point.n} for 12 objects" in text
    for kind, count in metrics.errors.items():
        assert re.search(rf"{kind} {count} ", text, re.IGNORECASE), kind
    assert "1 could not be read" in text
    assert "Side by side" not in text
    warned = "5 of these pictures are among those that the model was trained on"
    assert warned not in text
    assert warned in Page(render_boxes(replace(given, trained_on=5))).text


def test_the_protocol_is_told(picture: Path) -> None:
    text = Page(render_boxes(evaluation(picture, ["cat", "dog"]))).text
    assert "scores from 0.001 on, the best 300 of a picture, every class of a box" in text
    assert "overlap by more than 0.65 are one" in text
    assert "as a stream shows them: one where they overlap by more than 0.45" in text
    text = Page(render_boxes(evaluation(picture, ["cat", "dog"], iou=None))).text
    assert "overlaps are suppressed by its graph" in text


def test_names_are_text_not_markup(picture: Path) -> None:
    page = Page(render_boxes(evaluation(picture, ["<script>alert(1)</script>", "a & b", "$x_1^2$", "größe 猫"])))
    assert "script" not in page.tags
    for word in ("<script>alert(1)</script>", "a & b", "$x_1^2$", "größe 猫", "<one>.png", "<img src=x>.jpg"):
        assert word in page.text, word


def test_two_models_stand_side_by_side(picture: Path) -> None:
    given = evaluation(picture, ["cat", "dog"], models=2)
    text = Page(render_boxes(given)).text
    for model in given.models:
        for name, value in (("map", model.metrics.average.map), ("f1", model.metrics.point.f1)):
            low, high = model.metrics.intervals[name]
            assert f"{100 * value:.2f} % {100 * low:.1f} – {100 * high:.1f}" in text
    told = given.comparison
    assert told is not None
    for name, change, (low, high) in (
        ("mAP", told.map_difference, told.map_interval),
        ("F1", told.f1_difference, told.interval),
    ):
        shown = [re.escape(f"{100 * value:+.2f}".replace("-", "−")) for value in (change, low, high)]
        said = "second’s {} minus the first’s is {} points, .*?between {} and {}\\."
        assert re.search(said.format(name, *shown), text)
    assert "Side by side" in text


@pytest.mark.parametrize("models", [1, 2])
def test_a_model_without_mistakes(picture: Path, models: int) -> None:
    page = Page(render_boxes(evaluation(picture, ["a"], wrong=0, models=models)))
    assert ("100.0 %", "100.00 %")[models - 1] in page.text
    assert "img" not in page.tags


def test_hundreds_of_classes_and_mistakes_stay_usable(picture: Path) -> None:
    given = evaluation(picture, [f"class {i}" for i in range(300)], n=60, wrong=1)
    text = render_boxes(given)
    page = Page(text)
    assert len(text) < 2_000_000
    assert page.tags.count("img") == sum(min(count, SHEET) for count in given.models[0].metrics.errors.values())
    assert "Each square stands for 3 × 3 classes" in page.text
    assert "240 classes of the model have no object here" in page.text
