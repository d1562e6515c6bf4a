"""The JSON of a data set in the format of COCO: what is read of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from pipeline.errors import ConfigError
from training.findings import shorten

_Pixels = Annotated[FiniteFloat, Field(ge=0)]


class CocoImage(BaseModel):
    """A picture; `file_name` may have folders in it."""

    id: int
    file_name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class CocoBox(BaseModel):
    """An object. `bbox`: x, y, width and height in pixels. `area`: of the object itself, in square pixels."""

    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, _Pixels, _Pixels]
    area: _Pixels | None = None
    iscrowd: bool = False


class CocoCategory(BaseModel):
    """A class, or a group of them: the `supercategory` of others. Numbers may have gaps."""

    id: int
    name: str
    supercategory: str | None = None


class CocoContent(BaseModel):
    """What is read of a file; everything else in it is passed over."""

    images: list[CocoImage]
    annotations: list[CocoBox]
    categories: list[CocoCategory]


def read_content(file: Path) -> CocoContent:
    """Reads a file.

    Raises:
        ConfigError: it cannot be read, is not in the format of COCO, or an image or a category has the id of another.
    """
    try:
        content = CocoContent.model_validate_json(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as failure:
        raise ConfigError(f"{file} cannot be read: {failure.strerror}") from None
    except ValidationError as failure:
        raise ConfigError(_explain(failure, file)) from None
    if not content.images:
        raise ConfigError(f"{file} lists no images: give another file")
    for what, each in (("images", content.images), ("categories", content.categories)):
        if twice := _repeated([one.id for one in each]):
            raise ConfigError(f"{file} has several {what} of one id ({shorten(twice)}): give each its own")
    return content


def _repeated(ids: list[int]) -> list[int]:
    return [number for number, count in Counter(ids).items() if count > 1]


def _explain(failure: ValidationError, file: Path) -> str:
    first: Any = failure.errors(include_url=False)[0]
    where, what = first["loc"], f"{first['msg'][0].lower()}{first['msg'][1:]}"
    if first["type"] == "json_invalid":
        return f"{file} is no valid JSON: {first['ctx']['error']}"
    if len(where) < 2:
        lacks = f"list {where[0]!r}" if where else "lists 'images', 'annotations' and 'categories'"
        return f"{file} is not in the format of COCO: it has no {lacks}"
    name = f"{file}: number {where[1] + 1:,} of its {where[0]}"
    if where[2:3] == ("bbox",):
        return f"{name} has no usable bbox: x, y, width and height have to be finite numbers, no size below 0"
    return f"{name} has no usable {where[2]}: {what}" if len(where) > 2 else f"{name} is broken: {what}"
