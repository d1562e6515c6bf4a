"""The gate: an exported file does what the network does, on real pictures and through the runtime, or there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from export.frames import FrameModel
from export.gate_boxes import match_boxes
from export.options import Precision
from pipeline.errors import ModelError
from pipeline.model import OnnxModel, Outputs
from pipeline.preprocess import plan_geometry, write_input
from pipeline.types import Image
from training.frames import TorchModel

BATCHES = (1, 3, 8)
FRAMES = ((480, 640), (720, 1280), (500, 333))
"""Height and width of the frames, in pixels."""
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.03, "int8": 0.25}
"""How far logits may differ, of the distance from the picture's highest to its lowest; of a detector, scores.
Probabilities may differ by ten times as much of the picture's highest, coordinates by `_BOXES` as much of the longer
side of their box.
"""
_BOXES = 4  # a sigmoid passes on a quarter of an error at most, a box all of it; but half a box is too far off
_GPU_TOLERANCE = 0.01  # there, float32 convolutions are computed in TF32, with the ten bits of float16
_LEAST = 1e-30  # of a probability: below it float32 has no logarithm left


@dataclass(frozen=True, slots=True)
class Parity:
    """How far file and network were apart at most, in `checks` combinations of batch and frame size.

    `logits`: of a classifier, else None; difference ÷ the distance from the picture's highest logit to its lowest.
    `scores`: plain difference. `pixels`: of the coordinates of a detector's boxes, `boxes` of which were matched.
    """

    scores: float = 0.0
    logits: float | None = None
    pixels: float = 0.0
    boxes: int = 0
    checks: int = 0

    def worst(self, other: Parity) -> Parity:
        """The larger of each, the checks of both."""
        return Parity(
            max(self.scores, other.scores),
            other.logits if self.logits is None else max(self.logits, other.logits or 0.0),
            max(self.pixels, other.pixels),
            self.boxes + other.boxes,
            self.checks + other.checks,
        )


def tolerance(precision: Precision, device: str) -> float:
    """How far a file of that precision may differ from the float32 network where it runs on `device`."""
    return TOLERANCES[precision] if device == "cpu" else max(TOLERANCES[precision], _GPU_TOLERANCE)


def compare(network: FrameModel, model: OnnxModel, images: Sequence[Image], precision: Precision) -> Parity:
    """Sends `images`, at every frame size and batch size, through both.

    Args:
        network: what the file should do.
        model: the exported file.
        images: any number, of any size.
        precision: of the file; it may differ by the tolerance of it.

    Raises:
        ModelError: they differ by more: in logits, in probabilities, in a class where the best two are apart by more,
            in a box.
    """
    check = _check_classes if model.contract.task == "classify" else _check_boxes
    allowed = tolerance(precision, model.device)
    torch_model = TorchModel(network, model.contract)
    worst = Parity()
    for size, inputs_BHW3 in _inputs(model, images):
        where = f"at batch {len(inputs_BHW3)}, frames {size[1]} x {size[0]}"
        theirs, ours = torch_model.infer(inputs_BHW3), model.infer(inputs_BHW3)
        try:
            worst = worst.worst(check(ours, theirs, allowed))
        except ModelError as error:
            raise ModelError(f"the file is not the network: {where}, {error}") from None
    return worst


def _inputs(model: OnnxModel, images: Sequence[Image]) -> Iterator[tuple[tuple[int, int], Image]]:
    contract = model.contract
    for height, width in FRAMES:
        geometry = plan_geometry(height, width, contract.input, contract.resize)
        for batch in BATCHES:
            inputs_BHW3 = np.empty((batch, geometry.height, geometry.width, 3), np.uint8)
            for i, input_HW3 in enumerate(inputs_BHW3):
                image = images[i % len(images)]
                frame = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
                write_input(frame.astype(np.uint8, copy=False), geometry, input_HW3)
            yield (height, width), inputs_BHW3


def _check_boxes(ours: Outputs, theirs: Outputs, tolerance: float) -> Parity:
    found = match_boxes(ours, theirs, tolerance, box_tolerance=min(_BOXES * tolerance, 0.5))
    return Parity(scores=found.score, pixels=found.pixels, boxes=found.matched, checks=1)


def _check_classes(ours: Outputs, theirs: Outputs, tolerance: float) -> Parity:
    ours_BC, theirs_BC = ours["scores"], theirs["scores"]
    if ours_BC.shape != theirs_BC.shape:
        raise ModelError(f"it gives scores of the shape {ours_BC.shape} and not {theirs_BC.shape}")
    for side, scores_BC in (("it", ours_BC), ("the network", theirs_BC)):
        if not np.isfinite(scores_BC).all():
            raise ModelError(f"{side} gives scores that are no numbers")
    logits_BC = _logits(theirs_BC)
    spread_B1 = np.maximum(np.ptp(logits_BC, axis=1, keepdims=True), 1e-6)
    distance = float((np.abs(_logits(ours_BC) - logits_BC) / spread_B1).max())
    if distance > tolerance:
        raise ModelError(f"logits differ by {distance:.2g} of their range, and {tolerance:g} is allowed")
    _check_probabilities(ours_BC, theirs_BC, min(10 * tolerance, 1.0))
    second_B, first_B = np.sort(logits_BC, axis=1)[:, -2:].T
    clear_B = first_B - second_B > tolerance * spread_B1[:, 0]
    if wrong := int((clear_B & (ours_BC.argmax(1) != theirs_BC.argmax(1))).sum()):
        raise ModelError(f"{wrong} of {len(ours_BC)} pictures get another class")
    return Parity(scores=float(np.abs(ours_BC - theirs_BC).max()), logits=distance, checks=1)


def _check_probabilities(ours_BC: NDArray[np.float32], theirs_BC: NDArray[np.float32], allowed: float) -> None:
    share = float((np.abs(ours_BC - theirs_BC).max(1) / theirs_BC.max(1)).max())
    if share > allowed:
        raise ModelError(f"probabilities differ by {share:.2g} of the highest, and {allowed:g} is allowed")


def _logits(scores_BC: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits, but for a constant: their mean is 0."""
    logits_BC = np.log(np.maximum(scores_BC.astype(np.float64), _LEAST))
    return logits_BC - logits_BC.mean(1, keepdims=True)
