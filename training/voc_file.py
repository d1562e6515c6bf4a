"""The XML of a picture in the format of Pascal VOC.

A file may come from anywhere, so expat is asked directly and any DOCTYPE is refused: only there can entities be
declared that expand without end or read other files, and VOC has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pipeline.errors import ConfigError
from training.box_listing import FAR

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class VocObject:
    """An object. `box`: xyxy in pixels, where the first pixel spans 0 to 1. `difficult`: it need not be found."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True, slots=True)
class VocContent:
    """What is read of a file. `size`: width and height in pixels; None where it does not say."""

    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def read_voc(file: Path) -> VocContent:
    """Reads a file.

    VOC counts pixels from 1 and names the first and the last one of an object: xmin 1 and xmax 10 are ten columns, here
    0 to 10.

    Raises:
        ConfigError: it cannot be read, is no XML, has a DOCTYPE, or an object without a name or a box; the message
            names the line.
    """
    root, lines = _parse(file)
    if root.tag != "annotation":
        raise ConfigError(f"{file} line {lines[root]} begins with <{root.tag}>: expected VOC's <annotation>")
    size = tuple(int(_number(root.find(f"size/{side}")) or 0) for side in ("width", "height"))
    objects = tuple(_read_object(each, f"{file} line {lines[each]}") for each in root.iterfind("object"))
    return VocContent((size[0], size[1]) if min(size) > 0 else None, objects)


def _read_object(element: Element, where: str) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ConfigError(f"{where} has an object without a name: give it one")
    found = [_number(element.find(f"bndbox/{corner}")) for corner in _CORNERS]
    corners = [corner for corner in found if corner is not None]
    if len(corners) < len(_CORNERS):
        raise ConfigError(
            f"{where} has an object without a usable bndbox: {', '.join(_CORNERS)} have to be numbers of pixels"
        )
    left, top, right, bottom = corners
    if right < left - 1 or bottom < top - 1:
        raise ConfigError(f"{where} has a bndbox that ends before it begins: exchange its corners")
    return VocObject(name, (left - 1, top - 1, right, bottom), bool(_number(element.find("difficult"))))


def _number(element: Element | None) -> float | None:
    """What an element holds, if it is a number of pixels."""
    try:
        value = math.nan if element is None else float(element.text or "")
    except ValueError:
        return None
    return value if abs(value) <= FAR else None


def _parse(file: Path) -> tuple[Element, Mapping[Element, int]]:
    """The root, and the line on which each element begins."""
    builder, parser, lines = TreeBuilder(), expat.ParserCreate(), dict[Element, int]()

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    def refuse(*_: object) -> NoReturn:
        raise ConfigError(f"{file} line {parser.CurrentLineNumber} has a DOCTYPE, which can be an attack: remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(file.read_bytes(), True)
    except OSError as failure:
        raise ConfigError(f"{file} cannot be read: {failure.strerror}") from None
    except expat.ExpatError as failure:
        raise ConfigError(f"{file} line {failure.lineno} is no valid XML: {expat.ErrorString(failure.code)}") from None
    except (LookupError, ValueError) as failure:  # an encoding that Python does not know
        raise ConfigError(f"{file} is no valid XML: {failure}") from None
    return builder.close(), lines
