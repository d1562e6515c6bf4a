"""Detectors of torchvision, cut in two and put together again, find what the library itself finds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from support.detectors import enliven
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FeaturePyramidNetwork

from export.detectors import DetectorParts, detector_parts
from export.gate_boxes import match_boxes
from pipeline.contract import DetectorSpec, InputSpec, Resize
from pipeline.errors import ConfigError
from pipeline.postprocess import find_objects
from pipeline.preprocess import plan_geometry
from training.detectors import SIZE, build_detector, detector_names, detector_size
from training.raw_heads import DetectorHead

CLASSES = 6
SIDES = (96, 160)
OUTPUTS = ("boxes", "scores", "labels")
Outputs = dict[str, NDArray[Any]]


class Levels(nn.Module):
    """A backbone of three levels, at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = 32
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 4, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU())
        self.further = nn.ModuleList(nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU()) for _ in range(2))
        self.pyramid = FeaturePyramidNetwork([32] * 3, 32)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels = [self.stem(images)]
        for conv in self.further:
            levels.append(conv(levels[-1]))
        return self.pyramid(OrderedDict((str(i), level) for i, level in enumerate(levels)))


def tiny_ssd() -> SSD:
    backbone = Levels()
    backbone.out_channels = [32] * 3  # type: ignore[assignment]
    return SSD(backbone, DefaultBoxGenerator([[2], [2, 3], [2]]), SIDES[::-1], CLASSES)


def tiny_retinanet() -> RetinaNet:
    anchors = AnchorGenerator(((16, 24), (32, 48), (64, 96)), ((0.5, 1.0, 2.0),) * 3)
    return RetinaNet(Levels(), CLASSES, min_size=SIDES[0], max_size=SIDES[1], anchor_generator=anchors)


def tiny_fcos() -> FCOS:
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    return FCOS(Levels(), CLASSES, min_size=SIDES[0], max_size=SIDES[1], anchor_generator=anchors)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than one, where the machine has other things to do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


TINY = pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet, tiny_fcos])


def found(parts: DetectorParts, images: Tensor) -> Outputs:
    """What our two halves give for normalised images."""
    with torch.inference_mode():
        outputs = parts.head(*parts.network(images))
    return dict(zip(OUTPUTS, (each.numpy() for each in outputs), strict=True))


def normalised(parts: DetectorParts, images: Tensor) -> Tensor:
    return (images - torch.tensor(parts.mean)[:, None, None]) / torch.tensor(parts.std)[:, None, None]


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
    result = []
    for rows in zip(*(outputs[name] for name in OUTPUTS), strict=True):
        each = find_objects(*rows, geometry, names, threshold, iou)
        result.append({"boxes": each.boxes_N4, "scores": each.scores_N, "labels": each.labels_N})
    return result


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
    parts = detector_parts(model, height, width)
    images = torch.rand(batch, 3, height, width)
    outputs = found(parts, normalised(parts, images))
    threshold = between(outputs["scores"])
    assert (outputs["scores"][:, -1] < threshold).all(), "the limit of candidates would show"
    ours = objects(outputs, height, width, threshold, parts.detector.iou)
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
    model = enliven(build_detector(name, CLASSES, size), size, size)
    finds_what_the_library_finds(model, size, size, batch)


@TINY
def test_any_backbone_and_shape_will_do(make: Callable[[], Any]) -> None:
    torch.manual_seed(2)
    finds_what_the_library_finds(enliven(make(), *SIDES), *SIDES, 3)


@pytest.mark.parametrize(
    ("make", "coder"),
    [
        (tiny_retinanet, BoxCoder((1.0, 2.0, 0.5, 3.0), bbox_xform_clip=0.2)),
        (tiny_fcos, BoxLinearCoder(normalize_by_size=False)),
    ],
)
def test_boxes_are_decoded_with_the_coder_of_the_model(make: Callable[[], Any], coder: Any) -> None:
    torch.manual_seed(7)
    model = enliven(make(), *SIDES)
    model.box_coder = coder
    finds_what_the_library_finds(model, *SIDES, 2)


@pytest.mark.parametrize("make", [tiny_ssd, tiny_retinanet])
def test_labels_count_as_the_library_does_or_without_the_background(make: Callable[[], Any]) -> None:
    torch.manual_seed(3)
    model = enliven(make(), *SIDES)
    images = torch.rand(2, 3, *SIDES)
    whole = detector_parts(model, *SIDES, labels=CLASSES)
    without = detector_parts(model, *SIDES, labels=CLASSES - 1)
    ours, others = (found(parts, normalised(parts, images)) for parts in (whole, without))
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
    model = enliven(make(), *SIDES)
    parts = detector_parts(model, *SIDES, candidates=50)
    assert parts.detector.candidates == 50
    outputs = found(parts, torch.randn(2, 3, *SIDES))
    assert {name: values.shape for name, values in outputs.items()} == {
        "boxes": (2, 50, 4),
        "scores": (2, 50),
        "labels": (2, 50),
    }
    assert [values.dtype for values in outputs.values()] == [np.float32, np.float32, np.int64]
    assert (np.diff(outputs["scores"]) <= 0).all()
    assert (outputs["boxes"] >= 0).all()
    assert (outputs["boxes"] <= [SIDES[1], SIDES[0]] * 2).all()
    all_of_them = detector_parts(model, *SIDES, candidates=10**6)
    more = found(all_of_them, torch.randn(1, 3, *SIDES))
    columns = CLASSES - 1 if isinstance(model, SSD) else CLASSES
    assert more["scores"].shape == (1, len(all_of_them.head.anchors) * columns)
    assert set(np.bincount(more["labels"][0])[-columns:]) == {len(all_of_them.head.anchors)}


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


# The parts


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
        build_detector(name, CLASSES, size)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_taken_apart() -> None:
    with pytest.raises(ConfigError, match="6 classes with the background, but 4 labels were given: name 5, or 6 where"):
        detector_parts(tiny_ssd(), *SIDES, labels=4)
    with pytest.raises(ConfigError, match="multiples of 32 pixels, not 160 x 90"):
        detector_parts(tiny_fcos(), 90, 160)
    with pytest.raises(ConfigError, match="Linear cannot be exported"):
        detector_parts(nn.Linear(1, 1), *SIDES)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="input of 100 x 100 does not go through the detector"):
        detector_parts(build_detector("ssd300_vgg16", 2), 100, 100)


def test_the_parts_of_an_ssd() -> None:
    parts = detector_parts(tiny_ssd(), *SIDES)
    assert parts.resize == Resize(rule="stretch", interpolation="linear", antialias=False)
    assert parts.detector == DetectorSpec(candidates=parts.head.candidates, nms=True, iou=0.45)
    assert (parts.mean, parts.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_parts_of_a_retinanet() -> None:
    parts = detector_parts(tiny_retinanet(), *SIDES)
    assert parts.resize == Resize(
        rule="letterbox", interpolation="linear", antialias=False, rounding="down", pad="end", pad_value=114
    )
    assert parts.detector == DetectorSpec(candidates=parts.head.candidates, nms=True, iou=0.5)


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


# As a file


class Whole(nn.Module):
    """Both halves; `half`: the network calculates with float16."""

    def __init__(self, parts: DetectorParts, half: bool = False) -> None:
        super().__init__()
        self.network, self.head, self.half_precision = parts.network, parts.head, half

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        raw = self.network(images.half() if self.half_precision else images)
        return self.head(*(each.float() for each in raw))


def export(whole: nn.Module, height: int, width: int, path: Path) -> onnxruntime.InferenceSession:
    program = torch.onnx.export(
        whole.eval(),
        (torch.zeros(2, 3, height, width),),
        input_names=["images"],
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    onnx.save(program.model_proto, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def matches(session: onnxruntime.InferenceSession, parts: DetectorParts, images: Tensor, tolerance: float) -> None:
    ours = dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"images": images.numpy()}), strict=True))
    distance = match_boxes(ours, found(parts, images), tolerance)
    assert distance.matched > len(images) * parts.head.candidates


@pytest.mark.filterwarnings("ignore")
def test_an_ssdlite_as_a_file_finds_the_same_at_any_batch(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = enliven(build_detector("ssdlite320_mobilenet_v3_large", CLASSES, 160), 160, 160)
    parts = detector_parts(model, 160, 160)
    session = export(Whole(parts), 160, 160, tmp_path / "m.onnx")
    assert [output.shape for output in session.get_outputs()] == [["batch", 2000, 4], ["batch", 2000], ["batch", 2000]]
    for batch in (1, 3, 8):
        matches(session, parts, torch.randn(batch, 3, 160, 160), 1e-3)
    operators = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "TopK" in operators
    assert not operators & {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan"}


@TINY
@pytest.mark.filterwarnings("ignore")
def test_half_precision_ends_in_single_precision(make: Callable[[], Any], tmp_path: Path) -> None:
    torch.manual_seed(6)
    model = enliven(make(), *SIDES)
    parts, halved = detector_parts(model, *SIDES), detector_parts(deepcopy(model), *SIDES)
    halved.network.half()
    session = export(Whole(halved, half=True), *SIDES, tmp_path / "m.onnx")
    matches(session, parts, torch.randn(3, 3, *SIDES), 1e-2)
    types = {tensor.data_type for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer if len(tensor.dims) == 4}
    assert types == {onnx.TensorProto.FLOAT16}
