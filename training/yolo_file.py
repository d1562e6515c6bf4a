"""YOLO text, as Ultralytics has it: the YAML of a data set, and the label file of a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipeline.contract import Label
from pipeline.errors import ConfigError
from training.findings import plural, shorten
from training.folders import read_text

_FAR = 2.0  # pictures: what lies farther away is given in pixels


class YoloYaml(BaseModel):
    """What is read of a YAML. `path`: of the data set; the splits are folders of images, lists of them, or several."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    names: dict[int, Label]
    nc: int | None = None
    path: str | None = None
    train: str | list[str] | None = None
    val: str | list[str] | None = None
    test: str | list[str] | None = None
    kpt_shape: Any = None

    @field_validator("names", mode="before")
    @classmethod
    def _number(cls, names: Any) -> Any:
        return dict(enumerate(names)) if isinstance(names, list) else names


class LabelLine(NamedTuple):
    """An object. `box_4`: float64 [4], xyxy, and `area`, both of a picture whose sides are 1. `line` counts from 1."""

    line: int
    number: int
    box_4: NDArray[np.float64]
    area: float


def read_yaml(file: Path) -> YoloYaml:
    """Reads the YAML of a data set.

    Raises:
        ConfigError: it cannot be read, or lacks what is needed.
    """
    try:
        content = YoloYaml.model_validate(yaml.safe_load(read_text(file)))
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{where} is no valid YAML: {getattr(failure, 'problem', None) or failure}") from None
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise ConfigError(f"{file} has no usable {key}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if not content.names:
        raise ConfigError(f"{file} names no classes: give each number a name under 'names'")
    if twice := [name for name, count in Counter(content.names.values()).items() if count > 1]:
        raise ConfigError(f"{file} has several classes of one name ({shorten(twice)}): give each its own")
    if content.nc not in (None, len(content.names)):
        raise ConfigError(f"{file} says nc: {content.nc} and names {plural(len(content.names), 'class', 'classes')}")
    if content.kpt_shape is not None:
        raise ConfigError(f"{file} is of key points (kpt_shape): give a data set of boxes or polygons")
    return content


def read_label_file(file: Path) -> Iterator[LabelLine]:
    """Reads the label file of a picture: `class cx cy w h`, or `class` and the corners of a polygon.

    A polygon becomes the box around it and keeps its area.

    Raises:
        ConfigError: a line is broken; it is named by its number.
    """
    for line, text in enumerate(read_text(file).splitlines(), 1):
        if not text.strip():
            continue
        try:
            number, *values = map(float, text.split())
        except ValueError:
            raise ConfigError(f"{file} line {line} is no row of numbers: {text.strip()[:60]!r}") from None
        yield LabelLine(line, *_read_object(number, values, f"{file} line {line}"))


def _read_object(number: float, values: list[float], where: str) -> tuple[int, NDArray[np.float64], float]:
    if not number.is_integer() or number < 0:
        raise ConfigError(f"{where} begins with {number:g}: expected the number of a class")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        expected = "cx cy w h, or x y of 3 or more corners"
        raise ConfigError(f"{where} has {plural(len(values), 'value')} after the class: expected {expected}")
    if not all(math.isfinite(value) and abs(value) <= _FAR for value in values):
        raise ConfigError(f"{where} is not relative to the picture: divide x by its width and y by its height")
    if len(values) == 4:
        x, y, width, height = values
        if width < 0 or height < 0:
            raise ConfigError(f"{where} has a size below 0: expected cx cy w h")
        box_4 = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        return int(number), box_4, width * height
    corners_P2 = np.array(values).reshape(-1, 2)
    x_P, y_P = corners_P2.T
    area = abs(x_P @ np.roll(y_P, -1) - y_P @ np.roll(x_P, -1)) / 2  # Gauss's area formula
    return int(number), np.concatenate([corners_P2.min(0), corners_P2.max(0)]), float(area)
