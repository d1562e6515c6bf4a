"""Masks, zones and lines of one camera. Their files may be shared by cameras; `sources` in them are cameras' names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline.drawn import Point
from pipeline.errors import ConfigError
from pipeline.mask import MaskConfig, read_masks, settle_masks
from pipeline.serve.config import CameraSpec
from pipeline.zones import LineConfig, Places, ZoneConfig, read_zones, settle_zones

E = TypeVar("E", MaskConfig, ZoneConfig, LineConfig)


def masks_of(file: Path, camera: str) -> Sequence[Sequence[Point]]:
    """The polygons of a camera.

    Raises:
        ConfigError: the file cannot be used, or has none for it: it would be watched unmasked.
    """
    config = read_masks(file)
    masks = _own(config.masks, camera)
    if not masks:
        raise ConfigError(f"the masks file {file} has no mask for camera '{camera}': {_ADVICE}")
    return settle_masks(config.model_copy(update={"masks": masks}), [camera])[0]


def places_of(file: Path, camera: str, labels: Sequence[str], classes: frozenset[int] | None) -> Places:
    """The zones and lines of a camera; `labels` and `classes` as for `settle_zones`.

    Raises:
        ConfigError: the file cannot be used, or has none for it.
    """
    config = read_zones(file)
    zones, lines = _own(config.zones, camera), _own(config.lines, camera)
    if not zones and not lines:
        raise ConfigError(f"the zones file {file} has neither a zone nor a line for camera '{camera}': {_ADVICE}")
    own = config.model_copy(update={"zones": zones, "lines": lines})
    return settle_zones(own, labels, classes, [camera])[0]


def strangers(cameras: Mapping[str, CameraSpec]) -> Iterator[tuple[Path, str]]:
    """The files of masks and zones that name what is no camera, with that name."""
    masks = {spec.masks for spec in cameras.values() if spec.masks is not None}
    zones = {spec.zones for spec in cameras.values() if spec.zones is not None}
    named = [(file, _named(read_masks(file).masks.values())) for file in sorted(masks)]
    for file in sorted(zones):
        config = read_zones(file)
        named.append((file, _named([*config.zones.values(), *config.lines.values()])))
    for file, names in named:
        yield from ((file, name) for name in sorted(names - cameras.keys()))


_ADVICE = "its 'sources' are the names of cameras; leave them out for all"


def _own(entries: Mapping[str, E], camera: str) -> dict[str, E]:
    """The entries that lie in the pictures of a camera."""
    own = {name: each for name, each in entries.items() if each.sources is None or camera in each.sources}
    return {name: each.model_copy(update={"sources": None}) for name, each in own.items()}


def _named(entries: Collection[Any]) -> set[str]:
    return {name for each in entries for name in each.sources or ()}
