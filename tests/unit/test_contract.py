import json

import pytest
from pydantic import ValidationError

from pipeline.contract import (
    METADATA_KEY,
    ClassifierSpec,
    DetectorSpec,
    InputSpec,
    ModelContract,
    Resize,
    read_contract,
)
from pipeline.errors import ContractError, ModelError, OnsightError

CLASSIFIER = ModelContract(
    task="classify",
    labels=("cat", "dog"),
    input=InputSpec(height=224, width=224),
    resize=Resize(rule="crop", interpolation="cubic", crop_pct=0.875),
    classifier=ClassifierSpec(top_k=1, threshold=0.1),
    provenance={"source": "timm", "epochs": 3, "notes": {"seed": None}, "parent": None},
)
DETECTOR = ModelContract(
    task="detect",
    labels=("person",),
    input=InputSpec(height=416, width=640, stride=32, dynamic=True, batch=1),
    resize=Resize(rule="letterbox", antialias=False, pad="end"),
    detector=DetectorSpec(candidates=300, nms=True),
)


def changed(contract: ModelContract, **fields: object) -> dict[str, str]:
    """Metadata of the contract with top-level fields replaced."""
    return {METADATA_KEY: json.dumps({**json.loads(contract.to_metadata()[METADATA_KEY]), **fields})}


@pytest.mark.parametrize("contract", [CLASSIFIER, DETECTOR])
def test_what_is_written_is_read(contract: ModelContract) -> None:
    assert read_contract(contract.to_metadata(), "m.onnx") == contract


def test_the_json_is_an_interface() -> None:
    assert json.loads(DETECTOR.to_metadata()["onsight"]) == {
        "version": 1,
        "task": "detect",
        "labels": ["person"],
        "input": {"height": 416, "width": 640, "stride": 32, "dynamic": True, "batch": 1},
        "resize": {
            "rule": "letterbox",
            "interpolation": "linear",
            "antialias": False,
            "crop_pct": 1.0,
            "rounding": "nearest",
            "pad": "end",
            "pad_value": 114,
        },
        "detector": {"candidates": 300, "nms": True, "threshold": 0.25, "iou": 0.45},
        "provenance": {},
    }


def test_a_terse_contract_gets_the_defaults() -> None:
    text = json.dumps(
        {
            "version": 1,
            "task": "classify",
            "labels": ["cat"],
            "input": {"height": 8, "width": 8},
            "resize": {"rule": "stretch"},
            "classifier": {},
        }
    )
    contract = read_contract({METADATA_KEY: text}, "m.onnx")
    assert contract.classifier == ClassifierSpec(top_k=5, threshold=0.0)
    assert contract.input.batch is None
    assert contract.version == 1


@pytest.mark.parametrize("metadata", [{}, {"Onsight": "{}"}, {"stride": "32", "names": "{0: 'person'}"}])
def test_a_model_without_contract_is_refused_with_the_way_out(metadata: dict[str, str]) -> None:
    with pytest.raises(ContractError, match=r"a/m\.onnx .*onsight adopt a/m\.onnx"):
        read_contract(metadata, "a/m.onnx")


def test_a_contract_without_a_version_is_refused() -> None:
    fields = json.loads(DETECTOR.to_metadata()[METADATA_KEY])
    del fields["version"]
    with pytest.raises(ContractError, match=r"m\.onnx has a contract without a version; adopt"):
        read_contract({METADATA_KEY: json.dumps(fields)}, "m.onnx")


@pytest.mark.parametrize("version", [2, 99, 0])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(ContractError, match=rf"m\.onnx has contract version {version}, this Onsight reads 1: upgrade"):
        read_contract(changed(DETECTOR, version=version, novelty=True), "m.onnx")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"colour": "rgb"}, "colour"),
        ({"input": {"height": 8, "width": 8, "depth": 3}}, r"input\W+depth"),
        ({"input": {"height": 8}}, r"input\W+width"),
        ({"labels": []}, "labels"),
        ({"labels": ["person", " "]}, r"labels\W+1"),
        ({"task": "segment"}, "task"),
        ({"provenance": None}, "provenance"),
    ],
)
def test_a_broken_contract_is_refused_with_the_place(fields: dict[str, object], where: str) -> None:
    with pytest.raises(ContractError, match=rf"m\.onnx has a broken contract: {where}: .*adopt") as caught:
        read_contract(changed(DETECTOR, **fields), "m.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"onsight"', "\0"])
def test_metadata_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match=r"m\.onnx has a broken contract") as caught:
        read_contract({METADATA_KEY: text}, "m.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"task": "classify", "detector": DETECTOR.detector},
        {"task": "detect", "classifier": CLASSIFIER.classifier},
        {"task": "detect"},
        {"task": "detect", "detector": DETECTOR.detector, "classifier": CLASSIFIER.classifier},
    ],
)
def test_a_task_has_its_part_and_no_other(parts: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=f"a model that can {parts['task']} has the part"):
        ModelContract(labels=("a",), input=InputSpec(height=8, width=8), resize=Resize(rule="stretch"), **parts)


@pytest.mark.parametrize("rule", ["stretch", "crop", "graph"])
def test_a_dynamic_size_is_for_letterbox_only(rule: str) -> None:
    with pytest.raises(ValidationError, match="letterbox"):
        ModelContract(
            task="detect",
            labels=("a",),
            input=InputSpec(height=64, width=64, stride=32, dynamic=True),
            resize=Resize(rule=rule),
            detector=DETECTOR.detector,
        )


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("size", [(650, 640), (640, 650)])
def test_the_size_is_a_multiple_of_the_stride(dynamic: bool, size: tuple[int, int]) -> None:
    """Also where it may vary: height and width are the size not to exceed, and inputs are multiples of the stride."""
    with pytest.raises(ValidationError, match="stride"):
        ModelContract(
            task="detect",
            labels=("a",),
            input=InputSpec(height=size[0], width=size[1], stride=32, dynamic=dynamic),
            resize=Resize(rule="letterbox"),
            detector=DETECTOR.detector,
        )


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (InputSpec, {"height": 0, "width": 8}),
        (InputSpec, {"height": 8, "width": 8, "batch": 2}),
        (InputSpec, {"height": 8, "width": 8, "stride": 0}),
        (Resize, {"rule": "pad"}),
        (Resize, {"rule": "crop", "crop_pct": 0}),
        (Resize, {"rule": "crop", "crop_pct": 1.1}),
        (Resize, {"rule": "letterbox", "pad_value": 256}),
        (Resize, {"rule": "letterbox", "pad": "start"}),
        (Resize, {"rule": "stretch", "interpolation": "lanczos"}),
        (ClassifierSpec, {"top_k": 0}),
        (ClassifierSpec, {"threshold": 1.5}),
        (DetectorSpec, {"candidates": 0, "nms": True}),
        (DetectorSpec, {"candidates": 1, "nms": True, "iou": -0.1}),
        (DetectorSpec, {"candidates": 1}),
    ],
)
def test_values_out_of_range_are_refused(part: type, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        part(**fields)


def test_a_contract_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CLASSIFIER.task = "detect"


def test_labels_may_be_in_any_script() -> None:
    contract = CLASSIFIER.model_copy(update={"labels": ("猫", "größer", "tête-à-tête")})
    assert read_contract(contract.to_metadata(), "m.onnx").labels == contract.labels


def test_contract_errors_are_model_errors_that_the_user_can_mend() -> None:
    assert issubclass(ContractError, ModelError)
    assert issubclass(ModelError, OnsightError)
