"""torchvision's detectors by name: which there are, how they are built, and which cannot be."""

from __future__ import annotations

import pytest
from support.detectors import SIDES, tiny_retinanet, tiny_ssd
from torch import nn

from pipeline.errors import ConfigError
from training.detectors import SIZE, build_detector, detector_names, detector_size


def test_which_detectors_there_are() -> None:
    assert detector_names() == (
        "fcos_resnet50_fpn",
        "retinanet_resnet50_fpn",
        "retinanet_resnet50_fpn_v2",
        "ssd300_vgg16",
        "ssdlite320_mobilenet_v3_large",
    )


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "fasterrcnn_resnet50_fpn",
            None,
            "cannot be exported; SSD, SSDLite, RetinaNet and FCOS can be: fcos_resnet50_fpn,",
        ),
        ("yolov9", None, "yolov9 is no detector of torchvision; SSD, SSDLite"),
        ("resnet50", None, "resnet50 is no detector of torchvision"),
        ("ssd300_vgg16", 512, "anchors of ssd300_vgg16 are made for 300 x 300 pixels alone, not for 512"),
        ("retinanet_resnet50_fpn", 100, "multiples of 32 pixels, not 100 x 100"),
    ],
)
def test_what_cannot_be_built(name: str, size: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_detector(name, 6, size)
    assert "\n" not in str(caught.value)


def test_sizes() -> None:
    assert detector_size(build_detector("ssdlite320_mobilenet_v3_large", 2)) == (320, 320)
    assert detector_size(build_detector("ssdlite320_mobilenet_v3_large", 2, 224)) == (224, 224)
    assert detector_size(build_detector("fcos_resnet50_fpn", 2)) == (SIZE, SIZE)
    assert detector_size(build_detector("fcos_resnet50_fpn", 2, 96)) == (96, 96)
    assert detector_size(tiny_ssd()) == SIDES
    assert detector_size(tiny_retinanet()) == (SIZE, SIZE)


@pytest.mark.parametrize(
    ("name", "published", "epsilon"),
    [("retinanet_resnet50_fpn", True, 0.0), ("retinanet_resnet50_fpn", False, 1e-5), ("fcos_resnet50_fpn", True, 1e-5)],
)
def test_the_published_retinanet_has_norms_without_epsilon(name: str, published: bool, epsilon: float) -> None:
    model = build_detector(name, 2, 64, published=published)
    assert {module.eps for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)} == {epsilon}
