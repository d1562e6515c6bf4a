"""Pictures as hardware decoders leave them on a GPU, made into the BGR frames that models take, without leaving it.

A graph of ONNX Runtime does it, so that neither CUDA's compiler nor another library of arrays is needed, and the same
graph runs on a CPU. `nv12.onnx.txt` is its text, `nv12.onnx` what ONNX's parser makes of that.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline import cuda
from pipeline.session import Session, open_session
from pipeline.types import OnDevice

Place: TypeAlias = Literal["cuda", "cpu"]

_GRAPH = Path(__file__).with_name("nv12.onnx")
_FULL = 2  # FFmpeg's AVCOL_RANGE_JPEG
# Kr and Kb of FFmpeg's numbers of matrices (ITU-T H.273); swscale, too, takes those of BT.601 where none is told.
_LUMA = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)


class Nv12(NamedTuple):
    """A picture of 8 bits that has a colour for each four pixels, somewhere in memory.

    Args:
        brightness: address of uint8 [H, W], and bytes from one row to the next.
        colour: the same of uint8 [H/2, W/2, 2].
        height, width: in pixels, both even.
        colorspace, color_range: FFmpeg's numbers of the matrix and of full (2) or limited range.
    """

    brightness: tuple[int, int]
    colour: tuple[int, int]
    height: int
    width: int
    colorspace: int
    color_range: int


def to_bgr(picture: Nv12, place: Place = "cuda") -> OnDevice:
    """uint8 [H, W, 3], BGR, without gaps, in memory of its own, which is written when this returns.

    The colours are those of FFmpeg's swscale, as on the CPU, within a few grey levels: four pixels share each.

    Args:
        place: the memory that the picture is in, and the frame will be in.
    """
    session = _session(place)
    binding = session.io_binding()
    with cuda.turnstile.together():
        _bind_rows(binding, "brightness", place, picture.height, *picture.brightness)
        _bind_rows(binding, "colour", place, picture.height // 2, *picture.colour)
        for name, value in _arguments(*picture[2:]).items():
            binding.bind_cpu_input(name, value)
        binding.bind_output("bgr", place)
        session.run_with_iobinding(binding)
    frame: OnDevice = binding.get_outputs()[0]
    return frame


def _bind_rows(binding: Any, name: str, place: Place, rows: int, address: int, row: int) -> None:
    binding.bind_input(name, place, 0, np.uint8, (rows, row), address)


@cache
def _session(place: Place) -> Session:
    return open_session(_GRAPH, place, 1, {})


@cache
def _arguments(height: int, width: int, colorspace: int, color_range: int) -> dict[str, NDArray[Any]]:
    """What the graph takes beside the planes; ITU-T H.273, equations 38 to 43, solved for blue, green and red."""
    red, blue = _LUMA.get(colorspace, _BT601)
    green = 1 - red - blue
    black, light, tint = (0, 1.0, 1.0) if color_range == _FULL else (16, 255 / 219, 255 / 224)
    weights_23 = tint * np.array(
        [[2 * (1 - blue), -2 * (1 - blue) * blue / green, 0], [0, -2 * (1 - red) * red / green, 2 * (1 - red)]]
    )
    offsets_3 = -black * light - 128 * weights_23.sum(axis=0)  # cut off, not rounded, as swscale does
    return {
        "width": np.array([width]),
        "pixels": np.array([height // 2, 2, width // 2, 2, 1]),
        "pairs": np.array([height // 2, 1, width // 2, 1, 2]),
        "image": np.array([height, width, 3]),
        "gain": np.array([light], np.float32),
        "weights": weights_23.astype(np.float32),
        "offsets": offsets_3.astype(np.float32),
    }
