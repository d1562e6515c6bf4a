"""The colours of pictures that a hardware decoder leaves as NV12, on the CPU, where the graph is the same."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import parser

from pipeline.sources import nv12, pyav
from pipeline.sources.nv12 import Nv12, to_bgr

BT709, UNTOLD, BT601, BT2020 = 1, 2, 6, 9
LIMITED, FULL = 1, 2


def picture_of(height: int, width: int, colorspace: int = UNTOLD, color_range: int = LIMITED) -> av.VideoFrame:
    """Soft patches of every brightness and colour."""
    random = np.random.default_rng(height * width)
    picture = av.VideoFrame(width, height, "nv12")
    picture.colorspace, picture.color_range = colorspace, color_range
    for plane, channels in zip(picture.planes, (1, 2), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        patches = random.integers(16, 236, (height // 20 + 1, width // 20 + 1, channels), np.uint8)
        size = (width // channels, height // channels)
        rows[:, :width] = cv2.resize(patches, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], width)
    return picture


def expected(picture: av.VideoFrame) -> np.ndarray:
    """As the CPU's decoders would show it, which store yuv420p."""
    return pyav.upright(picture.reformat(format="yuv420p")).astype(int)


def converted(picture: av.VideoFrame) -> np.ndarray:
    brightness, colour = ((plane.buffer_ptr, plane.line_size) for plane in picture.planes)
    facts = (picture.height, picture.width, int(picture.colorspace), int(picture.color_range))
    return np.from_dlpack(to_bgr(Nv12(brightness, colour, *facts), "cpu"))


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("colorspace", [UNTOLD, BT601, BT709, BT2020])
def test_colours_are_those_of_the_other_decoders(colorspace: int, color_range: int) -> None:
    picture = picture_of(96, 160, colorspace, color_range)
    difference = np.abs(converted(picture) - expected(picture))
    assert difference.max() <= 3
    assert difference.mean() < 0.6


def test_the_matrix_matters() -> None:
    """Else the test before could not tell one from the other."""
    other = converted(picture_of(96, 160, BT709)).astype(int)
    assert np.abs(converted(picture_of(96, 160, BT601)).astype(int) - other).mean() > 3


@pytest.mark.parametrize("size", [(2, 2), (96, 162), (98, 160), (120, 1026)])
def test_rows_may_be_longer_than_the_picture_is_wide(size: tuple[int, int]) -> None:
    picture = picture_of(*size)
    assert size[1] == 160 or picture.planes[0].line_size > size[1]
    got = converted(picture)
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((*size, 3), np.uint8, True)
    assert np.abs(got - expected(picture)).max() <= 3


def test_what_is_lent_outlives_its_owner() -> None:
    frames = [converted(picture_of(96, 160, colorspace)) for colorspace in (BT601, BT709)]
    before = [frame.copy() for frame in frames]
    gc.collect()
    [converted(picture_of(96, 160, FULL)) for _ in range(4)]
    assert all(np.array_equal(frame, copy) for frame, copy in zip(frames, before, strict=True))


def test_the_file_is_made_from_its_text() -> None:
    file = Path(nv12.__file__).with_name("nv12.onnx")
    assert onnx.load(file) == parser.parse_model(file.with_suffix(".onnx.txt").read_text())
