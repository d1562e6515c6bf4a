"""Zones and lines: what their file says, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.config import Names, Sources, read_yaml
from pipeline.drawn import Line, Name, Point, Polygon, explain, find_streams
from pipeline.errors import ConfigError
from pipeline.settings import find_labels

Anchor = Literal["bottom_center", "center"]


class _Place(BaseModel):
    """What zones and lines have in common: whom they count, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    classes: Names = ()
    anchor: Anchor = "bottom_center"
    sources: Sources | None = None


class ZoneConfig(_Place):
    """A polygon that is not self-intersecting."""

    points: Polygon


class LineConfig(_Place):
    """Two points. From its first to its second, `in` is to the left."""

    points: Line


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
    points: tuple[Point, ...]
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
        raise ConfigError(f"the zones file {file}: {explain(error, ZonesConfig, ZoneConfig)}") from None
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
    streams = find_streams(f"'{name}' of the zones file", place.sources, sources)
    return Place(name, place.points, wanted, place.anchor), streams
