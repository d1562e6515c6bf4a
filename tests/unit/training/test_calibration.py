"""Calibration error, against torchmetrics; temperatures, against ones that are known."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibration import (
    apply_temperature,
    calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    scores_error,
)


def draw(n: int, classes: int, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are those of the labels for a temperature of 1: softmax(logits · temperature)."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(n, classes))
    true = softmax(logits)
    labels = (true.cumsum(1) < random.random((n, 1))).sum(1).clip(max=classes - 1)
    return softmax(logits * temperature).astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_ece_agrees_with_torchmetrics(classes: int, temperature: float) -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import multiclass_calibration_error

    scores, labels = draw(3000, classes, temperature)
    theirs = multiclass_calibration_error(
        torch.from_numpy(scores), torch.from_numpy(labels), num_classes=classes, n_bins=15, norm="l1"
    )
    assert scores_error(scores, labels) == pytest.approx(float(theirs), abs=1e-5)


def test_ece_by_hand() -> None:
    confidence, correct = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    assert calibration_error(confidence, correct) == pytest.approx((0.05 * 2 + 0.05 * 2) / 4)


def test_bins_include_their_upper_bound() -> None:
    confidence = np.array([1.0, 0.999, 0.2, 0.2000001])
    n, means, accuracy = reliability(confidence, np.array([True, True, False, True]), bins=5)
    assert n.tolist() == [1, 1, 0, 0, 2]
    assert means == pytest.approx([0.2, 0.2000001, 0, 0, 0.9995])
    assert accuracy.tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_the_data_is_found_again(temperature: float) -> None:
    scores, labels = draw(8000, 10, temperature)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.06)
    better = apply_temperature(scores, found)
    assert scores_error(better, labels) < 0.02
    assert log_loss(scores, labels, found) <= log_loss(scores, labels)
    assert log_loss(scores, labels, found) == pytest.approx(log_loss(better, labels), abs=1e-5)


def test_a_temperature_keeps_the_order_and_the_sum() -> None:
    scores, _ = draw(500, 10, 2.0)
    warmer = apply_temperature(scores, 2.0)
    assert (warmer.argmax(1) == scores.argmax(1)).all()
    assert warmer.sum(1) == pytest.approx(np.ones(500), abs=1e-5)
    np.testing.assert_allclose(warmer, draw(500, 10, 1.0)[0], atol=1e-5)
    np.testing.assert_allclose(apply_temperature(scores, 1.0), scores, atol=1e-6)


def test_a_model_that_is_always_right_or_always_wrong_keeps_its_temperature() -> None:
    scores = draw(100, 4)[0]
    assert fit_temperature(scores, scores.argmax(1)) == 1.0
    assert fit_temperature(scores, scores.argmin(1)) == 1.0


def test_scores_of_zero_and_one_are_no_trouble() -> None:
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    labels = np.array([0, 1, 2, 1])
    assert np.isfinite(log_loss(scores, labels))
    assert np.isfinite(apply_temperature(scores, fit_temperature(scores, labels))).all()
    assert scores_error(scores, labels) == pytest.approx(0.25)


def test_log_loss_agrees_with_scikit_learn() -> None:
    from sklearn import metrics

    scores, labels = draw(300, 5)
    exact = scores.astype(np.float64) / scores.astype(np.float64).sum(1, keepdims=True)
    assert log_loss(scores, labels) == pytest.approx(metrics.log_loss(labels, exact, labels=range(5)))
