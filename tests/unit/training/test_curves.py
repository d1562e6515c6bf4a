from __future__ import annotations

import numpy as np
import pytest

from training.curves import pr_curve, thin


def test_the_curve_of_a_perfect_classifier_has_precision_1_at_every_recall() -> None:
    random = np.random.default_rng(0)
    true = np.arange(3000) % 3 == 0
    curve = pr_curve(true, (0.3 * random.random(3000) + 0.6 * true).astype(np.float32))
    recall, precision = thin(curve.recall, curve.precision)
    assert (precision == 1).all()
    assert (recall[0], recall[-1]) == (pytest.approx(1, abs=0.005), 0)
    assert len(recall) == 201
    assert curve.average_precision == pytest.approx(1)


def test_a_thin_curve_keeps_its_shape() -> None:
    share = np.arange(1, 10_001) / 10_000
    x, y = thin(share, 1 - share**2)
    assert len(x) == 201
    assert x[-1] == 1
    assert np.abs(np.interp(share, x, y) - (1 - share**2))[50:].max() < 1e-3
    few = np.array([0.1, 0.6, 1.0])
    assert thin(few, few)[0].tolist() == few.tolist()
    assert thin(few[:0], few[:0])[0].tolist() == []
