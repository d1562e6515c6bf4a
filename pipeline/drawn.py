"""What files draw over the pictures of sources: polygons and lines, where they lie, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from pipeline.config import suggest_key
from pipeline.errors import ConfigError
from pipeline.sources.live import hide_credentials

_LEAST_AREA = 1e-6  # of the frame; twice the area of a polygon is more
_LEAST_LENGTH = 1e-3  # of a line, in fractions of the frame
_STRAIGHT = 1e-9  # radians between two edges that are one line but for rounding

_WANTED = {
    "dict_type": "give names, each with its keys below it",
    "model_type": "give it keys, such as 'points'",
    "tuple_type": "give one or a list",
    "too_short": "give at least one",
    "string_too_short": "a name has at least 1 character",
}
"""What to do about pydantic's types of errors."""

Point: TypeAlias = tuple[float, float]
"""x and y as fractions of the frame's width and height, from its upper left corner."""


def _check_frame(points: tuple[Point, ...]) -> tuple[Point, ...]:
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"[{x:g}, {y:g}] is outside the frame; give fractions of its width and height, 0 to 1")
    return points


def _check_line(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) != 2:
        raise ValueError(f"a line has two points, not {len(points)}")
    if math.dist(*points) < _LEAST_LENGTH:
        raise ValueError(f"the two points of a line are less than {_LEAST_LENGTH:g} of the frame apart")
    return points


def _check_polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        raise ValueError(f"a polygon has at least three points, not {len(points)}")
    if len(set(points)) < len(points):
        raise ValueError("a point comes twice; the last one is joined to the first without repeating it")
    edges = list(zip(points, (*points[1:], points[0]), strict=True))
    for (i, first), (j, second) in combinations(enumerate(edges), 2):
        if 1 < j - i < len(edges) - 1 and _meet(*first, *second):
            raise ValueError(f"edges {i + 1} and {j + 1} meet; give the corners in their order around it")
    if abs(sum(_turn(points[0], *edge) for edge in edges)) < _LEAST_AREA:
        raise ValueError("the points lie on one line: there is nothing between them")
    for i, (first, second) in enumerate(pairwise((*edges, edges[0])), start=1):
        if _runs_back(*first, second[1]):
            raise ValueError(f"edge {i % len(edges) + 1} runs back over edge {i}; leave out the corner between them")
    return points


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of the triangle; its sign tells on which side of ab c lies."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd have a common point."""
    near = all(max(a[i], b[i]) >= min(c[i], d[i]) and max(c[i], d[i]) >= min(a[i], b[i]) for i in (0, 1))
    return near and _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0


def _runs_back(a: Point, b: Point, c: Point) -> bool:
    """Whether bc goes back over ab, so that there is a spike of no width at b."""
    onward = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1])
    return onward < 0 and abs(_turn(a, b, c)) <= _STRAIGHT * -onward


_Points = Annotated[tuple[Point, ...], AfterValidator(_check_frame)]
Polygon = Annotated[_Points, AfterValidator(_check_polygon)]
Line = Annotated[_Points, AfterValidator(_check_line)]
Name = Annotated[str, Field(min_length=1)]


def find_streams(what: str, wanted: Sequence[str] | None, sources: Sequence[str]) -> frozenset[int]:
    """The streams, numbered as in `sources`, whose names are in `wanted`; None: all. A password in them may be missing.

    Raises:
        ConfigError: `what` wants a source that the run has not.
    """
    if wanted is None:
        return frozenset(range(len(sources)))
    named = [hide_credentials(source) for source in wanted]
    if missing := [source for source in named if source not in sources]:
        raise ConfigError(f"{what} belongs to {missing[0]}, but the sources are: {', '.join(sources)}")
    return frozenset(stream for stream, source in enumerate(sources) if source in named)


def explain(error: ValidationError, file: type[BaseModel], entry: type[BaseModel]) -> str:
    """One line about a file whose keys are those of `file`, with named entries whose keys are those of `entry`."""
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    *parents, key = [str(part) for part in first["loc"][:3] if part != "[key]"]
    path = ".".join((*parents, key))
    if first["type"] == "extra_forbidden":
        known = entry.model_fields if parents else file.model_fields
        return f"unknown key '{path}'; {suggest_key(key, sorted(known))}"
    if first["type"] == "missing" and key == first["loc"][-1]:
        return f"{path} is missing"
    if first["type"] == "literal_error":
        return f"{path} cannot be {first['input']!r}: give {first['ctx']['expected']}"
    if first["type"] == "value_error":
        return f"{path}: {first['msg'].removeprefix('Value error, ')}"
    wanted = "give a list of [x, y] pairs" if key == "points" else _WANTED.get(first["type"], first["msg"])
    return f"{path} cannot be {'empty' if first['input'] is None else repr(first['input'])}: {wanted}"
