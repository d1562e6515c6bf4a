"""What the gate lets through, and what not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from export.gate import BATCHES, FRAMES, compare, tolerance
from export.pictures import photographs
from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ModelError

CONTRACT = ModelContract(
    task="classify",
    labels=("a", "b", "c"),
    input=InputSpec(height=8, width=8),
    resize=Resize(rule="stretch"),
    classifier=ClassifierSpec(),
)


class File:
    """Gives every frame the same scores."""

    contract = CONTRACT
    device = "cpu"

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.batches: list[int] = []

    def infer(self, frames: np.ndarray) -> dict[str, Any]:
        self.batches.append(len(frames))
        return {"scores": np.tile(np.array(self.scores, np.float32), (len(frames), 1))}


def network(scores: list[float]) -> Any:
    return lambda frames: torch.tensor([scores] * len(frames))


def held(ours: list[float], theirs: list[float], precision: Any = "fp32") -> Any:
    return compare(network(theirs), File(ours), photographs(), precision)  # type: ignore[arg-type]


def softmax(*logits: float) -> list[float]:
    values = np.exp(np.array(logits))
    return [float(value) for value in values / values.sum()]


def test_every_batch_at_every_size() -> None:
    file = File(softmax(1, 2, 3))
    found = compare(network(softmax(1, 2, 3)), file, photographs(), "fp32")  # type: ignore[arg-type]
    assert file.batches == [*BATCHES] * len(FRAMES)
    assert found.checks == 9
    assert found.logits == pytest.approx(0, abs=1e-6)


def test_logits_count_by_their_range() -> None:
    assert held(softmax(0, 5, 10.008), softmax(0, 5, 10)).logits == pytest.approx(0.0005, rel=0.2)
    with pytest.raises(ModelError, match=r"at batch 1, frames 640 x 480, logits differ by .* and 0.001 is allowed"):
        held(softmax(0, 5, 10.1), softmax(0, 5, 10))
    assert held(softmax(0, 5, 10.1), softmax(0, 5, 10), "fp16").checks == 9


def test_probabilities_count_too() -> None:
    with pytest.raises(ModelError, match=r"probabilities differ by .* of the highest, and 0.01 is allowed"):
        held(softmax(-60, 0.03, 0), softmax(-60, 0, 0.0))


def test_another_class_only_where_the_best_are_apart() -> None:
    assert held(softmax(0, 9.9995, 10), softmax(0, 10, 9.9995)).checks == 9
    with pytest.raises(ModelError, match="1 of 1 pictures get another class"):
        held(softmax(0, 9.7, 9.75), softmax(0, 10, 7), "int8")


@pytest.mark.parametrize(
    ("scores", "message"), [([0.5, float("nan"), 0.5], "no numbers"), ([0.5, 0.5], r"shape \(1, 2\) and not \(1, 3\)")]
)
def test_broken_outputs(scores: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        held(scores, softmax(1, 2, 3))


class Boxes:
    """Finds in every frame the same two boxes, 100 pixels wide; `right` is the edge of the first."""

    contract = ModelContract(
        task="detect",
        labels=("a",),
        input=InputSpec(height=8, width=8),
        resize=Resize(rule="stretch"),
        detector=DetectorSpec(candidates=2, nms=True),
    )
    device = "cpu"

    def __init__(self, right: float) -> None:
        self.right = right

    def infer(self, frames: np.ndarray) -> dict[str, Any]:
        boxes = np.array([[0, 0, self.right, 50], [0, 0, 100, 50]], np.float32)
        scores, labels = np.array([0.9, 0.1], np.float32), np.zeros(2, np.int64)
        values: dict[str, Any] = {"boxes": boxes, "scores": scores, "labels": labels}
        return {name: np.tile(value, (len(frames), *[1] * value.ndim)) for name, value in values.items()}


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 0.4), ("fp16", 12.0), ("int8", 50.0)])
def test_boxes_may_differ_by_more_than_scores(precision: Any, allowed: float) -> None:
    def infer(frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(each) for each in Boxes(100).infer(frames.numpy()).values())

    def held_boxes(right: float) -> Any:
        return compare(infer, Boxes(right), photographs(), precision)  # type: ignore[arg-type]

    assert held_boxes(100 - 0.9 * allowed).pixels == pytest.approx(0.9 * allowed, rel=1e-3)
    with pytest.raises(ModelError, match="pixels and 0 of score away"):
        held_boxes(100 - 1.1 * allowed)


def test_a_gpu_may_differ_by_more_for_it_computes_in_tf32() -> None:
    assert tolerance("fp32", "cpu") < tolerance("fp32", "cuda") < tolerance("fp16", "cuda") == tolerance("fp16", "cpu")
