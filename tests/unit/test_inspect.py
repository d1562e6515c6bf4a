from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.models import tiny_classifier, tiny_detector

from pipeline.cli import main
from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ContractError, DeviceError, ModelError
from pipeline.inspect import inspect_model, print_model


def card(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The printed card: name to value."""
    lines = capsys.readouterr().out.splitlines()[1:]
    return {name.strip(): value.strip() for name, _, value in (line.strip().partition("  ") for line in lines)}


def contract_of(
    *, labels: Sequence[str] = ("blue", "green", "red"), detector: DetectorSpec | None = None, **parts: object
) -> ModelContract:
    values: dict[str, object] = {
        "task": "detect" if detector else "classify",
        "labels": labels,
        "input": InputSpec(height=32, width=64),
        "resize": Resize(rule="stretch"),
        "detector": detector,
        "classifier": None if detector else ClassifierSpec(),
    }
    return ModelContract.model_validate(values | parts)


def facts_of(contract: ModelContract) -> dict[str, object]:
    return {
        "file": "m.onnx",
        "bytes": 3_912_345,
        "contract": contract.model_dump(mode="json", exclude_none=True),
        "inputs": {"frames": ["B", 32, 64, 3]},
        "outputs": {"scores": [None, 3]},
        "operators": {f"Op{i}": 20 - i for i in range(12)},
        "nodes": {"CUDAExecutionProvider": 170, "CPUExecutionProvider": 4},
        "cpu_nodes": 4,
        "device": "cuda",
        "reason": None,
    }


def test_facts_of_a_classifier(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", size=(32, 48))

    facts = inspect_model(path, "cpu")

    assert facts["file"] == str(path)
    assert facts["bytes"] == path.stat().st_size
    assert facts["contract"]["labels"] == ["blue", "green", "red"]
    assert facts["inputs"] == {"frames": ["B", 32, 48, 3]}
    assert facts["outputs"] == {"scores": ["B", 3]}
    assert facts["operators"] == {"Cast": 1, "ReduceMean": 1, "Mul": 1, "Softmax": 1}
    assert facts["nodes"] == {"CPUExecutionProvider": 4}
    assert (facts["cpu_nodes"], facts["device"], facts["reason"]) == (4, "cpu", None)


def test_facts_of_a_detector_put_frequent_operators_first(tmp_path: Path) -> None:
    facts = inspect_model(tiny_detector(tmp_path / "m.onnx"), "cpu")

    counts = list(facts["operators"].values())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1
    assert sum(counts) == sum(facts["nodes"].values())
    assert facts["outputs"] == {"boxes": ["B", 3, 4], "scores": ["B", 3], "labels": ["B", 3]}


def test_json_is_one_object_with_the_same_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_detector(tmp_path / "m.onnx")

    assert main(["inspect", str(path), "--device", "cpu", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == inspect_model(path, "cpu")


def test_card_of_a_real_file_is_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_detector(tmp_path / "m.onnx", doubles=True)

    assert main(["inspect", str(path), "--device", "cpu"]) == 0

    text = capsys.readouterr().out
    assert text.startswith(str(path))
    assert text.isascii()
    assert "\x1b" not in text
    assert "detect: up to 6 boxes a frame, the host suppresses overlaps" in text
    assert "64 x 64 pixels, any number of frames" in text


def test_card_tells_the_graph_and_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(provenance={"name": "Net", "trained_on": "cats", "epochs": 3})))

    lines = card(capsys)
    assert list(lines)[:3] == ["name", "trained on", "epochs"]
    assert (lines["name"], lines["trained on"], lines["epochs"]) == ("Net", "cats", "3")
    assert lines["graph"] == "174 nodes: 20 Op0, 19 Op1, 18 Op2, 17 Op3, 16 Op4, 15 Op5, 14 Op6, 13 Op7, ..."
    assert lines["device"] == "cuda"
    assert lines["on the CPU"] == "4 of 174 nodes"
    assert lines["outputs"] == "scores [?, 3]"


def test_card_says_why_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    print_model({**facts_of(contract_of()), "device": "cpu", "reason": "no driver"})

    assert card(capsys)["device"] == "cpu: no driver"


@pytest.mark.parametrize(
    ("size", "text"), [(999, "1.0 kB"), (262, "0.3 kB"), (3_912_345, "3.9 MB"), (1_000_000, "1.0 MB")]
)
def test_card_tells_the_size(size: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model({**facts_of(contract_of()), "bytes": size})

    assert capsys.readouterr().out.startswith(f"m.onnx, {text}\n")


def test_card_shows_the_first_labels_and_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(labels=list("abcdefghij"))))
    assert card(capsys)["labels"] == "10: a, b, c, d, e, f, g, h, ..."

    print_model(facts_of(contract_of(labels=list("abcdefgh"))))
    assert card(capsys)["labels"] == "8: a, b, c, d, e, f, g, h"


@pytest.mark.parametrize(
    ("resize", "text"),
    [
        (Resize(rule="graph"), "the graph resizes"),
        (Resize(rule="stretch"), "stretched to the input, whatever the shape of the frame; linear, anti-aliased"),
        (
            Resize(rule="crop", crop_pct=0.875, interpolation="cubic"),
            "scaled to cover the input / 0.875 and cut out at the centre; cubic, anti-aliased",
        ),
        (
            Resize(rule="letterbox", antialias=False, pad="end"),
            "scaled to fit into the input, the rest filled with grey 114 at the right and the bottom; "
            "linear, not anti-aliased",
        ),
        (
            Resize(rule="letterbox", pad="both", pad_value=0),
            "scaled to fit into the input, the rest filled with grey 0 on both sides; linear, anti-aliased",
        ),
    ],
)
def test_card_tells_the_resize_rule(resize: Resize, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(resize=resize)))

    assert card(capsys)["resize"] == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "64 x 32 pixels, any number of frames"),
        ({"input": InputSpec(height=32, width=64, batch=1)}, "64 x 32 pixels, one frame at a time"),
        ({"resize": Resize(rule="graph")}, "frames of any size, any number of frames"),
        (
            {"input": InputSpec(height=640, width=640, stride=32, dynamic=True), "resize": Resize(rule="letterbox")},
            "up to 640 x 640 pixels, multiples of 32, any number of frames",
        ),
    ],
)
def test_card_tells_the_input(parts: dict[str, object], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(**parts)))

    assert card(capsys)["input"] == text


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (contract_of(), "the best 5"),
        (contract_of(classifier=ClassifierSpec(top_k=3, threshold=0.2)), "the best 3 with scores of 0.2 and more"),
        (contract_of(detector=DetectorSpec(candidates=300, nms=False)), "scores of 0.25 and more"),
        (
            contract_of(detector=DetectorSpec(candidates=300, nms=True, iou=0.5)),
            "scores of 0.25 and more; boxes that overlap by more than 0.5 are one",
        ),
    ],
)
def test_card_tells_what_is_reported(contract: ModelContract, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract))

    assert card(capsys)["reports"] == text


def test_a_model_without_contract_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", metadata={})

    with pytest.raises(ContractError, match="onsight adopt"):
        inspect_model(path)
    assert main(["inspect", str(path)]) == 2
    assert "onsight adopt" in capsys.readouterr().err


def test_a_missing_or_corrupt_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        inspect_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cannot be loaded"):
        inspect_model(tmp_path / "m.onnx")


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.model.why_no_gpu", lambda: "the bus is empty")

    with pytest.raises(DeviceError, match="cuda cannot be used: the bus is empty"):
        inspect_model(tiny_classifier(tmp_path / "m.onnx"), "cuda")
