"""The run itself, as `onsight run` makes it, into a temporary folder and with every stage watched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from pipeline.bench.job import Job
from pipeline.bench.spans import Span, Spans
from pipeline.errors import StopStream
from pipeline.model import OnnxModel
from pipeline.sinks.base import Sink
from pipeline.sources import Source
from pipeline.stream import execute
from pipeline.types import Annotated


@dataclass(frozen=True, slots=True)
class Run:
    """One run that is over. `rate` is that of its frames once the first was written, `seconds` are all of it.

    `workers` inferred side by side. `encoder` and `preset`: of its labelled video, or `nvenc, x264` where those
    of several sources differ; None: there is none.
    """

    frames: int
    seconds: float
    cpu_seconds: float
    dropped: int
    rate: float
    model: OnnxModel
    spans: list[Span]
    workers: int
    encoder: str | None = None
    preset: str | None = None

    @property
    def fps(self) -> float:
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu_seconds / max(1, self.frames)


def run_clip(job: Job, model: OnnxModel | None, frames: int | None = None, seconds: float | None = None) -> Run:
    """The clip, over and over until `frames` are written or `seconds` have passed; once if neither is given."""
    loops = job.loops(frames) if frames else 1
    return run_sources(job, (job.spec,) * loops, model, frames, seconds)


def run_sources(
    job: Job, sources: tuple[str, ...], model: OnnxModel | None, frames: int | None, seconds: float | None
) -> Run:
    """A run of `sources`, cut off after so many frames or seconds.

    Args:
        model: opened before; None: the run opens it, as `onsight run` would.
    """
    spans, end = Spans(), _End(frames, seconds)
    with TemporaryDirectory(prefix="onsight-bench-", ignore_cleanup_errors=True) as folder:
        summary = execute(job.config(folder, sources), model=model, extra_sinks=end.begin, watch=spans)
    cpu_seconds = process_time() - end.cpu_began
    if summary.errors:
        raise summary.errors[0]
    assert end.model is not None
    dropped, seen = summary.dropped, spans.split()
    workers = summary.workers
    return Run(
        summary.frames,
        summary.seconds,
        cpu_seconds,
        dropped,
        end.rate,
        end.model,
        seen,
        workers,
        _all_of(tally.encoder for tally in summary.sources),
        _all_of(tally.preset for tally in summary.sources),
    )


def _all_of(names: Iterable[str | None]) -> str | None:
    return ", ".join(sorted({name for name in names if name})) or None


class _End:
    """The last sink: ends the run in time, and has seen what it was made of."""

    draws = False

    def __init__(self, frames: int | None, seconds: float | None) -> None:
        self.model: OnnxModel | None = None
        self.cpu_began = 0.0
        self._most = frames
        self._seconds = seconds
        self._count = 0
        self._first = self._last = 0.0

    def begin(self, sources: Sequence[Source], model: OnnxModel) -> list[Sink]:
        """Called when everything is open and nothing has been read."""
        self.model, self.cpu_began = model, process_time()
        return [self]

    @property
    def rate(self) -> float:
        """Frames a second from the first written one to the last; 0 if there are no two."""
        return (self._count - 1) / (self._last - self._first) if self._count > 1 else 0.0

    def write(self, item: Annotated) -> None:
        self._last = perf_counter()
        self._first = self._first or self._last
        self._count += 1
        late = self._seconds is not None and self._last - self._first >= self._seconds
        if late or self._count == self._most:
            raise StopStream

    def close(self, whole: bool = True) -> None:
        """Nothing is open."""
