"""The frame's journey: source → mask → gate → batch → model → track → second model → count → redact → overlay → sinks.

`journey` brings a frame from its source to the overlay, `deliver` to the sinks. `recognise` and `run` are the
two ways to go on it from Python; the command line uses `execute`, which is `run` for a ready configuration.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import schedule
from pipeline.channel import Channel
from pipeline.config import RunConfig, build_config
from pipeline.errors import ConfigError, OnsightError, StopStream
from pipeline.hide import hiding
from pipeline.model import OnnxModel
from pipeline.outputs import Outputs, plan_outputs
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.sinks.base import Sink
from pipeline.sources import Source
from pipeline.tally import Summary, Tally
from pipeline.terms import Device
from pipeline.trip import Stage, Trip, painter, prepare
from pipeline.types import Annotated, Frame, Recognised, Redacted  # noqa: TID251 - passes it on
from pipeline.watch import Watch, unwatched, watch_model

_OUTPUTS = {"output", "encoder", "preset", "records", "counts", "counts_every", "events", "heatmap", "show"}

_LOG = logging.getLogger(__name__)


def journey(
    sources: Sequence[Source],
    recognisers: Sequence[Callable[[list[Frame]], list[Recognised]]],
    stages: Sequence[Stage],
    redact: Callable[[Recognised], Redacted | None],
    overlay: Callable[[Redacted], Annotated],
    tallies: Sequence[Tally],
    stop: threading.Event,
    plan: schedule.Schedule,
    watch: Watch = unwatched,
    gate: Callable[[Frame], Frame] | None = None,
) -> Generator[Annotated]:
    """Each source and each recogniser works on a thread of its own; what comes after them on the caller's.

    Live sources run side by side and show their newest frame; files come one after the other and lose none.
    A source that fails ends alone, its error in its tally; a fault in any stage is raised here.
    """
    with Channel[Frame, Recognised](stop, plan.waiting) as channel:
        lanes = {
            lane[0].stream: channel.feed(
                partial(_read, lane, tallies, watch), newest=lane[0].media.live, name=lane[0].name
            )
            for lane in _lanes(sources)
        }
        try:
            gate = gate and watch("gate", gate)
            fresh = plan.mode == "latency"
            for recognised in channel.process(
                recognisers, plan.batch, gate, plan.wait, ahead=plan.ahead, fresh=fresh, alone=plan.alone
            ):
                annotated = finish(recognised, stages, redact, overlay, tallies[recognised.frame.stream])
                if annotated is not None:
                    yield annotated
        finally:
            for stream, fed in lanes.items():
                tallies[stream].dropped = fed.dropped


def finish(
    recognised: Recognised,
    stages: Sequence[Stage],
    redact: Callable[[Recognised], Redacted | None],
    overlay: Callable[[Redacted], Annotated],
    tally: Tally,
) -> Annotated | None:
    """The journey of one frame behind the model, counted in `tally`; None where redaction withheld it."""
    for stage in stages:
        recognised = stage(recognised)
    tally.counts = recognised.counts
    if (redacted := redact(recognised)) is None:
        tally.withheld += 1
        return None
    tally.frames += 1
    tally.looked += recognised.frame.looked
    return overlay(redacted)


def deliver(
    frames: Generator[Annotated],
    outputs: Outputs,
    tallies: Sequence[Tally],
    stop: threading.Event,
    watch: Watch = unwatched,
) -> None:
    """The end of the journey: every frame to its sinks, which get their final names when all frames have come."""
    write = watch("write", outputs.write)
    with suppress(StopStream), outputs, closing(frames):
        for annotated in frames:
            write(annotated)
        if not outputs.written and (stop.is_set() or any(tally.withheld for tally in tallies)):
            raise StopStream  # what an earlier run has written is not replaced by nothing


def _lanes(sources: Sequence[Source]) -> list[list[Source]]:
    """The sources that are read one after the other: each live one alone, all files together."""
    files = [source for source in sources if not source.media.live]
    return [[source] for source in sources if source.media.live] + ([files] if files else [])


def _read(lane: Sequence[Source], tallies: Sequence[Tally], watch: Watch, stop: threading.Event) -> Iterator[Frame]:
    for source in lane:
        try:
            yield from watch("decode", source.frames)(stop)
        except OnsightError as error:
            _LOG.info("%s", error)
            tallies[source.stream].error = error
        if stop.is_set():
            return


def open_model(
    path: str | Path, device: Device = "auto", *, threads: int = 0, cuda_graph: bool = False, nhwc: bool = False
) -> OnnxModel:
    """Loads a model file that carries a contract; see `OnnxModel`."""
    return OnnxModel(path, device, threads, cuda_graph=cuda_graph, nhwc=nhwc)


def recognise(sources: str | Sequence[str], model: str | Path | OnnxModel, **options: Any) -> Iterator[Annotated]:
    """Yields every frame with its results, drawn on.

    Args:
        sources: one or several of: file, camera index, URL, folder, glob.
        model: a model or the path of one.
        options: fields of `RunConfig`, such as `threshold=0.5` or `redact="person"`; outputs are the caller's business.
    """
    if chosen := _OUTPUTS & options.keys():
        raise ConfigError(f"'{min(chosen)}' is for run(); recognise() writes nothing")
    config, loaded = _configure(sources, model, options)
    with ExitStack() as stack:
        trip = prepare(config, loaded, threading.Event(), stack)
        yield from _frames(trip, draw=config.draw)
    _raise_first(trip.tallies)


def run(
    sources: str | Sequence[str],
    model: str | Path | OnnxModel,
    *,
    stop: threading.Event | None = None,
    **options: Any,
) -> Summary:
    """Recognises the sources and writes the outputs, until they end or `stop` is set.

    Args:
        sources, model: as for `recognise`.
        options: fields of `RunConfig`, such as `output="labelled.mp4"`, `records="labelled.jsonl"`, `show=True`.

    Raises:
        OnsightError: something the user can mend; a source that failed is told after the others have ended.
    """
    config, loaded = _configure(sources, model, options)
    summary = execute(config, model=loaded, stop=stop)
    _raise_first(summary.sources)
    return summary


def execute(
    config: RunConfig,
    *,
    model: OnnxModel | None = None,
    extra_sinks: Callable[[Sequence[Source], OnnxModel], Sequence[Sink]] = lambda sources, model: (),
    stop: threading.Event | None = None,
    watch: Watch = unwatched,
) -> Summary:
    """`run` for a ready configuration. A source's failure is in the summary, not raised."""
    stop = stop or threading.Event()
    with ExitStack() as stack:
        trip = prepare(config, model, stop, stack)
        outputs = plan_outputs(config, trip.sources, trip.tallies, trip.plan.encode)
        outputs.add(extra_sinks(trip.sources, trip.model))
        started = time.perf_counter()
        frames = _frames(trip, draw=config.draw and outputs.draws, watch=watch)
        deliver(frames, outputs, trip.tallies, stop, watch)
    seconds, model, plan = time.perf_counter() - started, trip.model, trip.plan
    return Summary(seconds, model.device, model.providers, trip.tallies, plan.mode, plan.workers)


def _frames(trip: Trip, *, draw: bool, watch: Watch = unwatched) -> Generator[Annotated]:
    model = watch_model(trip.model, watch)
    recognisers = [
        watch("recognise", hiding(Recogniser(model, trip.settings), trip.hider, trip.settings))
        for _ in range(trip.plan.workers)
    ]
    redact = Redactor(trip.config.hides, trip.config.redact_style)
    overlay = painter(draw, trip.config.status, trip.settings.hide or frozenset())
    with schedule.opencv_threads(trip.plan.opencv):
        yield from journey(
            trip.sources,
            recognisers,
            [watch(name, stage) for name, stage in trip.stages.items()],
            redact,
            watch("draw", overlay),
            trip.tallies,
            trip.stop,
            trip.plan,
            watch,
            trip.gate,
        )


def _configure(
    sources: str | Sequence[str], model: str | Path | OnnxModel, options: dict[str, Any]
) -> tuple[RunConfig, OnnxModel | None]:
    loaded = model if isinstance(model, OnnxModel) else None
    if loaded and (chosen := {"device", "cuda_graph", "nhwc"} & options.keys()):
        raise ConfigError(f"'{min(chosen)}' is chosen when a model is opened; give it to open_model()")
    opened = {"model": str(loaded.path), "cuda_graph": loaded.cuda_graph} if loaded else {"model": str(model)}
    return build_config({"sources": sources, **opened, **options}), loaded


def _raise_first(tallies: Sequence[Tally]) -> None:
    for tally in tallies:
        if tally.error is not None:
            raise tally.error
