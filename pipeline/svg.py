"""Plots as SVG text for a page with a light and a dark face: their colours are the page's own variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")

# Colours that stand for variables of the page, and are replaced by them.
INK, MUTED, LINE, ACCENT, SECOND = (f"#01010{i}" for i in range(5))
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", SECOND: "second"}

_STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def plot_of(draw: Callable[Concatenate[Axes, P], None], size: tuple[float, float]) -> Callable[P, str]:
    """`draw` with axes of its own, `size` inches large; what it drew comes back as SVG."""

    @wraps(draw)
    def plot(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with mpl.rc_context({**_STYLE, "svg.hashsalt": draw.__name__}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has it
            figure = Figure(figsize=size, layout="constrained")
            figure.patch.set_alpha(0)
            axes = figure.add_subplot()
            axes.patch.set_alpha(0)
            draw(axes, *args, **kwargs)
            text = StringIO()
            FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})  # type: ignore[no-untyped-call]
        return _inline(text.getvalue())

    return plot


def _inline(svg: str) -> str:
    """`svg` without its XML head, scaled by the page and in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*pt" height="[^"]*pt"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r'height="[^"]*pt" (viewBox="[^"]*") width="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r' id="\w+_\d+"', "", svg)  # nothing refers to them, and a page holds several plots
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def label_square(axes: Axes, x: str, y: str) -> None:
    """Names the axes of a square from 0 to 1."""
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel=x, ylabel=y, aspect="equal")


def shorten_name(name: str) -> str:
    """A name as far as there is room for it."""
    return name if len(name) <= 22 else f"{name[:21]}…"
