"""Detectors of torchvision, cut in two and put together again, find what the library itself finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.detectors import CLASSES, SIDES, enliven, tiny_fcos, tiny_retinanet, tiny_ssd
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder
from torchvision.models.detection.ssd import SSD

from export.gate_boxes import match_boxes
from pipeline.contract import InputSpec, Resize
from pipeline.postprocess import find_objects
from pipeline.preprocess import plan_geometry
from training.detectors import build_detector
from training.raw_heads import DetectorHead, RawDetector

OUTPUTS = ("boxes", "scores", "labels")
Outputs = dict[str, NDArray[Any]]


pytestmark = pytest.mark.usefixtures("one_thread")
TINY = pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet, tiny_fcos])


def found(model: Any, head: DetectorHead, images: Tensor) -> Outputs:
    """What our two halves give for images that are not normalised."""
    with torch.inference_mode():
        outputs = head(*RawDetector(model)(model.transform.normalize(images)))
    return dict(zip(OUTPUTS, (each.numpy() for each in outputs), strict=True))


def theirs(model: Any, images: Tensor, threshold: float) -> list[Outputs]:
    """What the library finds, with none of its limits."""
    model.score_thresh = threshold
    model.topk_candidates = model.detections_per_img = 10**6
    with torch.inference_mode():
        return [{name: each[name].numpy() for name in OUTPUTS} for each in model(list(images))]


def objects(outputs: Outputs, height: int, width: int, threshold: float, iou: float) -> list[Outputs]:
    """What the runtime reports."""
    geometry = plan_geometry(height, width, InputSpec(height=height, width=width), Resize(rule="graph"))
    names = tuple(f"class {i}" for i in range(CLASSES))
    rows = [outputs[name] for name in OUTPUTS]
    found = find_objects(*rows, [geometry] * len(rows[0]), names, threshold, iou)
    return [{"boxes": each.boxes_N4, "scores": each.scores_N, "labels": each.labels_N} for each in found]


def with_area(rows: Outputs) -> Outputs:
    """Boxes of no width or height are left out: OpenCV calls two of them the same, torchvision calls them different."""
    sides = rows["boxes"][:, 2:] - rows["boxes"][:, :2]
    return {name: values[None, (sides > 0).all(1)] for name, values in rows.items()}


def between(scores_BK: NDArray[Any]) -> float:
    """A threshold that no score is close to, with some hundreds above it in each frame."""
    some = np.sort(scores_BK[:, 200:500].ravel())
    gap = np.diff(some).argmax()
    return float(some[gap : gap + 2].mean())


def finds_what_the_library_finds(model: Any, height: int, width: int, batch: int) -> None:
    head = DetectorHead(model, height, width)
    images = torch.rand(batch, 3, height, width)
    outputs = found(model, head, images)
    threshold = between(outputs["scores"])
    assert (outputs["scores"][:, -1] < threshold).all(), "the limit of candidates would show"
    ours = objects(outputs, height, width, threshold, head.iou)
    for own, other in zip(ours, theirs(model, images, threshold), strict=True):
        assert len(with_area(own)["scores"][0]) > 20
        assert len(set(own["labels"].tolist())) >= CLASSES - 1
        distance = match_boxes(with_area(own), with_area(other), 1e-5)
        assert distance.matched


# The same as the library


@pytest.mark.parametrize(
    ("name", "size", "batch"),
    [
        ("ssdlite320_mobilenet_v3_large", 160, 2),
        ("ssd300_vgg16", 300, 1),
        ("retinanet_resnet50_fpn", 96, 2),
        ("retinanet_resnet50_fpn_v2", 96, 2),
        ("fcos_resnet50_fpn", 128, 2),
    ],
)
def test_a_detector_finds_what_the_library_finds(name: str, size: int, batch: int) -> None:
    torch.manual_seed(1)
    model = enliven(build_detector(name, CLASSES, size), torch.rand(2, 3, size, size))
    finds_what_the_library_finds(model, size, size, batch)


@TINY
def test_any_backbone_and_shape_will_do(make: Callable[[], Any]) -> None:
    torch.manual_seed(2)
    finds_what_the_library_finds(enliven(make(), torch.rand(2, 3, *SIDES)), *SIDES, 3)


@pytest.mark.parametrize(
    ("make", "coder"),
    [
        (tiny_retinanet, BoxCoder((1.0, 2.0, 0.5, 3.0), bbox_xform_clip=0.2)),
        (tiny_fcos, BoxLinearCoder(normalize_by_size=False)),
    ],
)
def test_boxes_are_decoded_with_the_coder_of_the_model(make: Callable[[], Any], coder: Any) -> None:
    torch.manual_seed(7)
    model = enliven(make(), torch.rand(2, 3, *SIDES))
    model.box_coder = coder
    finds_what_the_library_finds(model, *SIDES, 2)


@pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet])
def test_labels_count_as_the_library_does_or_without_the_background(make: Callable[[], Any]) -> None:
    torch.manual_seed(3)
    model = enliven(make(), torch.rand(2, 3, *SIDES))
    images = torch.rand(2, 3, *SIDES)
    ours, others = (found(model, DetectorHead(model, *SIDES, background=each), images) for each in (True, False))
    lowest = 1 if isinstance(model, SSD) else 0
    assert set(ours["labels"].ravel()) == set(range(lowest, CLASSES))
    assert set(others["labels"].ravel()) == set(range(CLASSES - 1))
    real = ours["scores"].min() + 0.05
    for frame in range(2):
        scores = [
            np.sort(each["scores"][frame][(each["labels"][frame] == label) & (each["scores"][frame] > real)])
            for each, label in ((ours, 2), (others, 1))
        ]
        np.testing.assert_allclose(*scores, rtol=1e-6)
        assert len(scores[0])


# Outputs that keep the contract


@TINY
def test_outputs_have_the_shapes_and_types_of_the_contract(make: Callable[[], Any]) -> None:
    torch.manual_seed(4)
    model = enliven(make(), torch.rand(2, 3, *SIDES))
    head = DetectorHead(model, *SIDES, wanted=50)
    assert head.candidates == 50
    outputs = found(model, head, torch.rand(2, 3, *SIDES))
    assert {name: values.shape for name, values in outputs.items()} == {
        "boxes": (2, 50, 4),
        "scores": (2, 50),
        "labels": (2, 50),
    }
    assert [values.dtype for values in outputs.values()] == [np.float32, np.float32, np.int64]
    assert (np.diff(outputs["scores"]) <= 0).all()
    assert (outputs["boxes"] >= 0).all()
    assert (outputs["boxes"] <= [SIDES[1], SIDES[0]] * 2).all()
    all_of_them = DetectorHead(model, *SIDES, wanted=10**6)
    more = found(model, all_of_them, torch.rand(1, 3, *SIDES))
    columns = CLASSES - 1 if isinstance(model, SSD) else CLASSES
    assert more["scores"].shape == (1, len(all_of_them.anchors) * columns)
    assert set(np.bincount(more["labels"][0])[-columns:]) == {len(all_of_them.anchors)}


def test_unused_rows_and_broken_scores() -> None:
    head = DetectorHead(tiny_retinanet(), *SIDES, wanted=10)
    count = len(head.anchors)
    logits = torch.full((1, count, CLASSES), -200.0)
    logits[0, 7, 3] = 2.0
    outputs = head(torch.zeros(1, count, 4), logits)
    assert outputs[1][0].tolist() == [pytest.approx(1 / (1 + np.exp(-2.0))), *[0.0] * 9]
    assert outputs[2][0].tolist() == [3, *[-1] * 9]
    logits[0, 5, 1] = torch.nan
    outputs = head(torch.zeros(1, count, 4), logits)
    assert outputs[2][0][outputs[1][0].isnan()].tolist() == [1]
