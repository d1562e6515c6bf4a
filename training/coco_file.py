"""The JSON of a data set in the format of COCO: what is read of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, StringConstraints, ValidationError

from pipeline.contract import Label
from pipeline.errors import ConfigError
from training.box_listing import FAR
from training.findings import shorten

_Place = Annotated[FiniteFloat, Field(ge=-FAR, le=FAR)]
_Length = Annotated[FiniteFloat, Field(ge=0, le=FAR)]
_Area = Annotated[FiniteFloat, Field(ge=0, le=FAR**2)]
_Side = Annotated[int, Field(gt=0, le=FAR)]


class CocoImage(BaseModel):
    """A picture; `file_name` may have folders in it."""

    id: int
    file_name: Annotated[str, Field(min_length=1)]
    width: _Side
    height: _Side


class CocoBox(BaseModel):
    """An object. `bbox`: x, y, width and height in pixels. `area`: of the object itself, in square pixels."""

    image_id: int
    category_id: int
    bbox: tuple[_Place, _Place, _Length, _Length]
    area: _Area | None = None
    iscrowd: bool = False


class CocoCategory(BaseModel):
    """A class, or a group of them: the `supercategory` of others. Numbers may have gaps, names none at their ends."""

    id: int
    name: Label
    supercategory: Annotated[str, StringConstraints(strip_whitespace=True)] | None = None


class CocoContent(BaseModel):
    """What is read of a file; everything else in it is passed over."""

    images: list[CocoImage]
    annotations: list[CocoBox]
    categories: list[CocoCategory]


@dataclass(frozen=True, slots=True)
class BrokenBox:
    """An annotation that cannot be used.

    Args:
        name: by its id, or where it has none, by its place.
        image_id: of its image, as the file gives it.
        why: what is wrong with it.
    """

    name: str
    image_id: object
    why: str


def read_content(file: Path) -> tuple[CocoContent, list[BrokenBox]]:
    """Reads a file: what can be used, and the annotations that cannot.

    Raises:
        ConfigError: it cannot be read, is not in the format of COCO, or an image or a category has the id of another.
    """
    broken: list[BrokenBox] = []
    try:
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        content = CocoContent.model_validate_json(data)
    except OSError as failure:
        raise ConfigError(f"{file} cannot be read: {failure.strerror}") from None
    except ValidationError as failure:
        content, broken = _set_aside(data, failure.errors(include_url=False), file)
    if not content.images:
        raise ConfigError(f"{file} lists no images: give another file")
    for what, each in (("images", content.images), ("categories", content.categories)):
        if twice := _repeated([one.id for one in each]):
            raise ConfigError(f"{file} has several {what} of one id ({shorten(twice)}): give each its own")
    return content, broken


def _repeated(ids: list[int]) -> list[int]:
    return [number for number, count in Counter(ids).items() if count > 1]


def _set_aside(data: bytes, faults: Sequence[Any], file: Path) -> tuple[CocoContent, list[BrokenBox]]:
    """What there is without the annotations that have faults; a fault of anything else is that of the file."""
    for fault in faults:
        if fault["loc"][:1] != ("annotations",) or len(fault["loc"]) < 2:
            raise ConfigError(_explain(fault, file))
    lists = json.loads(data)
    first = {fault["loc"][1]: fault for fault in reversed(faults)}
    broken = [_describe(lists["annotations"][place], place, first[place]) for place in sorted(first)]
    lists["annotations"] = [each for place, each in enumerate(lists["annotations"]) if place not in first]
    return CocoContent.model_validate(lists), broken


def _describe(annotation: Any, place: int, fault: Any) -> BrokenBox:
    values = annotation if isinstance(annotation, dict) else {}
    name = f"annotation {values['id']}" if "id" in values else f"number {place + 1:,} of its annotations"
    if fault["loc"][2:3] == ("bbox",):
        why = f"has no usable bbox: x, y, width and height have to be numbers up to {FAR:,.0f}, no size below 0"
    else:
        why = _say(fault)
    return BrokenBox(name, values.get("image_id"), why)


def _explain(fault: Any, file: Path) -> str:
    where = fault["loc"]
    if fault["type"] == "json_invalid":
        return f"{file} is no valid JSON: {fault['ctx']['error']}"
    if len(where) < 2:
        lacks = f"list {where[0]!r}" if where else "lists 'images', 'annotations' and 'categories'"
        return f"{file} is not in the format of COCO: it has no {lacks}"
    return f"{file}: number {where[1] + 1:,} of its {where[0]} {_say(fault)}"


def _say(fault: Any) -> str:
    """What is wrong with an item of a list."""
    where, what = fault["loc"], f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
    return f"has no usable {where[2]}: {what}" if len(where) > 2 else f"is broken: {what}"
