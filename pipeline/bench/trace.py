"""One second of a run in the Trace Event Format, for ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.bench.spans import Span


def cut_out(spans: Sequence[Span], seconds: float) -> list[Span]:
    """The spans that begin in the `seconds` around the middle of the run, when all threads are at work."""
    if not spans:
        return []
    first, last = min(span.begin for span in spans), max(span.end for span in spans)
    begin = max(first, (first + last - seconds) / 2)
    return sorted((span for span in spans if begin <= span.begin < begin + seconds), key=lambda span: span.begin)


def trace_events(spans: Sequence[Span], title: str) -> dict[str, Any]:
    """The JSON object of a trace: a row for each thread with its stages, and one for the frames on their way."""
    return {"displayTimeUnit": "ms", "traceEvents": list(_events(spans, title))}


def _events(spans: Sequence[Span], title: str) -> Iterator[dict[str, Any]]:
    begins = [span.begin for span in spans] + [_born(span) for span in spans if span.stage == "write"]
    origin = min(begins, default=0.0)  # Perfetto takes no negative times
    threads = {name: number for number, name in enumerate(dict.fromkeys(span.thread for span in spans), start=1)}
    yield {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": title}}
    for name, number in threads.items():
        yield {"ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": {"name": name}}
    for span in spans:
        where = {"pid": 1, "tid": threads[span.thread], "ts": _us(span.begin - origin)}
        args = {"stream": span.stream, "frame": span.frame, "frames": span.frames}
        yield {"ph": "X", "name": span.stage, "cat": "stage", **where, "dur": _us(span.end - span.begin), "args": args}
        if span.stage == "write":
            yield from _journey(span, origin, where)


def _journey(written: Span, origin: float, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """From the decoder to the last sink, on a row of the frame's own."""
    row = {"name": f"frame {written.frame}", "cat": "frame", "id": f"{written.stream}.{written.frame}", **where}
    yield {**row, "ph": "b", "ts": _us(_born(written) - origin)}
    yield {**row, "ph": "e", "ts": _us(written.end - origin)}


def _born(written: Span) -> float:
    return written.end - written.age


def _us(seconds: float) -> float:
    return round(1e6 * seconds, 1)
