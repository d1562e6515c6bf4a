"""The page: whole in itself, safe, and usable with two classes as with a thousand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pages import Page

from training.calibration import fit_temperature
from training.evaluation import Calibration, Comparison, Evaluated, Evaluation, Skipped
from training.metrics import evaluate_scores
from training.report import SHEET, confusions, render


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "one.png"
    cv2.imwrite(str(path), np.full((400, 20, 3), 128, np.uint8))
    return path


def evaluation(picture: Path, classes: Sequence[str], n: int = 60, models: int = 1, wrong: float = 0.3) -> Evaluation:
    random = np.random.default_rng(0)
    labels = np.arange(n) % len(classes)
    evaluated = []
    for i in range(models):
        predicted = np.where(random.random(n) < wrong, random.integers(0, len(classes), n), labels)
        scores = random.random((n, len(classes)))
        scores[np.arange(n), predicted] += 3
        scores = (scores / scores.sum(1, keepdims=True)).astype(np.float32)
        metrics = evaluate_scores(scores, labels, classes, ["<day>", "night"] * (n // 2))
        t = fit_temperature(scores, labels)
        calibration = Calibration(t, t, "itself", False, 0.01, 1.0, 0.9)
        evaluated.append(Evaluated(f"model{i}.onnx", Path(f"model{i}.onnx"), "somehow", scores, metrics, calibration))
    comparison = Comparison(0.9, 6, 2, 3, 0.0167, (-0.02, 0.05), 0.001, 0.5) if models > 1 else None
    skipped = (Skipped("<img src=x>.jpg", "<img src=x>.jpg is not an image"),)
    paths = (picture,) * n
    return Evaluation(
        picture.parent, "light", tuple(classes), paths, labels, tuple(evaluated), comparison, skipped, 0, "1.2.3"
    )


@pytest.mark.parametrize("models", [1, 2])
def test_the_page_needs_nothing_beside_it(picture: Path, models: int) -> None:
    text = render(evaluation(picture, ["a", "b", "c"], models=models))
    page = Page(text)
    assert page.links
    for link in page.links:
        assert link.startswith(("data:image/", "#")), link
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.tags.count("svg") == 4 * models


def test_plots_take_the_colours_of_the_page(picture: Path) -> None:
    text = render(evaluation(picture, ["a", "b"]))
    assert "#01010" not in text
    used = set(re.findall(r"var\(--(\w+)\)", text))
    assert used <= set(re.findall(r"--(\w+):", text))
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(fill|stroke): ?#000000", text.replace("stroke: #ffffff", "")), "black on a dark page"


def test_names_are_text_not_markup(picture: Path) -> None:
    page = Page(render(evaluation(picture, ["<script>alert(1)</script>", "a & b", "$x_1^2$", "größe 猫"])))
    assert "script" not in page.tags
    for word in ("<script>alert(1)</script>", "a & b", "$x_1^2$", "größe 猫", "<day>", "<img src=x>.jpg"):
        assert word in page.text, word


def test_names_that_begin_with_a_line_are_in_the_legend(picture: Path) -> None:
    assert re.search(r"_hidden \d\.\d{3}", Page(render(evaluation(picture, ["_hidden", "b"]))).text)


def test_what_was_measured_is_told(picture: Path) -> None:
    given = evaluation(picture, ["cat", "dog"], n=100)
    text = Page(render(given)).text
    metrics = given.models[0].metrics
    for value in (metrics.accuracy, metrics.f1, metrics.precision, metrics.recall, metrics.ece):
        assert f"{100 * value:.1f} %" in text
    assert "1 could not be read" in text
    assert "By the column light, worst first." in text
    assert "among those that the model was trained on" not in text
    assert "Side by side" not in text


def test_two_models_stand_side_by_side(picture: Path) -> None:
    given = evaluation(picture, ["cat", "dog"], models=2)
    text = Page(render(given)).text
    for model in given.models:
        assert f"{100 * model.metrics.accuracy:.2f} %" in text
    assert "Side by side" in text
    assert "+1.67 points" in text
    assert "between −2.00 and +5.00" in text


@pytest.mark.parametrize("models", [1, 2])
def test_a_model_without_mistakes(picture: Path, models: int) -> None:
    text = Page(render(evaluation(picture, ["a", "b"], wrong=0, models=models))).text
    assert "None: every picture was recognised." in text
    assert "100.0 %" in text


def test_a_thousand_classes_stay_usable(picture: Path) -> None:
    given = evaluation(picture, [f"class {i}" for i in range(1000)], n=2000)
    text = render(given)
    page = Page(text)
    assert len(text) < 2_000_000
    assert page.tags.count("img") == SHEET
    assert "Each square stands for 9 × 9 classes" in page.text


def test_classes_without_pictures_are_named(picture: Path) -> None:
    given = evaluation(picture, [f"class {i}" for i in range(70)], n=40)
    text = Page(render(given)).text
    assert "40 classes of the model’s 70" in text
    assert "30 classes of the model have no picture here" in text


def test_thumbnails_are_small(picture: Path) -> None:
    import base64

    text = render(evaluation(picture, ["a", "b"]))
    found = re.search(r"data:image/jpeg;base64,([^\"]+)", text)
    assert found
    image = cv2.imdecode(np.frombuffer(base64.b64decode(found[1]), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (192, 10, 3)


def test_the_most_frequent_mistakes_come_first() -> None:
    confusion = np.array([[50, 3, 0], [9, 40, 1], [0, 0, 0]])
    found = [(each.truth, each.said, each.count, each.share) for each in confusions(confusion, "abc")]
    assert found == [("b", "a", 9, 0.18), ("a", "b", 3, 3 / 53), ("b", "c", 1, 0.02)]
    assert len(confusions(confusion, "abc", most=2)) == 2
