"""Resizing inside the graph: frames of any size go in, for frames that lie on the GPU already.

Resampling is linear in the pixels, so each axis is a product with a matrix of weights, which the graph makes of the
frame's height and width. The filters are those of Pillow and torchvision (P. Heckbert, "Fundamentals of Texture Mapping
and Image Warping", 1989): as wide as a pixel of the input, where the contract says `antialias`. TensorRT knows no
anti-aliased Resize, but it knows matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.contract import InputSpec, Resize
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where a frame lies along one axis of the input, in pixels; tensors are scalars, int64.

    The input shows the frame's `pixels`, as a tensor `frame`, on `scaled` of its `size` pixels, from `start` on, which
    is negative where both ends are cut off.
    """

    pixels: int
    frame: Tensor
    size: int
    scaled: Tensor
    start: Tensor

    @property
    def ratio(self) -> Tensor:
        """Pixels of the input for each of the frame."""
        return self.scaled.float() / self.frame.float()


class GraphResize(nn.Module):
    """What `pipeline.preprocess` does on the host, for frames of any size.

    Args:
        input, resize: as in the contract of a model whose frames the host resizes; no dynamic input, no rule `graph`.

    Raises:
        ConfigError: an interpolation other than linear and cubic.
    """

    def __init__(self, input: InputSpec, resize: Resize) -> None:
        super().__init__()
        if resize.interpolation not in ("linear", "cubic"):
            raise ConfigError(
                f"the graph resizes linear or cubic, not {resize.interpolation}: leave --resize graph out"
            )
        self._size = input.height, input.width
        self._resize = resize

    def forward(self, frames_B3HW: Tensor) -> Tensor:
        """Frames as pictures of the input's size, both float32 [B, 3, H, W], 0 to 255."""
        y, x = self._axes(frames_B3HW)
        pictures = _weights(y, self._resize) @ frames_B3HW @ _weights(x, self._resize).T
        if self._resize.interpolation == "cubic":
            pictures = pictures.clamp(0, 255)  # it overshoots, pixels cannot
        if self._resize.rule == "letterbox":
            pictures = torch.where(_shown(y).unsqueeze(1) & _shown(x), pictures, float(self._resize.pad_value))
        return pictures

    def to_frame(self, boxes_BK4: Tensor, frames_B3HW: Tensor) -> Tensor:
        """Boxes, xyxy float32 [B, K, 4], from pixels of the input to pixels of the frame, clipped to it."""
        y, x = self._axes(frames_B3HW)
        start = torch.stack([x.start, y.start] * 2).float()
        ratio = torch.stack([x.ratio, y.ratio] * 2)
        if self._resize.rule == "letterbox" and not self._resize.antialias:  # as on the host
            ratio = self._scale(y.frame, x.frame).float()
        limit = torch.stack([x.frame, y.frame] * 2).float()
        return ((boxes_BK4 - start) / ratio).clamp(min=0).minimum(limit)

    def _axes(self, frames_B3HW: Tensor) -> tuple[_Axis, _Axis]:
        """Rounded as `pipeline.preprocess` does, since a pixel more or less moves everything."""
        sides = frames_B3HW.shape[2:]
        tall, wide = (torch.scalar_tensor(side, dtype=torch.int64) for side in sides)
        height, width = self._size
        down, across = tall * 0 + height, tall * 0 + width
        top = left = tall * 0
        if self._resize.rule == "crop":
            high, broad = (int(size / self._resize.crop_pct) for size in self._size)
            down, across = _quotient(tall * broad, wide).clamp(min=high), _quotient(wide * high, tall).clamp(min=broad)
            top, left = (
                -((part - size).float() / 2).round().long() for part, size in ((down, height), (across, width))
            )
        elif self._resize.rule == "letterbox":
            scale = self._scale(tall, wide)
            down, across = (self._rounded(side * scale) for side in (tall, wide))
            if self._resize.pad == "both":
                top, left = _quotient(height - down, 2), _quotient(width - across, 2)
        return _Axis(sides[0], tall, height, down, top), _Axis(sides[1], wide, width, across, left)

    def _scale(self, tall: Tensor, wide: Tensor) -> Tensor:
        """Of a letterbox; float64, as in Python: what is rounded down must not be a trace smaller."""
        sides = torch.stack([tall, wide]).double()
        return (torch.tensor(self._size, dtype=torch.float64) / sides).min()

    def _rounded(self, length: Tensor) -> Tensor:
        return (length.floor() if self._resize.rounding == "down" else length.round()).long().clamp(min=1)


def _quotient(dividend: Tensor, divisor: Tensor | int) -> Tensor:
    return torch.div(dividend, divisor, rounding_mode="trunc")


def _shown(axis: _Axis) -> Tensor:
    """Which pixels of the input show the frame, bool [size]."""
    pixels = torch.arange(axis.size)
    return (pixels >= axis.start) & (pixels < axis.start + axis.scaled)


def _weights(axis: _Axis, resize: Resize) -> Tensor:
    """float32 [size, frame]: what each pixel of the frame adds to each of the input. A row that shows it sums to 1."""
    centres = (torch.arange(axis.size) + 0.5 - axis.start) / axis.ratio
    pixels = torch.arange(axis.pixels) + 0.5
    reach = (1 / axis.ratio).clamp(min=1) if resize.antialias else 1.0
    far = ((pixels - centres.unsqueeze(1)) / reach).abs()
    weights = (
        (1 - far).clamp(min=0) if resize.interpolation == "linear" else _cubic(far, -0.5 if resize.antialias else -0.75)
    )
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-6)


def _cubic(far: Tensor, a: float) -> Tensor:
    """R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981. Pillow and torchvision take an `a`
    of -0.5, OpenCV one of -0.75.
    """
    near = ((a + 2) * far - (a + 3)) * far * far + 1
    tail = a * (((far - 5) * far + 8) * far - 4)
    return torch.where(far < 1, near, torch.where(far < 2, tail, 0.0))
