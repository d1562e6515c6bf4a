"""Tiny models whose answers follow from the picture by a rule that a test can state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize

COLOURS = ("blue", "green", "red")
SHARPNESS = 8.0
"""The classifier's scores are softmax(SHARPNESS · mean of the channel ÷ 255)."""

_HEADER = '<ir_version: 10, opset_import: ["" : 18]>'


def tiny_classifier(
    path: Path,
    *,
    size: tuple[int, int] = (32, 32),
    resize: Resize | None = None,
    batch: int | None = None,
    labels: Sequence[str] = COLOURS,
    input_name: str = "frames",
    input_type: str = "uint8",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Writes a classifier of blue, green and red; `expected_scores` says what it answers.

    Args:
        size: height and width of the input.
        resize: stretch, if not given; with the rule `graph` the input takes any size.
        batch: 1 for a graph that takes one frame at a time.
        labels, input_name, input_type: other values than the defaults break the contract.
        metadata: what to store in the file in place of the contract; {} for nothing.
    """
    resize = resize or Resize(rule="stretch", antialias=False)
    graph = f"""{_HEADER}
    tiny ({input_type}[{_shape(size, batch, any_size=resize.rule == "graph")}] {input_name})
      => (float[{batch or "B"},3] scores)
      <int64[2] axes = {{1, 2}}, float scale = {{{SHARPNESS / 255}}}> {{
        pixels = Cast<to=1>({input_name})
        means = ReduceMean<keepdims=0>(pixels, axes)
        logits = Mul(means, scale)
        scores = Softmax<axis=1>(logits)
    }}"""
    contract = ModelContract(
        task="classify",
        labels=tuple(labels),
        input=InputSpec(height=size[0], width=size[1], batch=batch),
        resize=resize,
        classifier=ClassifierSpec(top_k=2),
    )
    return _save(path, parser.parse_model(graph), contract.to_metadata() if metadata is None else metadata)


def expected_scores(image: np.ndarray) -> np.ndarray:
    """float64 [3]: what `tiny_classifier` answers to an image of one colour, or of its own input's size."""
    powers = np.exp(SHARPNESS * image.reshape(-1, 3).astype(np.float64).mean(0) / 255)
    return powers / powers.sum()


def tiny_detector(
    path: Path,
    *,
    size: tuple[int, int] = (64, 64),
    resize: Resize | None = None,
    stride: int = 1,
    dynamic: bool = False,
    batch: int | None = None,
    doubles: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Writes a detector of one blue, one green and one red thing.

    The box of a colour surrounds every pixel whose channel is brighter than 127, its score is their mean ÷ 255.
    A colour that is not there is an unused row.

    Args:
        size: height and width of the input.
        resize: letterbox on both sides, if not given; with the rule `graph` the input takes any size.
        stride, dynamic: as in `InputSpec`.
        batch: 1 for a graph that takes one frame at a time.
        doubles: each box comes twice, the second time with 0.9 of its score, for the host to suppress.
        metadata: what to store in the file in place of the contract; {} for nothing.
    """
    resize = resize or Resize(rule="letterbox", antialias=False)
    rows = 6 if doubles else 3
    any_size = dynamic or resize.rule == "graph"
    model = parser.parse_model(_DETECTOR.format(shape=_shape(size, batch, any_size), B=batch or "B", K=rows))
    model.graph.initializer.extend(_constants(doubles))
    contract = ModelContract(
        task="detect",
        labels=COLOURS,
        input=InputSpec(height=size[0], width=size[1], stride=stride, dynamic=dynamic, batch=batch),
        resize=resize,
        detector=DetectorSpec(candidates=rows, nms=doubles),
    )
    return _save(path, model, contract.to_metadata() if metadata is None else metadata)


def constant_detector(
    path: Path,
    rows: Sequence[tuple[Sequence[float], float, int]],
    *,
    labels: Sequence[str] = ("person", "car"),
    nms: bool = True,
) -> Path:
    """Writes a detector that finds the same in every picture, however wrong it is.

    Args:
        rows: box (x1, y1, x2, y2 in pixels of the frame), score and label id of each thing.
        labels: the names of the classes.
        nms: whether the host has to suppress overlaps.
    """
    model = parser.parse_model(_CONSTANT.format(K=len(rows)))
    boxes, scores, ids = zip(*rows, strict=True)
    values = {"boxesK": np.float32([boxes]), "scoresK": np.float32([scores]), "labelsK": np.int64([ids])}
    values |= {"one": np.int64([1]), "first": np.int64([0])}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    contract = ModelContract(
        task="detect",
        labels=tuple(labels),
        input=InputSpec(height=64, width=64),
        resize=Resize(rule="graph"),
        detector=DetectorSpec(candidates=len(rows), nms=nms),
    )
    return _save(path, model, contract.to_metadata())


def tiny_network(path: Path) -> Path:
    """Writes a classifier of random weights with Conv, Resize, MatMul and Gemm, for the comparison of devices."""
    labels = tuple(f"class {i}" for i in range(10))
    model = parser.parse_model(_NETWORK)
    random = np.random.default_rng(0)
    shapes = {"kernel": (16, 3, 3, 3), "weight1": (16, 32), "weight2": (32, 10), "bias": (10,)}
    weights = {name: random.normal(size=shape).astype(np.float32) * 0.3 for name, shape in shapes.items()}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    contract = ModelContract(
        task="classify",
        labels=labels,
        input=InputSpec(height=64, width=64),
        resize=Resize(rule="stretch"),
        classifier=ClassifierSpec(),
    )
    return _save(path, model, contract.to_metadata())


_DETECTOR = (
    _HEADER
    + """
tiny (uint8[{shape}] frames) => (float[{B},{K},4] boxes, float[{B},{K}] scores, int64[{B},{K}] labels) {{
    bright = Greater(frames, level)
    mask = Cast<to=1>(bright)
    shape = Shape(frames)
    height = Gather(shape, one)
    width = Gather(shape, two)
    columns = Range(zero, width, one)
    rows = Range(zero, height, one)
    columnsF = Cast<to=1>(columns)
    rowsF = Cast<to=1>(rows)
    columnsF1 = Unsqueeze(columnsF, axis1)
    rowsF1 = Unsqueeze(rowsF, axis1)
    widthF = Cast<to=1>(width)
    heightF = Cast<to=1>(height)
    columnsR1 = Sub(widthF, columnsF1)
    rowsR1 = Sub(heightF, rowsF1)
    columnsE1 = Add(columnsF1, oneF)
    rowsE1 = Add(rowsF1, oneF)

    inColumn = ReduceMax<keepdims=0>(mask, axis1)
    inRow = ReduceMax<keepdims=0>(mask, axis2)
    fromLeft = Mul(inColumn, columnsR1)
    fromTop = Mul(inRow, rowsR1)
    toRight = Mul(inColumn, columnsE1)
    toBottom = Mul(inRow, rowsE1)
    leftmost = ReduceMax<keepdims=0>(fromLeft, axis1)
    topmost = ReduceMax<keepdims=0>(fromTop, axis1)
    x1 = Sub(widthF, leftmost)
    y1 = Sub(heightF, topmost)
    x2 = ReduceMax<keepdims=0>(toRight, axis1)
    y2 = ReduceMax<keepdims=0>(toBottom, axis1)
    x1u = Unsqueeze(x1, axis2)
    y1u = Unsqueeze(y1, axis2)
    x2u = Unsqueeze(x2, axis2)
    y2u = Unsqueeze(y2, axis2)
    found = Concat<axis=2>(x1u, y1u, x2u, y2u)

    pixels = Cast<to=1>(frames)
    light = Mul(pixels, mask)
    lightSum = ReduceSum<keepdims=0>(light, axes12)
    area = ReduceSum<keepdims=0>(mask, axes12)
    areaOr1 = Max(area, oneF)
    mean = Div(lightSum, areaOr1)
    score = Div(mean, full)
    there = Greater(area, zeroF)
    label = Where(there, ids, unused)

    boxes = Gather<axis=1>(found, copies)
    scoresAll = Gather<axis=1>(score, copies)
    scores = Mul(scoresAll, weights)
    labels = Gather<axis=1>(label, copies)
}}"""
)

_CONSTANT = (
    _HEADER
    + """
constant (uint8[B,H,W,3] frames) => (float[B,{K},4] boxes, float[B,{K}] scores, int64[B,{K}] labels) {{
    shape = Shape(frames)
    batch = Gather<axis=0>(shape, first)
    batch2 = Concat<axis=0>(batch, one)
    batch3 = Concat<axis=0>(batch2, one)
    boxes = Expand(boxesK, batch3)
    scores = Expand(scoresK, batch2)
    labels = Expand(labelsK, batch2)
}}"""
)

_NETWORK = (
    _HEADER
    + """
tiny (uint8[B,64,64,3] frames) => (float[B,10] scores)
  <float[4] scales = {1, 1, 0.5, 0.5}, int64[2] axes = {2, 3}, float full = {255}> {
    pixels = Cast<to=1>(frames)
    pixelsNCHW = Transpose<perm=[0, 3, 1, 2]>(pixels)
    scaled = Div(pixelsNCHW, full)
    convolved = Conv<pads=[1, 1, 1, 1]>(scaled, kernel)
    positive = Relu(convolved)
    half = Resize<mode="linear">(positive, , scales)
    pooled = ReduceMean<keepdims=0>(half, axes)
    hidden = MatMul(pooled, weight1)
    logits = Gemm(hidden, weight2, bias)
    scores = Softmax<axis=1>(logits)
}"""
)


def _shape(size: tuple[int, int], batch: int | None, any_size: bool) -> str:
    height, width = ("H", "W") if any_size else size
    return f"{batch or 'B'},{height},{width},3"


def _constants(doubles: bool) -> list[Any]:
    copies = [0, 1, 2, 0, 1, 2] if doubles else [0, 1, 2]
    values: dict[str, np.ndarray] = {
        "level": np.uint8(127),
        "zero": np.int64(0),
        "one": np.int64(1),
        "two": np.int64(2),
        "zeroF": np.float32(0),
        "oneF": np.float32(1),
        "full": np.float32(255),
        "axis1": np.int64([1]),
        "axis2": np.int64([2]),
        "axes12": np.int64([1, 2]),
        "ids": np.int64([0, 1, 2]),
        "unused": np.int64(-1),
        "copies": np.int64(copies),
        "weights": np.float32([1, 1, 1, 0.9, 0.9, 0.9][: len(copies)]),
    }
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def _save(path: Path, model: onnx.ModelProto, metadata: dict[str, str]) -> Path:
    onnx.checker.check_model(model, full_check=True)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
