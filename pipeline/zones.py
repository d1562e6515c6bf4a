"""Zones and lines: what their file says, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipeline.config import Names, Sources, read_yaml, suggest_key
from pipeline.errors import ConfigError
from pipeline.settings import find_labels
from pipeline.sources.live import hide_credentials

_LEAST_AREA = 1e-6  # of the frame; twice the area of a zone is more

Anchor = Literal["bottom_center", "center"]
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
    if points[0] == points[1]:
        raise ValueError("the two points of a line are the same")
    return points


def _check_zone(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        raise ValueError(f"a zone has at least three points, not {len(points)}")
    if len(set(points)) < len(points):
        raise ValueError("a point comes twice; the last one is joined to the first without repeating it")
    edges = list(zip(points, (*points[1:], points[0]), strict=True))
    for (i, first), (j, second) in combinations(enumerate(edges), 2):
        if 1 < j - i < len(edges) - 1 and _meet(*first, *second):
            raise ValueError(f"edges {i + 1} and {j + 1} meet; give the corners in their order around the zone")
    if abs(sum(_turn(points[0], *edge) for edge in edges)) < _LEAST_AREA:
        raise ValueError("the points lie on one line: there is nothing between them")
    return points


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of the triangle; its sign tells on which side of ab c lies."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd have a common point."""
    near = all(max(a[i], b[i]) >= min(c[i], d[i]) and max(c[i], d[i]) >= min(a[i], b[i]) for i in (0, 1))
    return near and _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0


Points = Annotated[tuple[Point, ...], AfterValidator(_check_frame)]
Name = Annotated[str, Field(min_length=1)]


class _Place(BaseModel):
    """What zones and lines have in common: whom they count, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    classes: Names = ()
    anchor: Anchor = "bottom_center"
    sources: Sources | None = None


class ZoneConfig(_Place):
    """A polygon that is not self-intersecting."""

    points: Annotated[Points, AfterValidator(_check_zone)]


class LineConfig(_Place):
    """Two points. From its first to its second, `in` is to the left."""

    points: Annotated[Points, AfterValidator(_check_line)]


class ZonesConfig(BaseModel):
    """The file of zones and lines."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    zones: dict[Name, ZoneConfig] = {}
    lines: dict[Name, LineConfig] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """A zone or a line of one source, ready for counting.

    Args:
        points: x and y as fractions of the frame's width and height.
        classes: the label ids to count; None: all.
        anchor: the point of a box that stands for the object.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    classes: frozenset[int] | None = None
    anchor: Anchor = "bottom_center"


@dataclass(frozen=True, slots=True)
class Places:
    """The zones and lines of one source."""

    zones: tuple[Place, ...] = ()
    lines: tuple[Place, ...] = ()


def read_zones(file: Path) -> ZonesConfig:
    """Reads a file of zones and lines.

    Raises:
        ConfigError: it cannot be read, says nothing, or something in it does not fit.
    """
    try:
        config = ZonesConfig.model_validate(read_yaml(file, "zones file"))
    except ValidationError as error:
        raise ConfigError(f"the zones file {file}: {_explain(error)}") from None
    if not config.zones and not config.lines:
        raise ConfigError(f"the zones file {file} has neither a zone nor a line: write some under 'zones' or 'lines'")
    if twice := sorted(config.zones.keys() & config.lines.keys()):
        raise ConfigError(f"the zones file {file}: '{twice[0]}' is a zone and a line; give each a name of its own")
    return config


def settle_zones(
    config: ZonesConfig, labels: Sequence[str], classes: frozenset[int] | None, sources: Sequence[str]
) -> list[Places]:
    """The zones and lines of each source.

    Args:
        labels: of the model.
        classes: the label ids that the run shows; None: all.
        sources: their names, as records carry them.

    Raises:
        ConfigError: a class that the model or the run has not, or a source that the run has not.
    """
    zones = [_settle(name, each, labels, classes, sources) for name, each in config.zones.items()]
    lines = [_settle(name, each, labels, classes, sources) for name, each in config.lines.items()]
    return [
        Places(
            tuple(zone for zone, streams in zones if stream in streams),
            tuple(line for line, streams in lines if stream in streams),
        )
        for stream in range(len(sources))
    ]


def _settle(
    name: str,
    place: ZoneConfig | LineConfig,
    labels: Sequence[str],
    classes: frozenset[int] | None,
    sources: Sequence[str],
) -> tuple[Place, frozenset[int]]:
    """The place, and the sources it belongs to."""
    try:
        wanted = find_labels(place.classes, labels) if place.classes else None
    except ConfigError as error:
        raise ConfigError(f"'{name}' of the zones file: {error}") from None
    if wanted and classes is not None and (left_out := wanted - classes):
        raise ConfigError(f"'{name}' of the zones file counts {labels[min(left_out)]}, but 'classes' leaves it out")
    streams = frozenset(range(len(sources)))
    if place.sources is not None:
        named = [hide_credentials(source) for source in place.sources]
        if missing := [source for source in named if source not in sources]:
            raise ConfigError(
                f"'{name}' of the zones file belongs to {missing[0]}, but the sources are: {', '.join(sources)}"
            )
        streams = frozenset(stream for stream, source in enumerate(sources) if source in named)
    return Place(name, place.points, wanted, place.anchor), streams


def _explain(error: ValidationError) -> str:
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    *parents, key = [str(part) for part in first["loc"][:3] if part != "[key]"]
    path = ".".join((*parents, key))
    if first["type"] == "extra_forbidden":
        known = ZoneConfig.model_fields if parents else ZonesConfig.model_fields
        return f"unknown key '{path}'; {suggest_key(key, sorted(known))}"
    if first["type"] == "missing" and key == first["loc"][-1]:
        return f"{path} is missing"
    if first["type"] == "value_error":
        return f"{path}: {first['msg'].removeprefix('Value error, ')}"
    return f"{path} cannot be {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
