"""The graph's resize against torchvision's and against the host's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms

from export.resizing import GraphResize
from pipeline.contract import InputSpec, Resize
from pipeline.errors import ConfigError
from pipeline.preprocess import plan_geometry, write_input
from pipeline.types import Image

SIZES = [(427, 640), (720, 1280), (500, 333), (100, 90)]
INPUT = InputSpec(height=224, width=224)


def photograph(height: int, width: int) -> Image:
    return cv2.resize(load_sample_images().images[0], (width, height), interpolation=cv2.INTER_AREA)


def in_graph(image: Image, input: InputSpec, resize: Resize) -> np.ndarray:
    frames = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float()
    return GraphResize(input, resize)(frames)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("interpolation", "mode"), [("linear", InterpolationMode.BILINEAR), ("cubic", InterpolationMode.BICUBIC)]
)
def test_crop_is_torchvisions_anti_aliased_resize_and_crop(
    size: tuple[int, int], interpolation: str, mode: InterpolationMode
) -> None:
    image = photograph(*size)
    ours = in_graph(image, INPUT, Resize(rule="crop", crop_pct=0.875, interpolation=interpolation))
    whole = torch.from_numpy(image).permute(2, 0, 1).float()
    resized = transforms.functional.resize(whole, [256], interpolation=mode, antialias=True)
    theirs = transforms.functional.center_crop(resized, [224, 224]).clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() < 0.02


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "resize",
    [
        Resize(rule="stretch", antialias=False),
        Resize(rule="letterbox", antialias=False),
        Resize(rule="letterbox", antialias=False, pad="end", rounding="down", pad_value=7),
        Resize(rule="crop", antialias=False, crop_pct=0.9),
    ],
    ids=lambda resize: f"{resize.rule}-{resize.pad}",
)
def test_without_filter_it_is_what_the_host_does(size: tuple[int, int], resize: Resize) -> None:
    image = photograph(*size)
    ours = in_graph(image, INPUT, resize)
    geometry = plan_geometry(*size, INPUT, resize)
    hosts = np.empty((224, 224, 3), np.uint8)
    write_input(image, geometry, hosts)
    assert np.abs(ours - hosts).max() < 1.01  # the host rounds, and OpenCV weighs in 1 / 2048
    assert np.abs(ours - hosts).mean() < 0.3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule", ["stretch", "letterbox", "crop"])
def test_boxes_go_back_as_on_the_host(size: tuple[int, int], rule: str) -> None:
    resize = Resize(rule=rule, antialias=False)
    boxes_N4 = np.array([[0, 0, 224, 224], [30, 60, 90, 170], [100, 5, 101, 6]], np.float32)
    frames = torch.zeros(2, 3, *size)
    ours = GraphResize(INPUT, resize).to_frame(torch.from_numpy(boxes_N4).repeat(2, 1, 1), frames)
    hosts_N4 = plan_geometry(*size, INPUT, resize).to_frame(boxes_N4)
    assert ours.shape == (2, 3, 4)
    assert np.abs(ours.numpy() - hosts_N4).max() < 1e-3


def test_every_row_of_weights_counts_as_one() -> None:
    grey = np.full((333, 517, 3), 200, np.uint8)
    for rule in ("stretch", "crop"):
        assert np.abs(in_graph(grey, INPUT, Resize(rule=rule)) - 200).max() < 1e-3


def test_other_interpolations_are_refused() -> None:
    with pytest.raises(ConfigError, match="linear or cubic, not area"):
        GraphResize(INPUT, Resize(rule="stretch", interpolation="area"))
