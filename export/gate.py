"""The gate: an exported file does what the network does, on real pictures and through the runtime, or there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.errors import ModelError
from pipeline.model import OnnxModel
from pipeline.preprocess import plan_geometry, write_input
from pipeline.types import Image

BATCHES = (1, 3, 8)
FRAMES = ((480, 640), (720, 1280), (500, 333))
"""Height and width of the frames, in pixels."""
TOLERANCE = 1e-3
_LEAST = 1e-30  # of a probability: below it float32 has no logarithm left


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two classifiers were apart, at most.

    `logits`: difference of logits ÷ the distance from the picture's highest logit to its lowest. `probabilities`: plain
    difference. `checks`: combinations of batch and frame size.
    """

    logits: float
    probabilities: float
    checks: int


def compare(
    frames_to_scores: nn.Module, model: OnnxModel, images: Sequence[Image], tolerance: float = TOLERANCE
) -> Parity:
    """Sends `images`, at every frame size and batch size, through both.

    Args:
        frames_to_scores: takes uint8 [B, H, W, 3], BGR, of the input's size, returns probabilities float32 [B, C].
        model: the exported file.
        images: any number, of any size.
        tolerance: of `Parity.logits`.

    Raises:
        ModelError: they differ by more, or in a class where the best two are apart by more.
    """
    worst = Parity(0.0, 0.0, 0)
    for batch, size, inputs_BHW3 in _inputs(model, images):
        with torch.inference_mode():
            theirs_BC = frames_to_scores(torch.from_numpy(inputs_BHW3)).float().numpy()
        ours_BC = model.infer(inputs_BHW3)["scores"]
        if ours_BC.shape != theirs_BC.shape or not np.isfinite(ours_BC).all():
            raise ModelError(f"the file gives {ours_BC.shape} scores where the network gives {theirs_BC.shape}")
        logits = _distance(ours_BC, theirs_BC)
        where = f"at batch {batch}, frames {size[1]} x {size[0]}"
        if logits > tolerance:
            raise ModelError(
                f"the file is not the network: logits differ by {logits:.2g} {where}; {tolerance:g} is allowed"
            )
        _check_classes(ours_BC, theirs_BC, tolerance, where)
        probabilities = float(np.abs(ours_BC - theirs_BC).max())
        worst = Parity(max(worst.logits, logits), max(worst.probabilities, probabilities), worst.checks + 1)
    return worst


def _inputs(model: OnnxModel, images: Sequence[Image]) -> Iterator[tuple[int, tuple[int, int], Image]]:
    contract = model.contract
    for height, width in FRAMES:
        geometry = plan_geometry(height, width, contract.input, contract.resize)
        for batch in BATCHES:
            inputs_BHW3 = np.empty((batch, geometry.height, geometry.width, 3), np.uint8)
            for i, input_HW3 in enumerate(inputs_BHW3):
                image = images[i % len(images)]
                frame = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
                write_input(frame.astype(np.uint8, copy=False), geometry, input_HW3)
            yield batch, (height, width), inputs_BHW3


def _logits(scores_BC: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits, but for a constant: their mean is 0."""
    logits_BC = np.log(np.maximum(scores_BC.astype(np.float64), _LEAST))
    return logits_BC - logits_BC.mean(1, keepdims=True)


def _distance(ours_BC: NDArray[np.float32], theirs_BC: NDArray[np.float32]) -> float:
    ours, theirs = _logits(ours_BC), _logits(theirs_BC)
    spread_B1 = np.maximum(np.ptp(theirs, axis=1, keepdims=True), 1e-6)
    return float((np.abs(ours - theirs) / spread_B1).max())


def _check_classes(ours_BC: NDArray[np.float32], theirs_BC: NDArray[np.float32], tolerance: float, where: str) -> None:
    logits_BC = _logits(theirs_BC)
    second_B, first_B = np.sort(logits_BC, axis=1)[:, -2:].T
    clear_B = first_B - second_B > tolerance * np.ptp(logits_BC, axis=1)
    wrong = int((clear_B & (ours_BC.argmax(1) != theirs_BC.argmax(1))).sum())
    if wrong:
        raise ModelError(f"the file is not the network: {wrong} of {len(ours_BC)} pictures get another class {where}")
