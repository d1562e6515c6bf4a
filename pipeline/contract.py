"""The model contract: what a model file says about itself, as JSON under the metadata key `onsight`.

An Onsight model takes `frames` (uint8 [B, H, W, 3], BGR) and does the rest, from normalisation to the decoding of its
head, inside the graph. What the host still has to know stands here. The fields are an interface: they change only with
`VERSION`. docs/contract.md describes them for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from pipeline.errors import ContractError
from pipeline.terms import Interpolation, ResizeRule, Task

METADATA_KEY = "onsight"
VERSION: Literal[1] = 1

INPUT_NAME = "frames"
CLASSIFIER_OUTPUTS = ("scores",)
DETECTOR_OUTPUTS = ("boxes", "scores", "labels")

Pixels = Annotated[int, Field(gt=0, le=16384)]
Score = Annotated[float, Field(ge=0, le=1)]
Label = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Part):
    """The tensor `frames`, uint8 [B, height, width, 3].

    `dynamic`: height and width may be any multiples of `stride`; `height` and `width` are then the size not to exceed.
    `batch`: None where the graph takes any number of frames, 1 where it takes one (the runtime then loops).
    """

    height: Pixels
    width: Pixels
    stride: Pixels = 1
    dynamic: bool = False
    batch: Literal[1] | None = None


class Resize(_Part):
    """How the host brings a frame to the size of the input.

    `stretch` ignores the aspect ratio. `crop` scales the frame so that it covers the input ÷ `crop_pct` and cuts out
    its centre. `letterbox` keeps the aspect ratio and fills the rest with `pad_value`, at the right and the bottom
    (`pad: end`) or on both sides (`pad: both`). `graph`: the graph resizes, frames of any size go in.
    `rounding`: a fraction of a pixel in a letterbox goes to the nearest whole number or `down`, as YOLOX cuts it off.
    `antialias`: filter before shrinking, as torchvision, timm and Pillow do; YOLO families are trained without.
    """

    rule: ResizeRule
    interpolation: Interpolation = "linear"
    antialias: bool = True
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    rounding: Literal["nearest", "down"] = "nearest"
    pad: Literal["end", "both"] = "both"
    pad_value: Annotated[int, Field(ge=0, le=255)] = 114


class ClassifierSpec(_Part):
    """What the runtime reports of `scores` (f32 [B, C], probabilities) unless the run asks otherwise."""

    top_k: Annotated[int, Field(gt=0)] = 5
    threshold: Score = 0.0


class DetectorSpec(_Part):
    """The best `candidates` of a frame, chosen in the graph, and what the host still does with them.

    `nms`: overlapping boxes of a class have to be suppressed by the host, at intersection over union `iou`.
    """

    candidates: Annotated[int, Field(gt=0)]
    nms: bool
    threshold: Score = 0.25
    iou: Score = 0.45


class ModelContract(_Part):
    """All that the runtime knows of a model. Immutable; see the module's docstring."""

    version: Literal[1] = VERSION
    task: Task
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    input: InputSpec
    resize: Resize
    classifier: ClassifierSpec | None = None
    detector: DetectorSpec | None = None
    provenance: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _task_has_its_part(self) -> Self:
        wanted, unwanted = (
            (self.classifier, self.detector) if self.task == "classify" else (self.detector, self.classifier)
        )
        if wanted is None or unwanted is not None:
            part = "classifier" if self.task == "classify" else "detector"
            raise ValueError(f"a model that can {self.task} has the part '{part}' and no other")
        if self.input.dynamic and self.resize.rule != "letterbox":
            raise ValueError("only the resize rule 'letterbox' fits a dynamic height and width")
        if self.input.height % self.input.stride or self.input.width % self.input.stride:
            raise ValueError("height and width are no multiples of the stride")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in their order."""
        return CLASSIFIER_OUTPUTS if self.task == "classify" else DETECTOR_OUTPUTS

    def to_metadata(self) -> dict[str, str]:
        """The metadata entry to store in an ONNX file."""
        return {METADATA_KEY: self.model_dump_json(exclude_none=True)}


def read_contract(metadata: Mapping[str, str], name: str) -> ModelContract:
    """Reads and validates the contract in the metadata of the model file called `name`.

    Raises:
        ContractError: there is none, it is broken, or a newer Onsight made it.
    """
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise ContractError(
            f"{name} carries no Onsight contract; make a model that does with: "
            f"onsight adopt {name} --family … --output m.onnx"
        )
    try:
        contract = ModelContract.model_validate_json(text)
    except ValidationError as error:
        raise ContractError(_explain(error, name)) from None
    if "version" not in contract.model_fields_set:
        raise ContractError(f"{name} has a contract without a version; adopt or export the model again")
    return contract


def _explain(error: ValidationError, name: str) -> str:
    first: Any = error.errors(include_url=False)[0]
    if first["loc"] == ("version",):
        return f"{name} has contract version {first['input']!r}, this Onsight reads {VERSION}: upgrade Onsight"
    where = "".join(f"{part}: " for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{name} has a broken contract: {where}{what}; adopt or export the model again"
