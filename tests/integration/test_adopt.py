"""`onsight adopt` as a user calls it, and what it makes as the runtime opens it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper, parser

from export.cli import adopt
from export.families import FAMILIES
from export.options import FamilyName
from pipeline.contract import read_contract
from pipeline.errors import ContractError

NETWORK = """<ir_version: 8, opset_import: ["": 17]>
net (float[1, 3, 64, 64] images) => (float[1, 84, 8] output) <int64[3] shape = {1, 84, 8}> {
    colour = ReduceMean <axes = [2, 3], keepdims = 0> (images)
    change = MatMul (colour, weight)
    rows = Reshape (change, shape)
    output = Add (rows, base)
}"""


@pytest.fixture
def yolox(tmp_path: Path) -> Path:
    model = parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    constants = {"weight": random.normal(size=(3, 84 * 8)) * 1e-5, "base": random.uniform(0.1, 0.9, (84, 8))}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    (tmp_path / "labels.txt").write_text("cat\ndog\nfox\n", encoding="utf-8")
    onnx.save(model, tmp_path / "yolox.onnx")
    return tmp_path / "yolox.onnx"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(adopt, [str(argument) for argument in arguments])


def test_a_model_is_made(yolox: Path) -> None:
    output = yolox.with_name("m.onnx")
    result = call(yolox, "--family", "yolox", "--labels", yolox.with_name("labels.txt"), "--output", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr == (
        f"{output}: yolox, 3 labels, 64x64, letterbox, any batch, best 252. "
        f"Next: onsight run VIDEO --model {output} --output labelled.mp4\n"
    )
    metadata = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert read_contract(metadata, "m.onnx").labels == ("cat", "dog", "fox")


def test_every_option_arrives(yolox: Path) -> None:
    output = yolox.with_name("m.onnx")
    options = (
        "--family yolox --size 64x64 --mean 0.1,0.2,0.3 --std 0.4,0.5,0.6 --range 0-1 --color rgb "
        "--resize crop --crop-pct 0.9 --interpolation cubic --candidates 7"
    )
    result = call(yolox, *options.split(), "--labels", yolox.with_name("labels.txt"), "--output", output)
    assert result.exit_code == 0, result.output
    contract = read_contract({e.key: e.value for e in onnx.load(output).metadata_props}, "m.onnx")
    assert contract.provenance["options"] == {
        "family": "yolox",
        "labels": "labels.txt",
        "size": [64, 64],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "pixel_range": "0-1",
        "colour": "rgb",
        "resize": "crop",
        "crop_pct": 0.9,
        "interpolation": "cubic",
        "candidates": 7,
    }
    assert contract.detector is not None
    assert contract.detector.candidates == 7
    assert (contract.resize.rule, contract.resize.crop_pct, contract.resize.interpolation) == ("crop", 0.9, "cubic")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--size", "64x64x64"),
        ("--size", "big"),
        ("--size", "0"),
        ("--mean", "0.5"),
        ("--std", "1,2,x"),
        ("--family", "ssd"),
        ("--resize", "graph"),
        ("--candidates", "0"),
    ],
)
def test_values_that_cannot_be(yolox: Path, option: str, value: str) -> None:
    arguments = ("--family", "yolox", "--labels", "coco", "--output", yolox.with_name("m.onnx"))
    result = call(yolox, *arguments, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}" in result.stderr
    assert not yolox.with_name("m.onnx").exists()


def test_a_failure_leaves_no_file(yolox: Path) -> None:
    before = sorted(yolox.parent.iterdir())
    result = call(yolox, "--family", "yolox", "--labels", "coco", "--output", yolox.with_name("m.onnx"))
    assert isinstance(result.exception, ContractError)
    assert str(result.exception) == "the model has 3 classes, but 80 labels were given"
    assert sorted(yolox.parent.iterdir()) == before


def test_every_family_can_be_asked_for() -> None:
    assert set(FAMILIES) == set(get_args(FamilyName))
