"""When each stage of a run began and ended, on which thread and for which frame."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Frame

P = ParamSpec("P")
R = TypeVar("R")

STAGES = ("decode", "gate", "resize", "infer", "results", "track", "look", "repeat", "count", "draw", "write")
"""In the order of a frame's journey; `write` is all sinks together."""


class Span(NamedTuple):
    """One call of a stage, in seconds of `time.perf_counter`.

    `frames` share it, `frame` of `stream` is the first of them (-1: unknown). `age`: how long ago that frame had come
    out of the decoder when the call ended.
    """

    stage: str
    thread: str
    stream: int
    frame: int
    frames: int
    begin: float
    end: float
    age: float


class Spans:
    """A `Watch` that notes every call. It costs a frame some microseconds."""

    def __init__(self) -> None:
        self._noted: list[Span] = []

    def __call__(self, stage: str, call: Callable[P, R], /) -> Callable[P, R]:
        def watched(*args: P.args, **kwargs: P.kwargs) -> R:
            begin = perf_counter()
            try:
                return call(*args, **kwargs)
            finally:  # the last frame may end the run
                self._note(stage, begin, args[0])

        def each(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast(R, self._each(stage, cast(Iterator[Frame], call(*args, **kwargs))))

        return each if stage == "decode" else watched

    def split(self) -> list[Span]:
        """All spans in the order of their ends. What a recogniser did before, in and after its inferences is told as
        `resize`, `infer` and `results`.
        """
        spans: list[Span] = []
        waiting: dict[str, list[Span]] = defaultdict(list)  # inferences whose recogniser has not ended, by thread
        for span in self._noted:
            if span.stage == "infer":
                waiting[span.thread].append(span)
            elif span.stage == "recognise":
                spans += _parts(span, waiting.pop(span.thread, []))
            else:
                spans.append(span)
        return spans

    def _each(self, stage: str, frames: Iterator[Frame]) -> Iterator[Frame]:
        try:
            while True:
                begin = perf_counter()
                frame = next(frames, None)
                if frame is None:
                    return
                self._note(stage, begin, frame)
                yield frame
        finally:
            getattr(frames, "close", lambda: None)()

    def _note(self, stage: str, begin: float, value: Any) -> None:
        end = perf_counter()
        many = value if isinstance(value, list) else [value]
        frame = getattr(many[0], "frame", many[0])
        thread = threading.current_thread().name.removeprefix("onsight ")
        if isinstance(frame, Frame):
            where, age = (frame.stream, frame.index, len(many)), end - frame.born
        else:
            where, age = (-1, -1, 1), 0.0
        self._noted.append(Span(stage, thread, *where, begin, end, age))


def _parts(whole: Span, inferences: list[Span]) -> Iterator[Span]:
    if not inferences:
        return
    ends = [whole.begin, inferences[0].begin, inferences[-1].end, whole.end]
    for stage, (begin, end) in zip(("resize", "infer", "results"), pairwise(ends), strict=True):
        yield whole._replace(stage=stage, begin=begin, end=end, age=whole.age - (whole.end - end))


def milliseconds(spans: Iterable[Span]) -> dict[str, NDArray[np.float64]]:
    """For each stage the time of every frame, float64 [frames]; frames that share a call share its time."""
    times: dict[str, list[float]] = defaultdict(list)
    for span in spans:
        times[span.stage] += [1000 * (span.end - span.begin) / span.frames] * span.frames
    return {stage: np.array(values) for stage, values in times.items()}


def ages(spans: Iterable[Span], stage: str) -> NDArray[np.float64]:
    """How old frames were when `stage` was done with them: float64 [calls], milliseconds."""
    return np.array([1000 * span.age for span in spans if span.stage == stage])
