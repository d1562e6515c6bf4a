"""A benchmark as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.bench import plots, words
from pipeline.bench.result import Bench
from pipeline.bench.spans import Span
from pipeline.bench.trace import cut_out
from pipeline.page import render_page

_TEMPLATE = Path(__file__).parent / "templates" / "bench.html.j2"
_FRAMES_SHOWN, _OF_EACH = 12, 2


def render(bench: Bench, spans: Sequence[Span]) -> str:
    """The whole page; `spans` of the last round for the picture of the threads."""
    return render_page(
        _TEMPLATE,
        {
            "bench": bench,
            "told": list(words.what_was_measured(bench)),
            "answer": words.the_answer(bench) if bench.streams else "",
            "limit": words.the_limit(bench),
            "cores": words.the_cores(bench),
            "number": words.number,
            "spread": words.spread,
            "percent_of": words.percent,
            "percentiles": words.percentiles,
            "total": sum(stage.cpu_ms.median for stage in bench.alone),
            "within": {stage.name: stage for stage in bench.whole.stages} if bench.whole else {},
            "figures": _figures(bench, spans),
        },
    )


def _figures(bench: Bench, spans: Sequence[Span]) -> dict[str, str]:
    readers = {span.thread for span in spans if span.stage == "decode"}
    shown = cut_out(spans, _seconds_of(spans, max(_FRAMES_SHOWN, _OF_EACH * len(readers))))
    figures = {"timeline": plots.plot_timeline(shown) if shown else ""}
    if bench.whole:
        figures |= {"costs": plots.plot_costs(bench.alone), "rounds": plots.plot_rounds(bench.whole)}
        figures["batches"] = plots.plot_batches(bench.batches)
    if bench.streams and bench.target_fps:
        figures["streams"] = plots.plot_streams(bench.streams, bench.target_fps)
    return figures


def _seconds_of(spans: Sequence[Span], frames: int) -> float:
    """How long the run took for so many frames, on average."""
    written = sum(span.frames for span in spans if span.stage == "write")
    if not written:
        return 0.0
    return frames * (max(span.end for span in spans) - min(span.begin for span in spans)) / written
