"""From `frames` to the tensor that a foreign network expects, as a piece of graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph import Fragment, dims, image_inputs
from export.options import Colour, Options, PixelRange, Triple
from pipeline.errors import ConfigError, ModelError

IMAGE = "image"
_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The numbers that a network is fed: (pixels in `pixel_range` - mean) / std; mean and std in the order RGB."""

    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    pixel_range: PixelRange = "0-1"
    colour: Colour = "rgb"

    def changed(self, options: Options) -> Self:
        """This normalisation with what the options say instead.

        Raises:
            ConfigError: a std that is not positive, or values that belong to the other pixel range.
        """
        names = ("mean", "std", "pixel_range", "colour")
        given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        result = replace(self, **given)
        if min(result.std) <= 0:
            raise ConfigError(f"--std must be positive, not {','.join(f'{value:g}' for value in result.std)}")
        if result.pixel_range == "0-1" and max(*map(abs, result.mean), *result.std) > 2:
            raise ConfigError("--mean and --std stand on a scale of 0 to 1; for 0 to 255 add --range 0-255")
        return result

    def affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale and offset of pixels 0 to 255, float32 [3] each, in the colour order of the network."""
        mean, std = np.array(self.mean), np.array(self.std)
        scale = 1 / (std * (255 if self.pixel_range == "0-1" else 1))
        order = slice(None) if self.colour == "rgb" else slice(None, None, -1)
        return scale[order].astype(np.float32), (-mean / std)[order].astype(np.float32)


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The image input of a foreign network. `height`, `width`, `batch`: None where the graph leaves them open."""

    dtype: int
    channels_first: bool
    batch: int | None
    height: int | None
    width: int | None

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Self:
        """Finds the image input of `model`.

        Raises:
            ModelError: it has several inputs, or one that takes no images of three channels.
        """
        inputs = image_inputs(model)
        found = ", ".join(f"{value.name.split('/', 1)[-1]} {dims(value)}" for value in inputs)
        if len(inputs) != 1:
            raise ModelError(f"the model should have one input, for images, and has {len(inputs)}: {found}")
        shape = dims(inputs[0])
        dtype = inputs[0].type.tensor_type.elem_type
        sizes = [dim if isinstance(dim, int) else None for dim in shape]
        if len(shape) != 4 or (3 not in (sizes[1], sizes[3]) and sizes[1] is not None):
            raise ModelError(f"the input should be images, [B, 3, H, W] or [B, H, W, 3], and is {found}")
        if dtype not in (*_REAL, onnx.TensorProto.UINT8):
            name = onnx.TensorProto.DataType.Name(dtype).lower()
            raise ModelError(f"the input should be of floats or uint8, and is of {name}: {found}")
        channels_first = sizes[1] == 3 or sizes[3] != 3
        height, width = sizes[2:] if channels_first else sizes[1:3]
        return cls(dtype, channels_first, sizes[0], height, width)

    def sized(self, size: tuple[int, int] | None, default: int | None) -> tuple[int, int]:
        """Height and width to use; `default` stands for an open one that `size` does not name.

        Raises:
            ConfigError: `size` contradicts the graph, or is missing.
        """
        if size is None:
            height, width = self.height or default, self.width or default
            if height is None or width is None:
                raise ConfigError("the graph leaves the size of its input open: add --size, for example --size 224")
            return height, width
        if (self.height or size[0], self.width or size[1]) != size:
            raise ConfigError(
                f"--size {size[0]}x{size[1]} contradicts the graph, whose input is {self.height}x{self.width}"
            )
        return size


def preprocessing(image: ImageInput, normalisation: Normalisation) -> Fragment:
    """The graph from `frames` (uint8 [B, H, W, 3], BGR) to `IMAGE`.

    A network that takes uint8 normalises for itself: it gets the pixels as they are, in its colour order.
    """
    real = image.dtype != onnx.TensorProto.UINT8
    steps = [f"Cast <to = {onnx.TensorProto.FLOAT}> ({{}})"] if real else []
    constants: dict[str, NDArray[Any]] = {}
    if image.channels_first:
        steps.append("Transpose <perm = [0, 3, 1, 2]> ({})")
    if normalisation.colour == "rgb":
        steps.append(f"Gather <axis = {1 if image.channels_first else 3}> ({{}}, rgb_order)")
        constants["rgb_order"] = np.array([2, 1, 0], np.int64)
    scale, offset = normalisation.affine()
    shape = (3, 1, 1) if image.channels_first else (3,)
    if real and (scale != 1).any():
        steps.append("Mul ({}, pixel_scale)")
        constants["pixel_scale"] = scale.reshape(shape)
    if real and offset.any():
        steps.append("Add ({}, pixel_offset)")
        constants["pixel_offset"] = offset.reshape(shape)
    if image.dtype not in (onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8):
        steps.append(f"Cast <to = {image.dtype}> ({{}})")
    if not steps:
        steps.append("Identity ({})")
    names = ["frames", *(f"pixels{i}" for i in range(1, len(steps))), IMAGE]
    lines = (f"{name} = {step.format(before)}" for before, step, name in zip(names, steps, names[1:], strict=False))
    return Fragment("\n".join(lines), constants)
