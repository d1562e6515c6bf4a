"""How far a classifier's scores can be believed, and the temperature that makes them more believable.

Guo et al. 2017, "On Calibration of Modern Neural Networks". N pictures, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

BINS = 15

_LOWEST = 1e-30  # a probability that float32 rounded to zero has no logarithm
_RANGE = (0.05, 20.0)  # of temperatures; outside of it a model is not miscalibrated, but broken or never wrong
_EDGE = 0.01

Floats = NDArray[np.float64]


def reliability(
    confidence_N: NDArray, correct_N: NDArray, bins: int = BINS
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Number of pictures, mean confidence and accuracy in each bin (lower, upper] of equal width; 0 in empty bins.

    Args:
        confidence_N: the highest probability of each picture, 0 to 1.
        correct_N: bool, whether the class with this probability is the right one.
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    place_N = np.digitize(confidence_N, inner, right=True)
    n = np.bincount(place_N, minlength=bins)
    sums = [np.bincount(place_N, weights=np.asarray(v, np.float64), minlength=bins) for v in (confidence_N, correct_N)]
    confidence, accuracy = (total / np.maximum(n, 1) for total in sums)
    return n, confidence, accuracy


def calibration_error(confidence_N: NDArray, correct_N: NDArray, bins: int = BINS) -> float:
    """ECE: the gap between confidence and accuracy of each bin, averaged over the pictures."""
    n, confidence, accuracy = reliability(confidence_N, correct_N, bins)
    return float((n * np.abs(accuracy - confidence)).sum() / max(n.sum(), 1))


def scores_error(scores_NC: NDArray, labels_N: NDArray) -> float:
    """`calibration_error` of probabilities [N, C] against the true classes int64 [N]."""
    return calibration_error(scores_NC.max(1), scores_NC.argmax(1) == labels_N)


def log_loss(scores_NC: NDArray, labels_N: NDArray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the true classes, in nats."""
    return _loss(_logits(scores_NC), np.asarray(labels_N), temperature)


def fit_temperature(scores_NC: NDArray, labels_N: NDArray) -> float:
    """The temperature T with the lowest log loss of softmax(logits ÷ T); over 1: the model is too sure of itself.

    Probabilities are enough: their logarithms are the logits but for a constant that the softmax removes. It is 1 where
    no temperature is the best one, as for a model that is right about every picture: it can never be too sure.
    """
    logits_NC, labels_N = _logits(scores_NC), np.asarray(labels_N)
    low, high = np.log(_RANGE)
    found = minimize_scalar(
        lambda log_t: _loss(logits_NC, labels_N, float(np.exp(log_t))), bounds=(low, high), method="bounded"
    )
    return float(np.exp(found.x)) if low + _EDGE < found.x < high - _EDGE else 1.0


def apply_temperature(scores_NC: NDArray, temperature: float) -> NDArray[np.float32]:
    """Probabilities float32 [N, C] as the model gives them with its logits divided by `temperature`."""
    scaled_NC = _logits(scores_NC) / np.float32(temperature)
    powers_NC = np.exp(scaled_NC - scaled_NC.max(1, keepdims=True))
    return np.asarray(powers_NC / powers_NC.sum(1, keepdims=True), np.float32)


def _logits(scores_NC: NDArray) -> NDArray[np.float32]:
    return np.log(np.maximum(np.asarray(scores_NC, np.float32), np.float32(_LOWEST)))


def _loss(logits_NC: NDArray[np.float32], labels_N: NDArray, temperature: float) -> float:
    scaled_NC = logits_NC / np.float32(temperature)
    highest_N = scaled_NC.max(1)
    norms_N = highest_N + np.log(np.exp(scaled_NC - highest_N[:, None]).sum(1))
    return float((norms_N - scaled_NC[np.arange(len(labels_N)), labels_N]).mean(dtype=np.float64))
