"""The plots of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.bench.result import Alone, Batch, Streams, Whole
from pipeline.bench.spans import Span
from pipeline.svg import ACCENT, INK, MUTED, SECOND, plot_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Read on a light page and on a dark one; the two stages that cost most have the colours of the page.
_COLOURS = {
    "decode": "#3f9e6c",
    "resize": "#b8952c",
    "infer": ACCENT,
    "results": "#9a6fd0",
    "track": "#4aa3b5",
    "draw": "#c2608f",
    "encode": SECOND,
    "write": SECOND,
    "records": MUTED,
}
_ROW = 0.62  # height of a bar, in rows
_LEAST_HEIGHT, _AROUND, _ROW_HEIGHT = 2.6, 0.9, 0.24  # inches: the timeline, all around its rows, a row
_LETTERED = 0.07  # of the width: bars from here on carry their share


def _timeline(axes: Axes, spans: Sequence[Span]) -> None:
    """A row for each thread, the sources' at the top."""
    origin = min(span.begin for span in spans)
    readers = {span.thread: span.stream for span in spans if span.stage == "decode"}
    threads = sorted(
        _threads(spans), key=lambda name: (_first_stage(spans, name), readers.get(name, 0), len(name), name)
    )
    drawn = {stage: colour for stage, colour in _COLOURS.items() if any(span.stage == stage for span in spans)}
    for stage, colour in drawn.items():
        for row, thread in enumerate(threads):
            seen = [span for span in spans if span.stage == stage and span.thread == thread]
            bars = [(1000 * (span.begin - origin), 1000 * (span.end - span.begin)) for span in seen]
            axes.broken_barh(bars, (row - _ROW / 2, _ROW), facecolors=colour, label=stage if row == 0 else None)
    axes.set_yticks(range(len(threads)), [_thread_name(name, readers) for name in threads])
    axes.set(ylim=(len(threads) - 0.5, -0.5), xlabel="milliseconds", xlim=(0, None))
    axes.grid(False, axis="y")
    handles = [axes.broken_barh([], (0, 0), facecolors=colour, label=stage) for stage, colour in drawn.items()]
    axes.figure.legend(handles, list(drawn), loc="outside upper left", ncols=len(drawn), handlelength=0.9)


def _threads(spans: Sequence[Span]) -> set[str]:
    return {span.thread for span in spans}


def _first_stage(spans: Sequence[Span], thread: str) -> int:
    return min(list(_COLOURS).index(span.stage) for span in spans if span.thread == thread)


def _thread_name(name: str, readers: Mapping[str, int]) -> str:
    """`readers`: the threads that read a source, and which; where there are several they are told by its number."""
    if name in readers and len(readers) > 1:
        return f"stream {readers[name] + 1}"
    shown = {"MainThread": "draw and write"}.get(name, name.rpartition("/")[2])
    return shown if len(shown) <= 18 else f"{shown[:17]}…"


def _costs(axes: Axes, stages: Sequence[Alone]) -> None:
    """One bar: the CPU time of a frame by stage."""
    total, left = sum(stage.cpu_ms.median for stage in stages), 0.0
    for stage in stages:
        width = stage.cpu_ms.median
        axes.barh([0], [width], _ROW, left=[left], color=_COLOURS[stage.name], label=stage.name)
        if width > _LETTERED * total:
            axes.text(
                left + width / 2,
                0,
                f"{100 * width / total:.0f} %",
                ha="center",
                va="center",
                color="white",
                weight="bold",
            )
        left += width
    axes.set(yticks=[], ylim=(-0.5, 0.5), xlim=(0, total), xlabel="CPU milliseconds of a frame, each stage alone")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.figure.legend(loc="outside upper left", ncols=len(stages), handlelength=0.9)


def _rounds(axes: Axes, whole: Whole) -> None:
    """The rate of each round, from 0 on: a spread that looks small is small."""
    rounds = range(1, len(whole.fps.rounds) + 1)
    axes.axhline(whole.fps.median, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="median")
    axes.plot(rounds, whole.fps.rounds, "o", color=ACCENT, markersize=6)
    axes.set(xlabel="round", ylabel="frames per second", ylim=(0, 1.15 * whole.fps.max), xticks=list(rounds))
    axes.legend(loc="lower right")


def _batches(axes: Axes, batches: Sequence[Batch]) -> None:
    """Inference alone, by batch, with the lowest and the highest round."""
    rates = [1000 / batch.ms.median for batch in batches]
    low = [rate - 1000 / batch.ms.max for rate, batch in zip(rates, batches, strict=True)]
    high = [1000 / batch.ms.min - rate for rate, batch in zip(rates, batches, strict=True)]
    places = range(len(batches))
    axes.bar(places, rates, 0.55, color=ACCENT, alpha=0.85)
    axes.errorbar(places, rates, (low, high), fmt="none", ecolor=INK, elinewidth=1.2, capsize=4)
    axes.set_xticks(places, [str(batch.batch) for batch in batches])
    axes.set(xlabel="frames a call", ylabel="frames per second")


def _streams(axes: Axes, streams: Sequence[Streams], target_fps: float) -> None:
    """The age of frames when they are drawn, by the number of streams; the interval between two frames for scale."""
    for values, name, colour in (
        ([each.drawn.p50 for each in streams], "median", ACCENT),
        ([each.drawn_p99 and each.drawn_p99.median for each in streams], "p99", SECOND),
    ):
        known = [(each.streams, value) for each, value in zip(streams, values, strict=True) if value is not None]
        axes.plot(*np.array(known).reshape(-1, 2).T, "-o", color=colour, markersize=5, label=name)
    axes.axhline(1000 / target_fps, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="one frame interval")
    counts = [each.streams for each in streams]
    axes.set(xlabel="streams", ylabel="age when drawn, ms", xticks=counts, ylim=(0, None))
    axes.figure.legend(loc="outside upper left", ncols=3)


def plot_timeline(spans: Sequence[Span]) -> str:
    """As high as its threads need: each has a row."""
    height = max(_LEAST_HEIGHT, _AROUND + _ROW_HEIGHT * len(_threads(spans)))
    return plot_of(_timeline, (9.6, height))(spans)


plot_costs = plot_of(_costs, (9.6, 1.5))
plot_rounds = plot_of(_rounds, (4.6, 3.2))
plot_batches = plot_of(_batches, (4.6, 3.2))
plot_streams = plot_of(_streams, (6.4, 3.6))
