"""What `onsight adopt` and `onsight export` may be told: light to import, for the command line names the choices."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pipeline.terms import Device, Interpolation

FamilyName = Literal["classifier", "yolox", "yolov5", "yolov8", "detr", "nms"]
HostRule = Literal["stretch", "crop", "letterbox"]
Activation = Literal["softmax", "sigmoid", "none"]
PixelRange = Literal["0-1", "0-255"]
Colour = Literal["rgb", "bgr"]
Precision = Literal["fp32", "fp16", "int8"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The choices of one adoption. None: what the graph tells, or else the default of the family.

    Args:
        family: the kind of network, which decides how its outputs are read.
        labels: `coco`, `coco91`, `imagenet` or a text file with a label a line.
        size: height and width of the input, where the graph leaves them open.
        mean, std: of the normalisation, in the order red, green, blue, on the scale that `pixel_range` names.
        pixel_range: the scale of the pixels that the network is fed, before mean and std.
        colour: the order of the colours that the network is fed.
        resize, crop_pct, interpolation: how the host brings a frame to the size of the input.
        activation: what makes probabilities of the class scores.
        candidates: how many results a frame the graph keeps at most.
    """

    family: FamilyName
    labels: str
    size: tuple[int, int] | None = None
    mean: Triple | None = None
    std: Triple | None = None
    pixel_range: PixelRange | None = None
    colour: Colour | None = None
    resize: HostRule | None = None
    crop_pct: float | None = None
    interpolation: Interpolation | None = None
    activation: Activation | None = None
    candidates: int | None = None

    def given(self) -> dict[str, Any]:
        """The options that were given, as JSON knows them."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The choices of one export.

    Args:
        precision: of the network; its ends stay in float32.
        resize_in_graph: frames of any size go in.
        data: pictures to try the file on, and if their classes or boxes are known, to measure it on.
        calibration: a folder with pictures for int8.
        max_drop: points of accuracy or mAP that fp16 and int8 may lose.
        device: what the file is tried and measured on.
        force: replace an older file.
    """

    precision: Precision = "fp32"
    resize_in_graph: bool = False
    data: Path | None = None
    calibration: Path | None = None
    max_drop: float = 1.0
    device: Device = "cpu"
    force: bool = False
