"""Each family against a plain decoding in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from export.adopt import adopt
from export.dense import CANDIDATES
from export.options import Options
from pipeline.contract import ModelContract, read_contract

Array = NDArray[Any]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def feed(frames: Array, mean: Any = 0.0, std: Any = 1.0, scale: float = 255, rgb: bool = True) -> Array:
    """Frames as a network is fed them: float [B, 3, H, W]."""
    pixels = frames[..., ::-1] if rgb else frames
    return ((pixels / scale - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)


def xyxy(centre_size: Array) -> Array:
    centre, half = centre_size[..., :2], centre_size[..., 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def assert_best_pairs(found: dict[str, Array], boxes_BN4: Array, pairs_BNC: Array, k: int) -> None:
    """`found` are the best `k` of all (box, class) pairs, best first."""
    classes = pairs_BNC.shape[2]
    assert found["boxes"].shape == (len(boxes_BN4), k, 4)
    for i, (boxes, pairs) in enumerate(zip(boxes_BN4, pairs_BNC, strict=True)):
        best = np.argsort(-pairs.ravel(), kind="stable")[:k]
        np.testing.assert_allclose(found["scores"][i], pairs.ravel()[best], rtol=1e-3, atol=1e-5)
        same = np.isclose(found["boxes"][i], boxes[best // classes], rtol=1e-3, atol=1e-3).all(axis=1)
        same &= found["labels"][i] == best % classes
        assert same.mean() > 0.98  # equal scores may change places


def contract_of(path: Path) -> ModelContract:
    model = onnx.load(path)
    return read_contract({entry.key: entry.value for entry in model.metadata_props}, path.name)


@pytest.mark.parametrize("candidates", [None, 10])
@pytest.mark.parametrize(("size", "strides"), [((64, 96), (8, 16, 32)), ((128, 64), (8, 16, 32, 64))])
def test_yolox(make_network, labels, run, tmp_path, size, strides, candidates) -> None:
    height, width = size
    grid = [(x, y, s) for s in strides for y in range(height // s) for x in range(width // s)]
    path, network = make_network({"output": (len(grid), 5 + 3)}, size=size, batch=1, reshaped_to=1)
    options = Options(family="yolox", labels=labels(3), candidates=candidates)
    contract = adopt(path, tmp_path / "m.onnx", options)

    assert contract == contract_of(tmp_path / "m.onnx")
    assert (contract.resize.pad, contract.resize.pad_value, contract.resize.interpolation) == ("end", 114, "linear")
    assert (contract.input.height, contract.input.width, contract.input.batch) == (*size, None)
    assert contract.detector is not None
    assert (contract.detector.nms, contract.detector.threshold, contract.detector.iou) == (True, 0.25, 0.45)
    assert contract.detector.candidates == (candidates or min(CANDIDATES, len(grid) * 3))

    frames = np.random.default_rng(2).integers(0, 256, (2, *size, 3), np.uint8)
    rows = network(feed(frames, scale=1, rgb=False))["output"]
    x, y, stride = np.array(grid).T
    centre = (rows[..., :2] + np.stack([x, y], -1)) * stride[:, None]
    boxes = xyxy(np.concatenate([centre, np.exp(rows[..., 2:4]) * stride[:, None]], -1))
    found = run(tmp_path / "m.onnx", frames)
    assert_best_pairs(found, boxes, rows[..., 4:5] * rows[..., 5:], contract.detector.candidates)


def test_yolox_that_decodes_itself(make_network, labels, run, frames, tmp_path) -> None:
    path, network = make_network({"output": (84, 5 + 3)}, last="Exp")
    adopt(path, tmp_path / "m.onnx", Options(family="yolox", labels=labels(3)))
    rows = np.exp(network(feed(frames, scale=1, rgb=False))["output"])
    found = run(tmp_path / "m.onnx", frames)
    assert_best_pairs(found, xyxy(rows[..., :4]), rows[..., 4:5] * rows[..., 5:], 84 * 3)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("candidates", [None, 50])
def test_yolov5(make_network, labels, run, frames, tmp_path, opset, candidates) -> None:
    path, network = make_network({"output": (3 * 84, 5 + 3)}, opset=opset)
    contract = adopt(path, tmp_path / "m.onnx", Options(family="yolov5", labels=labels(3), candidates=candidates))
    rows = network(feed(frames))["output"]
    found = run(tmp_path / "m.onnx", frames)
    assert contract.detector is not None
    assert contract.detector.candidates == (candidates or 3 * 84 * 3)
    assert (contract.resize.pad, contract.resize.antialias) == ("both", False)
    assert_best_pairs(found, xyxy(rows[..., :4]), rows[..., 4:5] * rows[..., 5:], contract.detector.candidates)


@pytest.mark.parametrize("candidates", [None, 50])
def test_yolov8(make_network, labels, run, frames, tmp_path, candidates) -> None:
    path, network = make_network({"output0": (4 + 3, 84)})
    contract = adopt(path, tmp_path / "m.onnx", Options(family="yolov8", labels=labels(3), candidates=candidates))
    columns = network(feed(frames))["output0"].transpose(0, 2, 1)
    found = run(tmp_path / "m.onnx", frames)
    assert contract.detector is not None
    assert contract.detector.nms
    assert_best_pairs(found, xyxy(columns[..., :4]), columns[..., 4:], contract.detector.candidates)


@pytest.mark.parametrize("outputs", [("pred_boxes", "logits"), ("dets", "labels"), ("boxes", "scores")])
@pytest.mark.parametrize("classes", [3, 5])
def test_detr_with_sigmoid(make_network, labels, run, frames, tmp_path, outputs, classes) -> None:
    path, network = make_network({outputs[0]: (20, 4), outputs[1]: (20, classes)})
    contract = adopt(path, tmp_path / "m.onnx", Options(family="detr", labels=labels(classes)))
    assert contract.detector is not None
    assert (contract.detector.nms, contract.detector.candidates, contract.resize.rule) == (False, 20, "stretch")
    found = run(tmp_path / "m.onnx", frames)
    expected = network(feed(frames, *IMAGENET))
    assert_best_pairs(found, xyxy(expected[outputs[0]]) * 64, sigmoid(expected[outputs[1]]), 20)


@pytest.mark.parametrize(
    ("names", "given", "activate"),
    [
        (("pred_boxes", "logits"), None, softmax),
        (("dets", "labels"), None, sigmoid),
        (("pred_boxes", "logits"), "sigmoid", sigmoid),
        (("dets", "labels"), "softmax", softmax),
    ],
)
@pytest.mark.parametrize("classes", [3, 7])
def test_detr_with_a_class_for_nothing(
    make_network, labels, run, frames, tmp_path, names, given, activate, classes
) -> None:
    path, network = make_network({names[0]: (20, 4), names[1]: (20, classes + 1)})
    options = Options(
        family="detr", labels=labels(classes), activation=given, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    adopt(path, tmp_path / "m.onnx", options)
    found = run(tmp_path / "m.onnx", frames)
    expected = network(feed(frames))
    scores = activate(expected[names[1]])[..., :classes]
    assert_best_pairs(found, xyxy(expected[names[0]]) * 64, scores, 20)


def test_detr_in_one_output(make_network, labels, run, frames, tmp_path) -> None:
    path, network = make_network({"output0": (20, 4 + 3)})
    adopt(path, tmp_path / "m.onnx", Options(family="detr", labels=labels(3)))
    rows = network(feed(frames, *IMAGENET))["output0"]
    assert_best_pairs(run(tmp_path / "m.onnx", frames), xyxy(rows[..., :4]) * 64, rows[..., 4:], 20)


def listed(count: int, largest: float) -> tuple[Array, Array]:
    """Rows of four numbers, score, class; and where they may follow the picture."""
    rows = np.random.default_rng(3).uniform(0.1, 0.9, (count, 6))
    rows[:, :4] *= largest
    rows[:, 5] = np.arange(count) % 3
    moves = np.ones_like(rows)
    moves[:, 5] = 0
    rows[-2:] = moves[-2:] = 0
    return rows, moves


def assert_best_rows(found: dict[str, Array], boxes_BN4: Array, rows_BN6: Array) -> None:
    for i, rows in enumerate(rows_BN6):
        best = np.argsort(-rows[:, 4], kind="stable")
        used = len(rows) - 2
        np.testing.assert_allclose(found["scores"][i][:used], rows[best, 4][:used], rtol=1e-4)
        np.testing.assert_array_equal(found["labels"][i][:used], rows[best, 5][:used])
        np.testing.assert_allclose(found["boxes"][i][:used], boxes_BN4[i][best][:used], rtol=1e-4, atol=1e-3)
        assert (found["scores"][i][used:] == 0).all()
        assert (found["labels"][i][used:] == -1).all()


def test_nms(make_network, labels, run, frames, tmp_path) -> None:
    rows, moves = listed(20, largest=64)
    path, network = make_network({"output0": rows}, still={"output0": moves})
    contract = adopt(path, tmp_path / "m.onnx", Options(family="nms", labels=labels(3)))
    assert contract.detector is not None
    assert (contract.detector.nms, contract.detector.candidates, contract.input.batch) == (False, 20, None)
    expected = network(feed(frames))["output0"]
    assert_best_rows(run(tmp_path / "m.onnx", frames), expected[..., :4], expected)


def test_nms_without_a_batch(tmp_path, labels, run, frames) -> None:
    rows, _ = listed(20, largest=64)
    text = """<ir_version: 8, opset_import: ["": 17]>
    net (float[1, 3, 64, 64] images) => (float[N, 6] found) <float[20, 6] rows> {
        mean = ReduceMean <keepdims = 0> (images)
        zero = Sub (mean, mean)
        found = Add (rows, zero)
    }"""
    model = onnx.parser.parse_model(text)
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(rows.astype(np.float32), "rows"))
    onnx.save(model, tmp_path / "foreign.onnx")
    contract = adopt(tmp_path / "foreign.onnx", tmp_path / "m.onnx", Options(family="nms", labels=labels(3)))
    assert contract.detector is not None
    assert (contract.input.batch, contract.detector.candidates) == (1, 300)
    found = run(tmp_path / "m.onnx", frames[:1])
    assert found["boxes"].shape == (1, 300, 4)
    assert_best_rows({name: value[:, :20] for name, value in found.items()}, rows[None, :, :4], rows[None])
    assert (found["labels"][0, 20:] == -1).all()


def test_detr_with_scores_and_classes(make_network, labels, run, frames, tmp_path) -> None:
    rows, moves = listed(20, largest=1)
    path, network = make_network({"output0": rows}, still={"output0": moves})
    adopt(path, tmp_path / "m.onnx", Options(family="detr", labels=labels(3)))
    expected = network(feed(frames, *IMAGENET))["output0"]
    assert_best_rows(run(tmp_path / "m.onnx", frames), xyxy(expected[..., :4]) * 64, expected)


@pytest.mark.parametrize(
    ("last", "activation", "shape", "expected"),
    [
        (None, None, (5,), softmax),
        (None, None, (5, 1, 1), softmax),
        ("Softmax", None, (5,), softmax),
        ("Sigmoid", None, (5, 1, 1), sigmoid),
        (None, "sigmoid", (5,), sigmoid),
        (None, "none", (5, 1, 1), lambda x: x),
        ("Sigmoid", "softmax", (5,), lambda x: softmax(sigmoid(x))),
    ],
)
def test_classifier(make_network, labels, run, frames, tmp_path, shape, last, activation, expected) -> None:
    path, network = make_network({"logits": 9 * np.random.default_rng(0).normal(size=shape)}, last=last)
    contract = adopt(path, tmp_path / "m.onnx", Options(family="classifier", labels=labels(5), activation=activation))
    assert (contract.task, contract.resize.rule, contract.resize.crop_pct) == ("classify", "crop", 0.875)
    assert contract.resize.antialias
    logits = network(feed(frames, *IMAGENET))["logits"].reshape(2, 5)
    found = run(tmp_path / "m.onnx", frames)
    assert list(found) == ["scores"]
    np.testing.assert_allclose(found["scores"], expected(logits), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_inputs(make_network, labels, run, frames, tmp_path, channels_last, dtype, colour) -> None:
    path, network = make_network({"logits": (5,)}, channels_last=channels_last, dtype=dtype)
    whole = dtype == onnx.TensorProto.UINT8
    numbers = {} if whole else {"mean": (90.0, 80.0, 70.0), "std": (3.0, 4.0, 5.0), "pixel_range": "0-255"}
    adopt(path, tmp_path / "m.onnx", Options(family="classifier", labels=labels(5), colour=colour, **numbers))
    mean, std = (0.0, 1.0) if whole else ((90, 80, 70), (3, 4, 5))
    fed = feed(frames, mean, std, scale=1)
    expected = softmax(network(fed if colour == "rgb" else fed[:, ::-1])["logits"])
    found = run(tmp_path / "m.onnx", frames)["scores"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=5e-3 if dtype == onnx.TensorProto.FLOAT16 else 1e-4)
