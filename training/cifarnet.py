"""A small, fast network for pictures of 32 x 32 pixels.

Its ideas are published: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, 2024.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_PATCH = 2


class CifarNet(nn.Module):
    """Takes float32 [B, 3, 32, 32], normalised, and returns logits [B, C].

    A fixed convolution first makes neighbouring pixels uncorrelated (`whiten` learns it from training pictures), then
    three blocks halve the picture while they widen it. All but that convolution begins close to the identity. Outside
    of training the logits are the mean of the picture's and its mirror image's.

    Args:
        classes: C.
        widths: channels of the three blocks.
        depth: convolutions of a block, 2 or 3; the third is in a residual branch.
        dropout: in front of the head.
    """

    def __init__(
        self,
        classes: int,
        widths: tuple[int, int, int] = (128, 384, 384),
        depth: Literal[2, 3] = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        whitened = 2 * 3 * _PATCH**2
        self.whitening = nn.Conv2d(3, whitened, _PATCH)
        self.whitening.weight.requires_grad_(False)
        self.blocks = nn.Sequential(
            *(_Block(before, after, depth) for before, after in zip((whitened, *widths), widths, strict=False))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        if self.training:
            return self._logits(images_B3HW)
        both_2BC = self._logits(torch.cat([images_B3HW, images_B3HW.flip(3)])).unflatten(0, (2, -1))
        return both_2BC.mean(0)

    def _logits(self, images_B3HW: Tensor) -> Tensor:
        features = self.blocks(functional.gelu(self.whitening(images_B3HW)))
        return self.head(self.dropout(features.amax((2, 3)))) / 9

    @torch.no_grad()
    def whiten(self, images_B3HW: Tensor) -> None:
        """Sets the first convolution to the principal patterns of 2 x 2 pixels in normalised training pictures."""
        patches = images_B3HW.float().unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        patterns = (vectors / (values + 5e-4).sqrt()).T.flip(0).view(-1, 3, _PATCH, _PATCH)
        self.whitening.weight.copy_(torch.cat([patterns, -patterns]))
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type]


class _Block(nn.Module):
    def __init__(self, before: int, after: int, depth: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(before, after), _norm(after)
        self.conv2, self.norm2 = _conv(after, after), _norm(after)
        self.residual = nn.Sequential(_conv(after, after), _norm(after)) if depth > 2 else None

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.norm1(functional.max_pool2d(self.conv1(x), 2)))
        y = functional.gelu(self.norm2(self.conv2(x)))
        return y if self.residual is None else functional.gelu(x + self.residual(y))


def _conv(before: int, after: int) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight[:before])
    return conv


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm
