"""What holds for every family: batches, sizes, one whole file or none, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from export import graph
from export.adopt import adopt
from export.dense import CANDIDATES
from export.options import Options
from pipeline.contract import read_contract
from pipeline.errors import ConfigError, ContractError, ModelError, OnsightError, SinkError


def classifier_of(count: int, labels: Any) -> Options:
    return Options(family="classifier", labels=labels(count))


def fails(source: Path, options: Options, error: type[OnsightError], message: str, output: str = "m.onnx") -> None:
    """`adopt` raises one line, and leaves the folder as it was."""
    folder = source.parent
    before = sorted(folder.rglob("*"))
    with pytest.raises(error, match=message) as caught:
        adopt(source, folder / output, options)
    assert "\n" not in str(caught.value)
    assert sorted(folder.rglob("*")) == before


# One whole file


def test_the_same_input_gives_the_same_bytes_without_traces(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    adopt(path, tmp_path / "a.onnx", classifier_of(5, labels))
    adopt(path, tmp_path / "b.onnx", classifier_of(5, labels))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert b"/home/me" in path.read_bytes()
    assert b"/home/me" not in (tmp_path / "a.onnx").read_bytes()
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == ["a.onnx", "b.onnx", "foreign.onnx"]


def test_external_data_is_pulled_in(make_network, labels, run, frames, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    adopt(path, tmp_path / "whole.onnx", classifier_of(5, labels))
    model = onnx.load(path)
    folder = tmp_path / "split"
    folder.mkdir()
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    adopt(folder / "net.onnx", tmp_path / "m.onnx", classifier_of(5, labels))
    (folder / "net.data").unlink()
    whole, pulled = (run(tmp_path / name, frames)["scores"] for name in ("whole.onnx", "m.onnx"))
    np.testing.assert_array_equal(whole, pulled)
    fails(folder / "net.onnx", classifier_of(5, labels), ModelError, "cannot be read as an ONNX model")


def test_more_than_one_file_can_hold(make_network, labels, monkeypatch) -> None:
    path, _ = make_network({"logits": (5,)})
    monkeypatch.setattr(graph, "LARGEST_FILE", 10)
    fails(path, classifier_of(5, labels), ModelError, "exceed the 2 GB")


def test_provenance(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    model = onnx.load(path)
    helper.set_model_props(model, {"license": "AGPL-3.0", "description": "trained on /home/me/data"})
    onnx.save(model, path)
    adopt(path, tmp_path / "m.onnx", Options(family="classifier", labels=labels(5), mean=(0.5, 0.5, 0.5)))
    made = onnx.load(tmp_path / "m.onnx")
    metadata = {entry.key: entry.value for entry in made.metadata_props}
    provenance = read_contract(metadata, "m.onnx").provenance
    assert list(metadata) == ["onsight"]
    assert provenance["source"] == "foreign.onnx"
    assert provenance["license"] == "AGPL-3.0"
    assert provenance["options"] == {"family": "classifier", "labels": "5.txt", "mean": [0.5, 0.5, 0.5]}
    assert len(str(provenance["source_sha256"])) == 64


def test_what_no_output_needs_is_left_out(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,), "features": (40,)})
    adopt(path, tmp_path / "m.onnx", classifier_of(5, labels))
    made = onnx.load(tmp_path / "m.onnx")
    assert not [tensor.name for tensor in made.graph.initializer if "features" in tensor.name]
    assert not [node.op_type for node in made.graph.node if any("features" in name for name in node.output)]


def test_what_only_a_branch_needs_is_kept(labels, run, frames, tmp_path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    net (float[B, 3, 64, 64] images) => (float[B, 3] logits)
    <float[3] weight = {1, 2, 3}, float[3] spare = {4, 5, 6}, bool yes = {1}> {
        colour = ReduceMean <axes = [2, 3], keepdims = 0> (images)
        logits = If (yes) <
            then_branch = first () => (float[B, 3] a) { a = Mul (colour, weight) },
            else_branch = second () => (float[B, 3] b) { b = Identity (colour) }
        >
    }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "foreign.onnx")
    options = Options(family="classifier", labels=labels(3), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    adopt(tmp_path / "foreign.onnx", tmp_path / "m.onnx", options)
    logits = (frames[..., ::-1] / 255).mean(axis=(1, 2)) * [1, 2, 3]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", frames)["scores"], expected, rtol=1e-5)
    names = {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert "net/weight" in names
    assert "net/spare" not in names


# Batches and sizes


@pytest.mark.parametrize(("batch", "reshaped_to"), [("B", None), ("B", 1), (1, 1), (1, None), (4, 4)])
def test_a_batch_that_can_be_freed_is_freed(make_network, labels, run, frames, tmp_path, batch, reshaped_to) -> None:
    path, _ = make_network({"logits": (5,)}, batch=batch, reshaped_to=reshaped_to)
    contract = adopt(path, tmp_path / "m.onnx", classifier_of(5, labels))
    assert contract.input.batch is None
    both = run(tmp_path / "m.onnx", frames)["scores"]
    each = [run(tmp_path / "m.onnx", frame[None])["scores"][0] for frame in frames]
    np.testing.assert_allclose(both, each, rtol=1e-5)
    assert not np.allclose(both[0], both[1], rtol=1e-4)


FIRST_ONLY = """<ir_version: 8, opset_import: ["": 17]>
net (float[{batch}, 3, 64, 64] images) => (float[{batch}, 3] logits) <int64[1] zero = {{0}}, int64[1] one = {{1}}> {{
    colour = ReduceMean <axes = [2, 3], keepdims = 0> (images)
    first = Slice (colour, zero, one)
    nothing = Sub (colour, colour)
    logits = {last}
}}"""


@pytest.mark.parametrize("last", ["Add (first, nothing)", "Identity (first)", "Identity (nothing)"])
@pytest.mark.parametrize("batch", ["B", "1"])
def test_a_batch_without_proof_stays_one(labels, run, frames, tmp_path, last, batch) -> None:
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.parser.parse_model(FIRST_ONLY.format(batch=batch, last=last)), path)
    contract = adopt(path, tmp_path / "m.onnx", classifier_of(3, labels))
    assert contract.input.batch == 1
    assert run(tmp_path / "m.onnx", frames[:1])["scores"].shape == (1, 3)


def test_a_fixed_batch_of_several_that_cannot_be_freed(labels, tmp_path) -> None:
    path = tmp_path / "foreign.onnx"
    text = """<ir_version: 8, opset_import: ["": 17]>
    net (float[4, 3, 64, 64] images) => (float[4, 3] logits) <float[4, 3] base = {0,1,2,3,4,5,6,7,8,9,10,11}> {
        colour = ReduceMean <axes = [2, 3], keepdims = 0> (images)
        logits = Add (colour, base)
    }"""
    onnx.save(onnx.parser.parse_model(text), path)
    fails(path, classifier_of(3, labels), ModelError, "fixed to 4 frames: export the model with a batch of 1")


def dense_network(path: Path, target: str) -> None:
    """A yolov8 of three classes whose boxes follow the size of the input; `target` is the shape of each level."""
    weight = np.random.default_rng(5).uniform(-0.1, 0.1, (7, 3, 1, 1)).astype(np.float32)
    levels = "".join(
        f"""pool{s} = AveragePool <kernel_shape = [{s}, {s}], strides = [{s}, {s}]> (images)
        map{s} = Conv (pool{s}, weight, bias)
        flat{s} = Reshape (map{s}, shape{s})\n"""
        for s in (8, 16, 32)
    )
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    net (float[B, 3, H, W] images) => (float[B, 7, N] output0) {{
        {levels} output0 = Concat <axis = 2> (flat8, flat16, flat32)
    }}"""
    model = onnx.parser.parse_model(text)
    constants = {"weight": weight, "bias": np.linspace(0.3, 0.6, 7).astype(np.float32)}
    for stride in (8, 16, 32):
        last = -1 if target == "open" else (640 // stride) ** 2
        constants[f"shape{stride}"] = np.array([0, 7, last], np.int64)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.save(model, path)


def dense_reference(frame_HW3: Any) -> tuple[Any, Any]:
    weight = np.random.default_rng(5).uniform(-0.1, 0.1, (7, 3, 1, 1)).astype(np.float32)[:, :, 0, 0]
    height, width = frame_HW3.shape[:2]
    rows = []
    for s in (8, 16, 32):
        pooled = (frame_HW3[..., ::-1] / 255).reshape(height // s, s, width // s, s, 3).mean(axis=(1, 3))
        rows.append(pooled.reshape(-1, 3) @ weight.T + np.linspace(0.3, 0.6, 7))
    rows_ND = np.concatenate(rows)
    return rows_ND[:, :4], rows_ND[:, 4:]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 96), (96, 32), (96, 96), (640, 384)])
def test_open_height_and_width(labels, run, tmp_path, height, width) -> None:
    dense_network(tmp_path / "foreign.onnx", "open")
    contract = adopt(tmp_path / "foreign.onnx", tmp_path / "m.onnx", Options(family="yolov8", labels=labels(3)))
    assert contract.input.model_dump() == {"height": 640, "width": 640, "stride": 32, "dynamic": True, "batch": None}
    assert contract.detector is not None
    assert contract.detector.candidates == CANDIDATES
    frames = np.random.default_rng(6).integers(0, 256, (2, height, width, 3), np.uint8)
    found = run(tmp_path / "m.onnx", frames)
    for i, frame in enumerate(frames):
        boxes, pairs = dense_reference(frame)
        best = np.argsort(-pairs.ravel(), kind="stable")[:CANDIDATES]
        used = len(best)
        np.testing.assert_allclose(found["scores"][i, :used], pairs.ravel()[best], rtol=1e-4)
        corner = (boxes[:, :2] - boxes[:, 2:] / 2)[best // 3]
        same = np.isclose(found["boxes"][i, :used, :2], corner, rtol=1e-3, atol=1e-5).all(axis=1)
        same &= found["labels"][i, :used] == best % 3
        assert same.mean() > 0.98  # equal scores may change places
        assert (found["labels"][i, used:] == -1).all()
        assert (found["scores"][i, used:] == 0).all()


def test_a_size_that_is_open_in_name_only_is_fixed(labels, run, tmp_path) -> None:
    dense_network(tmp_path / "foreign.onnx", "fixed")
    contract = adopt(tmp_path / "foreign.onnx", tmp_path / "m.onnx", Options(family="yolov8", labels=labels(3)))
    assert (contract.input.dynamic, contract.input.height, contract.input.stride) == (False, 640, 1)
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in shape[1:]] == [640, 640, 3]


def test_the_size_where_the_graph_leaves_it_open(make_network, labels, run, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)}, size=("H", "W"))
    fails(path, classifier_of(5, labels), ConfigError, "add --size")
    contract = adopt(path, tmp_path / "m.onnx", Options(family="classifier", labels=labels(5), size=(48, 32)))
    assert (contract.input.height, contract.input.width, contract.input.dynamic) == (48, 32, False)
    assert run(tmp_path / "m.onnx", np.zeros((1, 48, 32, 3), np.uint8))["scores"].shape == (1, 5)


def test_a_size_that_no_stride_divides(labels, tmp_path) -> None:
    dense_network(tmp_path / "foreign.onnx", "open")
    options = Options(family="yolov8", labels=labels(3), size=(650, 650))
    fails(tmp_path / "foreign.onnx", options, ConfigError, "multiple of 32")


def test_resize_options(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    crop = Options(family="classifier", labels=labels(5), crop_pct=0.95, interpolation="cubic")
    assert adopt(path, tmp_path / "m.onnx", crop).resize.model_dump(include={"rule", "crop_pct", "interpolation"}) == {
        "rule": "crop",
        "crop_pct": 0.95,
        "interpolation": "cubic",
    }
    stretch = Options(family="classifier", labels=labels(5), resize="stretch")
    assert adopt(path, tmp_path / "m.onnx", stretch).resize.crop_pct == 1.0


# Rewrites

DISTRIBUTIONS = """<ir_version: 8, opset_import: ["": 17]>
net (float[B, 3, 64, 64] images) => (float[B, 7, 84] output0)
<int64[3] flat = {0, 67, -1}, int64[2] parts = {64, 3}, int64[4] sides = {0, 4, 16, 84}, int64[3] boxes = {0, 4, 84}> {
    pool8 = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (images)
    pool16 = AveragePool <kernel_shape = [16, 16], strides = [16, 16]> (images)
    pool32 = AveragePool <kernel_shape = [32, 32], strides = [32, 32]> (images)
    map8 = Conv (pool8, weight)
    map16 = Conv (pool16, weight)
    map32 = Conv (pool32, weight)
    flat8 = Reshape (map8, flat)
    flat16 = Reshape (map16, flat)
    flat32 = Reshape (map32, flat)
    levels = Concat <axis = 2> (flat8, flat16, flat32)
    logits, classes = Split <axis = 1> (levels, parts)
    bins = Reshape (logits, sides)
    turned = Transpose <perm = [0, 2, 1, 3]> (bins)
    shares = Softmax <axis = 1> (turned)
    mean = Conv (shares, numbers)
    distances = Reshape (mean, boxes)
    scores = Sigmoid (classes)
    output0 = Concat <axis = 1> (distances, scores)
}"""


def test_the_softmax_of_a_yolov8_is_rewritten_and_its_boxes_stay(labels, run, frames, tmp_path, monkeypatch) -> None:
    model = onnx.parser.parse_model(DISTRIBUTIONS)
    weight = np.random.default_rng(5).uniform(-3, 3, (67, 3, 1, 1)).astype(np.float32)
    numbers = np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)
    tensors = (onnx.numpy_helper.from_array(value, name) for value, name in ((weight, "weight"), (numbers, "numbers")))
    model.graph.initializer.extend(tensors)
    onnx.save(model, tmp_path / "foreign.onnx")
    options = Options(family="yolov8", labels=labels(3))
    adopt(tmp_path / "foreign.onnx", tmp_path / "m.onnx", options)
    monkeypatch.setattr("export.adopt.split_softmax", lambda model: None)
    adopt(tmp_path / "foreign.onnx", tmp_path / "as_it_was.onnx", options)

    made, before = (onnx.load(tmp_path / name).graph.node for name in ("m.onnx", "as_it_was.onnx"))
    assert "Softmax" in [node.op_type for node in before]
    assert "Softmax" not in [node.op_type for node in made]
    found, expected = (run(tmp_path / name, frames) for name in ("m.onnx", "as_it_was.onnx"))
    assert np.ptp(expected["boxes"]) > 1
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"", "no ONNX model"), (b"# just text\n" * 9, "ONNX"), (bytes(300), "ONNX")],
)
def test_files_that_are_no_models(labels, tmp_path, content, message) -> None:
    path = tmp_path / "foreign.onnx"
    if content is not None:
        path.write_bytes(content)
    fails(path, classifier_of(5, labels), ModelError, message)


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_truncated_file(make_network, labels, part) -> None:
    path, _ = make_network({"logits": (500,)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    fails(path, classifier_of(500, labels), ModelError, "cannot be read")


def test_an_adopted_model_is_refused(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    adopt(path, tmp_path / "m.onnx", classifier_of(5, labels))
    fails(tmp_path / "m.onnx", classifier_of(5, labels), ContractError, "carries an Onsight contract", "again.onnx")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        ("m.bin", ConfigError, "something.onnx, not m.bin"),
        ("nowhere/m.onnx", SinkError, "there is no folder"),
        ("foreign.onnx", ConfigError, "would replace the input"),
    ],
)
def test_outputs_that_cannot_be(make_network, labels, output, error, message) -> None:
    path, _ = make_network({"logits": (5,)})
    fails(path, classifier_of(5, labels), error, message, output)


def test_a_failed_adoption_leaves_the_old_file(make_network, labels, tmp_path) -> None:
    path, _ = make_network({"logits": (5,)})
    (tmp_path / "m.onnx").write_bytes(b"an older model")
    fails(path, classifier_of(4, labels), ContractError, "5 classes")
    assert (tmp_path / "m.onnx").read_bytes() == b"an older model"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"std": (0.0, 1.0, 1.0)}, ConfigError, "--std must be positive"),
        ({"mean": (123.7, 116.3, 103.5)}, ConfigError, "add --range 0-255"),
        ({"size": (32, 32)}, ConfigError, "--size 32x32 contradicts the graph, whose input is 64x64"),
        ({"crop_pct": 0.0}, ConfigError, "--crop-pct should lie"),
        ({"crop_pct": 0.9, "resize": "stretch"}, ConfigError, "--crop-pct belongs to"),
        ({"labels": "nowhere.txt"}, ConfigError, "no labels file"),
        ({"candidates": 10}, ConfigError, "--candidates belongs to detectors"),
        ({"family": "yolov8", "activation": "none"}, ConfigError, "--activation belongs to"),
    ],
)
def test_options_that_cannot_be(make_network, labels, given, error, message) -> None:
    path, _ = make_network({"logits": (5,)})
    fails(path, Options(**{"family": "classifier", "labels": labels(5)} | given), error, message)


def test_a_network_that_normalises_for_itself(make_network, labels) -> None:
    path, _ = make_network({"logits": (5,)}, dtype=TensorProto.UINT8)
    options = Options(family="classifier", labels=labels(5), mean=(0.5, 0.5, 0.5))
    fails(path, options, ConfigError, "normalises for itself")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("float[B, 3, 8, 8] images, float[B, 2] sizes", "one input, for images, and has 2: images .*, sizes"),
        ("float[B, 1, 8, 8] images", "3, H, W"),
        ("float[B, 12] images", "3, H, W"),
        ("int64[B, 3, 8, 8] images", "of floats or uint8, and is of int64"),
    ],
)
def test_inputs_that_are_no_images(labels, tmp_path, inputs, message) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17]> net ({inputs}) => (float y) {{ y = Cast <to = 1> (images) }}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "foreign.onnx")
    fails(tmp_path / "foreign.onnx", classifier_of(5, labels), ModelError, message)


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "classifier": {"logits": (3,)},
    "yolox": {"output": (84, 8)},
    "yolov5": {"output": (252, 8)},
    "yolov8": {"output": (7, 84)},
    "detr": {"logits": (20, 3), "boxes": (20, 4)},
    "nms": {"output": (20, 6)},
}


def foreign(make_network: Any, family: str) -> Path:
    bases: dict[str, Any] = {name: np.random.default_rng(0).random(shape) for name, shape in SHAPES[family].items()}
    still = None
    if family == "nms":
        bases["output"] = bases["output"] * 60
        bases["output"][:, 5] = 2
        still = {"output": np.array([1, 1, 1, 1, 1, 0])}
    path, _ = make_network(bases, still=still)
    return path


@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("said", SHAPES)
def test_the_wrong_family_is_named_with_the_right_one(make_network, labels, tmp_path, family, said) -> None:
    path = foreign(make_network, family)
    options = Options(family=said, labels=labels(3))
    if said == family:
        assert adopt(path, tmp_path / "m.onnx", options).labels == ("class 0", "class 1", "class 2")
    else:
        message = f"this is no {said} model: {said} expects .*, found .*; it looks like --family {family}$"
        fails(path, options, ContractError, message)


@pytest.mark.parametrize("family", SHAPES)
def test_a_label_count_that_does_not_fit(make_network, labels, family) -> None:
    path = foreign(make_network, family)
    found = "class 2" if family == "nms" else "3 classes"
    for count in (1, 2) if family == "nms" else (1, 5):
        fails(path, Options(family=family, labels=labels(count)), ContractError, f"{found}.* {count} labels were given")


def test_a_background_class_is_suspected(make_network, labels) -> None:
    path, _ = make_network({"logits": (6,)})
    fails(path, classifier_of(5, labels), ContractError, "6 classes .is one of them a background class")


def test_the_names_that_an_exporter_stored_are_counted(make_network, labels) -> None:
    path = foreign(make_network, "nms")
    model = onnx.load(path)
    helper.set_model_props(model, {"names": "{0: 'a', 1: 'b', 2: 'c'}"})
    onnx.save(model, path)
    fails(path, Options(family="nms", labels=labels(4)), ContractError, "names 3 classes, but 4 labels")
