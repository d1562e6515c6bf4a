"""A report as one HTML page that needs nothing beside it: its templates, how values are written, pictures within."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.types import Image

_SHARED = Path(__file__).parent / "templates"


def render_page(template: Path, context: Mapping[str, Any]) -> str:
    """The page that a template makes of the values in `context`. It may extend and include its neighbours and what
    lies in `templates/` here.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _SHARED]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(percent=_percent, points=_points, span=_span, thousands=_thousands)
    return environment.get_template(template.name).render(context)


def picture_url(image: Image) -> str:
    """The picture as a data URL."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{b64encode(data.tobytes()).decode()}"


def floor_of(values: Iterable[float]) -> float:
    """Where the axis of some bars begins: a round tenth below all of them."""
    return min(int(min(values, default=0) * 10) / 10, 0.9)


def _percent(value: float, digits: int = 1) -> str:
    """A share as people read it; 99.96 % is not 100 %."""
    shown = 100 * value
    if round(shown, digits) == 100 and value < 1:
        shown = 100 - 10**-digits
    return f"{shown:.{digits}f}"


def _points(value: float) -> str:
    shown = round(100 * value, 2)
    return f"{shown:+.2f}".replace("-", "−") if shown else "0.00"


def _span(interval: tuple[float, float]) -> str:
    return f"{_percent(interval[0])} – {_percent(interval[1])}"


def _thousands(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")
