"""The commands `bench` and `compare-bench`. Imports nothing heavy at its top: `onsight` loads it for its help."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, get_args

import click

from pipeline.errors import ConfigError
from pipeline.terms import Decoder, Device, Encoder

if TYPE_CHECKING:
    from pipeline.bench.job import Job
    from pipeline.bench.result import Bench
    from pipeline.bench.spans import Span

_TRACED = 1.0  # seconds
_RATE = 30.0  # frames a second of the synthetic picture
_BATCHES = (1, 4, 8)


class Numbers(click.ParamType[tuple[int, ...]]):
    """`1,2,4`: whole numbers from 1 on, in rising order."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"'{value}' is not a list of whole numbers such as 1,2,4", param, ctx)
        return tuple(sorted({int(part) for part in parts}))


class Amount(click.FloatRange):
    """A number above 0 up to `most`. That of click lets nan through."""

    def __init__(self, most: float) -> None:
        super().__init__(0, most, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if math.isnan(number := super().convert(value, param, ctx)):
            self.fail(f"'{value}' is not a number; give one above 0, up to {self.max:g}", param, ctx)
        return number


@click.command()
@click.argument("clip", required=False)
@click.option("--model", required=True, metavar="FILE.onnx", type=click.Path(path_type=Path), help="What recognises.")
@click.option("--synthetic", metavar="WIDTHxHEIGHT", help="A moving picture instead of a clip.")
@click.option("--streams", type=Numbers(), metavar="N,…", help="Can so many live pictures be taken at once?")
@click.option(
    "--target-fps",
    type=Amount(1000),
    metavar="FPS",
    help=f"Frames a second of the synthetic picture; {_RATE:g} if not given.",
)
@click.option("--device", type=click.Choice(get_args(Device)), default="auto", show_default=True)
@click.option("--cuda-graph/--no-cuda-graph", default=False, help="Record inferences on CUDA, and play them.")
@click.option("--nhwc/--no-nhwc", default=False, help="Convolve on CUDA with the channels last.")
@click.option("--decoder", type=click.Choice(get_args(Decoder)), default="cpu", show_default=True)
@click.option("--encoder", type=click.Choice(get_args(Encoder)), default="x264", show_default=True)
@click.option("--workers", metavar="N|auto", help="Inferences side by side.  [auto]")
@click.option(
    "--batch",
    type=Numbers(),
    metavar="N,…",
    help=f"Batches of inference alone; {','.join(map(str, _BATCHES))} if not given.",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="N")
@click.option(
    "--seconds",
    type=Amount(3600),
    default=5,
    show_default=True,
    metavar="S",
    help="Of the run in each round; the clip is read again when it ends.",
)
@click.option("--encode/--no-encode", default=True, show_default=True, help="Draw, and write a labelled video.")
@click.option("--output", "-o", metavar="FILE.json", type=click.Path(path_type=Path), help="All figures as JSON.")
@click.option("--report", metavar="FILE.html", type=click.Path(path_type=Path), help="A page with pictures.")
@click.option("--trace", metavar="FILE.json", type=click.Path(path_type=Path), help="One second, for ui.perfetto.dev.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object in the last line.")
def bench(clip: str | None, as_json: bool, **options: Any) -> None:
    """Measure how fast CLIP is recognised here, what limits it, and how far the figures can be trusted.

    The run is that of `onsight run CLIP --output x.mp4 --records x.jsonl`. In each round it takes turns with its
    stages, each alone on one thread. With --streams: how many live cameras this machine takes.
    """
    _check_outputs(options["output"], options["report"], options["trace"])
    from pipeline.bench.measure import Plan, measure_clip, measure_streams
    from pipeline.bench.table import print_bench

    plan = Plan(options["rounds"], options["seconds"], options["batch"] or _BATCHES)
    fps = options["target_fps"] or _RATE
    job = _plan_job(clip, fps, options)
    with _end_on_signals(), _show_progress() as tell:
        if options["streams"]:
            found, spans = measure_streams(job, options["synthetic"], fps, options["streams"], plan, tell)
        else:
            found, spans = measure_clip(job, plan, tell)
    try:
        print_bench(found)
        if as_json:
            click.echo(found.model_dump_json())
    finally:  # also where the reader of the table has left
        _write(found, spans, options)


@click.command("compare-bench")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def compare_bench(old: Path, new: Path) -> None:
    """Say which figures of NEW differ from OLD by more than their rounds do.

    Both are files that `onsight bench --output` wrote.
    """
    from pipeline.bench.compare import compare, find_answers, find_differences, find_doubts
    from pipeline.bench.read import read_bench
    from pipeline.bench.table import print_changes

    before, after = read_bench(old), read_bench(new)
    if bool(before.streams) != bool(after.streams):
        raise ConfigError(f"{old} and {new} have no figure in common: one is of a clip, the other of streams")
    pair = before, after
    print_changes(find_answers(*pair), compare(*pair), find_differences(*pair), find_doubts(*pair))


def _plan_job(clip: str | None, fps: float, options: dict[str, Any]) -> Job:
    from pipeline.bench.job import plan_job, synthetic_spec

    size = options["synthetic"]
    if (clip is None) == (size is None):
        raise ConfigError("what is to be measured? Give a CLIP, or --synthetic WIDTHxHEIGHT")
    if options["streams"] and size is None:
        raise ConfigError("'streams' needs --synthetic WIDTHxHEIGHT: how large are the cameras' pictures?")
    if options["streams"] and options["batch"]:
        raise ConfigError("'batch' is for inference alone, which --streams does not measure: leave one of them out")
    if options["streams"] and options["workers"]:
        raise ConfigError("'workers' does not go with --streams: they have what a run of cameras has; leave it out")
    if clip is not None and options["target_fps"]:
        raise ConfigError("'target_fps' is for --synthetic: a clip is read as fast as it can be; leave it out")
    spec = clip if clip is not None else synthetic_spec(size, fps)
    names = ("model", "device", "encode", "cuda_graph", "nhwc", "decoder", "encoder")
    given = {name: options[name] for name in names}
    return plan_job(spec, **given, workers=options["workers"] or "auto")


def _check_outputs(output: Path | None, report: Path | None, trace: Path | None) -> None:
    """Before minutes are spent: can all be written?"""
    from pipeline.extras import needing
    from pipeline.sinks.partial import check_file

    for path, suffix in ((output, ".json"), (report, ".html"), (trace, ".json")):
        if path is not None:
            check_file(path, (suffix,))
    if output is not None and trace is not None and output.resolve() == trace.resolve():
        raise ConfigError(f"two outputs cannot go into one file: {output}")
    if report is not None:
        with needing("report"):
            import jinja2  # noqa: F401
            import matplotlib  # noqa: F401


def _write(found: Bench, spans: list[Span], options: dict[str, Any]) -> None:
    from pipeline.bench.trace import cut_out, trace_events
    from pipeline.sinks.partial import write_text

    if options["output"] is not None:
        write_text(options["output"], found.model_dump_json(indent=2) + "\n")
    if options["trace"] is not None:
        events = trace_events(cut_out(spans, _TRACED), f"{found.model.file} on {found.clip.name}")
        write_text(options["trace"], json.dumps(events, ensure_ascii=False, separators=(",", ":")))
    if options["report"] is not None:
        from pipeline.bench.report import render

        write_text(options["report"], render(found, spans))


@contextmanager
def _end_on_signals() -> Iterator[None]:
    """SIGTERM ends the context as Ctrl-C does, which a shell's `&` has ignored: temporary folders go in the end."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _show_progress() -> Iterator[Callable[[str], None]]:
    """What is being measured, on standard error, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
