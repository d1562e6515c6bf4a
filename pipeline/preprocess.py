"""From a frame to the tensor that the model takes: pure functions of the picture and the contract.

The host only resizes, straight into the caller's batch buffer; colour order, scaling and normalisation happen in the
graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.contract import InputSpec, Resize
from pipeline.types import Image

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
_SLIVER = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a geometry, in pixels.

    `used` pixels of the frame from `first` on are averaged in blocks of `step`, then scaled to `scaled` pixels, which
    begin at `start` of the `size` pixels of the input; a negative start cuts off as much at both ends.
    A point p of the input shows the point (p - `shift`) ÷ `ratio` of the `frame` pixels.
    """

    frame: int
    size: int
    first: int
    used: int
    step: int
    scaled: int
    start: int
    ratio: float
    shift: float

    @property
    def part(self) -> slice:
        """The pixels of the frame that are used."""
        return slice(self.first, self.first + self.used)

    @property
    def place(self) -> slice:
        """Where in the input the scaled pixels lie."""
        return slice(self.start, self.start + self.scaled)


@dataclass(frozen=True, slots=True)
class Geometry:
    """How frames of one size lie in the input tensor."""

    y: Axis
    x: Axis
    interpolation: int
    pad_value: int

    @property
    def height(self) -> int:
        """Of the input."""
        return self.y.size

    @property
    def width(self) -> int:
        """Of the input."""
        return self.x.size

    def to_frame(self, boxes_N4: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes float32 [N, 4] xyxy from pixels of the input to pixels of the frame, clipped to it."""
        shift = np.array([self.x.shift, self.y.shift] * 2, np.float32)
        ratio = np.array([self.x.ratio, self.y.ratio] * 2, np.float32)
        limit = np.array([self.x.frame, self.y.frame] * 2, np.float32)
        return ((boxes_N4 - shift) / ratio).clip(0, limit, dtype=np.float32)


@lru_cache(maxsize=64)
def plan_geometry(height: int, width: int, input: InputSpec, resize: Resize) -> Geometry:
    """The geometry of frames of `height` x `width` pixels under a contract's `input` and `resize`."""
    frame, target = (height, width), (input.height, input.width)
    match resize.rule:
        case "graph":
            y, x = (_stretch(pixels, pixels, resize) for pixels in frame)
        case "stretch":
            y, x = (_stretch(pixels, size, resize) for pixels, size in zip(frame, target, strict=True))
        case "crop":
            covered = [int(size / resize.crop_pct) for size in target]
            scale = max(size / pixels for pixels, size in zip(frame, covered, strict=True))
            y, x = (_crop(pixels, size, scale, resize) for pixels, size in zip(frame, target, strict=True))
        case "letterbox":
            scale = min(size / pixels for pixels, size in zip(frame, target, strict=True))
            stride = input.stride if input.dynamic else None
            y, x = (_letterbox(pixels, size, scale, stride, resize) for pixels, size in zip(frame, target, strict=True))
    return Geometry(y, x, _INTERPOLATION[resize.interpolation], resize.pad_value)


def _stretch(frame: int, size: int, resize: Resize) -> Axis:
    first, used, step = _blocks(0, frame, size, resize)
    ratio = size / used
    return Axis(frame, size, first, used, step, scaled=size, start=0, ratio=ratio, shift=-first * ratio)


def _crop(frame: int, size: int, scale: float, resize: Resize) -> Axis:
    part = frame
    if frame * scale > _SLIVER * size:  # cut before it is scaled: a pixel more at both ends than is seen, and as many
        part = math.ceil(size / scale) + 2
        part += (frame - part) % 2
    scaled = max(int(part * scale + 1e-6), size)  # rounded as torchvision's Resize and CenterCrop do
    first, used, step = _blocks((frame - part) // 2, part, scaled, resize)
    start, ratio = -round((scaled - size) / 2), scaled / used
    return Axis(frame, size, first, used, step, scaled, start, ratio, shift=start - first * ratio)


def _letterbox(frame: int, size: int, scale: float, stride: int | None, resize: Resize) -> Axis:
    scaled = max(int(frame * scale) if resize.rounding == "down" else round(frame * scale), 1)
    if stride is not None:
        size = -(-scaled // stride) * stride
    first, used, step = _blocks(0, frame, scaled, resize)
    start = (size - scaled) // 2 if resize.pad == "both" else 0
    # Without filter, the ratio is that of the boxes that networks are trained on, however `scaled` was rounded.
    ratio = scaled / used if resize.antialias else scale
    return Axis(frame, size, first, used, step, scaled, start, ratio, shift=start - first * ratio)


def _blocks(first: int, pixels: int, scaled: int, resize: Resize) -> tuple[int, int, int]:
    """First pixel, number of pixels and size of the blocks to average. A remainder, less than a pixel of the input, is
    left out, half at each end.
    """
    step = max(pixels // scaled, 1) if resize.antialias else 1
    return first + pixels % step // 2, pixels - pixels % step, step


def write_input(image: Image, geometry: Geometry, out_HW3: Image) -> None:
    """Resizes `image` (uint8 [H, W, 3]) into `out_HW3` (uint8 [geometry.height, geometry.width, 3]), every byte of it.

    An exact whole-number INTER_AREA step followed by the contract's interpolation: nearly the picture of a true
    anti-aliased resize at a fraction of its cost (docs/contract.md has the figures).
    """
    y, x = geometry.y, geometry.x
    image = image[y.part, x.part]
    if y.step > 1 or x.step > 1:
        blocks = (x.used // x.step, y.used // y.step)
        image = cast(Image, cv2.resize(image, blocks, interpolation=cv2.INTER_AREA))
    if y.start < 0 or x.start < 0:
        whole = _scaled(image, y.scaled, x.scaled, geometry.interpolation)
        out_HW3[:] = whole[-y.start : y.size - y.start, -x.start : x.size - x.start]
        return
    inside = out_HW3[y.place, x.place]
    height, width = inside.shape[:2]  # a crop of less than a pixel cuts nothing
    scaled = _scaled(image, height, width, geometry.interpolation, inside)
    if not np.shares_memory(scaled, inside):
        inside[:] = scaled
    out_HW3[: y.start] = out_HW3[y.place.stop :] = geometry.pad_value
    out_HW3[y.place, : x.start] = out_HW3[y.place, x.place.stop :] = geometry.pad_value


def _scaled(image: Image, height: int, width: int, interpolation: int, out: Image | None = None) -> Image:
    """The image itself where it has that size; else its scaled copy, in `out` if OpenCV can write there."""
    if image.shape[:2] == (height, width):
        return image
    return cast(Image, cv2.resize(image, (width, height), dst=out, interpolation=interpolation))
