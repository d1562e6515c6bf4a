"""The head of classifiers."""

from __future__ import annotations

from torch import Tensor, nn


class ClassifierHead(nn.Module):
    """From logits float32 [B, C] to probabilities float32 [B, C].

    Args:
        temperature: by which the logits are divided (C. Guo et al., "On Calibration of Modern Neural Networks", 2017).
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        return (logits if self.temperature == 1 else logits / self.temperature).softmax(1)
