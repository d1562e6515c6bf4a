"""Privacy masks: parts of a camera's picture that nobody gets to see, neither the model nor anything after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.config import Sources, read_yaml
from pipeline.drawn import Name, Point, Polygon, explain, find_streams
from pipeline.errors import ConfigError
from pipeline.sources.base import Source
from pipeline.types import Frame

_BITS = 4  # of the fraction of a pixel


class MaskConfig(BaseModel):
    """A polygon that is not self-intersecting, and the sources in which it lies."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    points: Polygon
    sources: Sources | None = None


class MasksConfig(BaseModel):
    """The file of masks."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    masks: dict[Name, MaskConfig] = Field(min_length=1)


def read_masks(file: Path) -> MasksConfig:
    """Reads a file of masks.

    Raises:
        ConfigError: it cannot be read, says nothing, or something in it does not fit.
    """
    try:
        return MasksConfig.model_validate(read_yaml(file, "masks file"))
    except ValidationError as error:
        raise ConfigError(f"the masks file {file}: {explain(error, MasksConfig, MaskConfig)}") from None


def settle_masks(config: MasksConfig, sources: Sequence[str]) -> list[tuple[tuple[Point, ...], ...]]:
    """The polygons of each source; `sources` are their names, as records carry them.

    Raises:
        ConfigError: a mask belongs to a source that the run has not.
    """
    placed = [
        (mask.points, find_streams(f"'{name}' of the masks file", mask.sources, sources))
        for name, mask in config.masks.items()
    ]
    return [tuple(points for points, streams in placed if stream in streams) for stream in range(len(sources))]


class Masked:
    """A source whose frames come with `polygons` (x and y as fractions of the frame's width and height) blacked out.

    See `Source`. Every pixel that a polygon touches is black, and up to two around it may be, too.
    """

    def __init__(self, source: Source, polygons: Sequence[Sequence[Point]]) -> None:
        self.name = source.name
        self.stream = source.stream
        self.media = source.media
        self.close = source.close
        self._source = source
        self._polygons = [np.array(polygon, np.float64) for polygon in polygons]

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for frame in self._source.frames(stop):
            yield self._mask(frame) if self._polygons else frame

    def _mask(self, frame: Frame) -> Frame:
        frame = frame.editable()
        for polygon_V2 in self._polygons:
            pixels_V2 = polygon_V2 * (frame.width, frame.height) - 0.5  # OpenCV's origin is the middle of a pixel
            fixed = [np.rint(pixels_V2 * (1 << _BITS)).astype(np.int32)]
            cv2.fillPoly(frame.image, fixed, (0, 0, 0), cv2.LINE_8, _BITS)
            cv2.polylines(frame.image, fixed, True, (0, 0, 0), 3, cv2.LINE_8, _BITS)  # the pixels that an edge grazes
        return frame
