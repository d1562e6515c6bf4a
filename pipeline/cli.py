"""The command `onsight`. Flags in, one call, a summary out; everything heavy is imported when it is needed."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, get_args

import click

from pipeline.errors import OnsightError
from pipeline.terms import Decoder, Device, Encoder, Mode, Preset, RedactStyle

if TYPE_CHECKING:
    from pipeline.model import OnnxModel
    from pipeline.sinks.base import Sink
    from pipeline.sources import Source
    from pipeline.tally import Summary

OK, FAULT, MENDABLE, INTERRUPTED = 0, 1, 2, 130


class Commands(click.Group):
    """The commands that installed packages registered under the entry point `onsight.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in _entries()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        for entry in _entries():
            if entry.name == name:
                command: click.Command = entry.load()
                return command
        return None


def _entries() -> list[EntryPoint]:
    return list(entry_points(group="onsight.commands"))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onsight", prog_name="onsight")
def onsight() -> None:
    """Recognises what a camera or a video shows, while it shows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        result = onsight.main(args=arguments, prog_name="onsight", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return MENDABLE
    except OnsightError as error:
        click.echo(f"onsight: {error}", err=True)
        return MENDABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        if ".so" not in str(error):
            raise
        click.echo(f"onsight: a system library is missing: {error}; run: onsight doctor", err=True)
        return MENDABLE


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--config", type=click.Path(path_type=Path), help="YAML file that may hold every flag; flags win.")
@click.option("--model", metavar="FILE.onnx", help="Model file with an Onsight contract.")
@click.option("--output", "-o", metavar="PATH", help="Labelled video (.mp4), image, or a folder: one file a source.")
@click.option("--encoder", type=click.Choice(get_args(Encoder)), help="What encodes the labelled video.  [x264]")
@click.option("--preset", type=click.Choice(get_args(Preset)), help="Time for a smaller file: of the encoder.  [auto]")
@click.option("--records", metavar="FILE", help="Results as .jsonl or .csv; - is standard output.")
@click.option("--counts", metavar="FILE.csv", help="Table of what zones and lines counted, by class.")
@click.option("--counts-every", metavar="DURATION", help="Count anew after each 90s, 10m, 1h …  [the whole run]")
@click.option("--events", metavar="FILE.csv", help="What happened at the zones and lines, one row an event.")
@click.option("--heatmap", metavar="FILE.png", help="Where objects of a video spent their time, as a picture.")
@click.option("--show/--no-show", default=None, help="Show the labelled picture in a window; q ends it.")
@click.option("--device", type=click.Choice(get_args(Device)), help="What to run on.  [auto]")
@click.option("--decoder", type=click.Choice(get_args(Decoder)), help="What decodes video files.  [cpu]")
@click.option("--threshold", type=float, metavar="0..1", help="Lowest score.  [detectors: 0.25, classifiers: 0]")
@click.option("--class-thresholds", metavar="A=0..1,B=0..1", help="Lowest score of each of these classes.")
@click.option("--iou", type=float, metavar="0..1", help="Boxes of a class that overlap more are one object.  [0.45]")
@click.option("--top-k", type=int, metavar="N", help="Classes that a classifier reports.  [5]")
@click.option("--classes", metavar="A,B", help="Keep only these classes.")
@click.option("--tiles", metavar="COLUMNSxROWS", help="Look at parts of the frame, too, for small objects.  [1x1]")
@click.option("--track/--no-track", default=None, help="Follow objects: number them and draw where they came from.")
@click.option("--every", type=int, metavar="N", help="Look at every n-th frame only.  [1]")
@click.option("--motion-gate/--no-motion-gate", default=None, help="Look only when something has moved.")
@click.option("--motion-threshold", type=float, metavar="0..1", help="What share of the picture is motion.  [0.0005]")
@click.option("--then", metavar="FILE.onnx", help="Classify what was found with a second model.")
@click.option("--on", metavar="A,B", help="Classes that the second model looks at.  [all]")
@click.option("--zones", metavar="FILE.yaml", help="Count objects in zones and over lines; needs --track.")
@click.option("--masks", metavar="FILE.yaml", help="Black out parts of the picture before anything looks at it.")
@click.option("--redact", metavar="A,B", help="Hide these classes before anything is drawn or written.")
@click.option("--redact-model", metavar="FILE.onnx", help="Hide what this detector finds, too; one of faces, say.")
@click.option("--redact-style", type=click.Choice(get_args(RedactStyle)), help="How to hide them.  [blur]")
@click.option("--draw/--no-draw", default=None, help="Draw the results on the picture.  [draw]")
@click.option("--status/--no-status", default=None, help="Draw frame rate and latency, too.")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="All frames soon, or the newest now.  [auto]")
@click.option("--workers", metavar="N|auto", help="Inferences side by side.  [auto]")
@click.option("--batch", metavar="N|auto", help="Frames that share one inference.  [auto]")
@click.option("--batch-wait", metavar="DURATION|auto", help="Until a batch of several cameras is full.  [auto]")
@click.option("--cuda-graph/--no-cuda-graph", default=None, help="Record inferences on CUDA, and play them.")
@click.option("--nhwc/--no-nhwc", default=None, help="Convolve on CUDA with the channels last.")
@click.option("--progress/--no-progress", default=None, help="Progress bar on a terminal.  [progress]")
@click.option("--json/--no-json", default=None, help="Print the summary as one JSON object in the last line.")
def run(sources: tuple[str, ...], config: Path | None, **flags: Any) -> int:
    """Recognise SOURCES and put the labels on them.

    SOURCES are videos, images, folders, quoted globs such as 'img/*.jpg', camera indices such as 0, and rtsp:// or
    http:// URLs. Live cameras run side by side, files one after the other.
    """
    from pipeline.config import build_config
    from pipeline.stream import execute

    given = {name: value for name, value in flags.items() if value is not None}
    wanted = build_config({**given, **({"sources": sources} if sources else {})}, config)
    with stop_on_signals() as stop:
        summary = execute(
            wanted, extra_sinks=lambda opened, model: _tell_and_watch(opened, model, wanted.progress), stop=stop.event
        )
    _print_summary(summary, wanted.json_summary)
    errors = [str(error) for error in summary.errors]
    if summary.withheld and not summary.frames:
        errors.append("redaction failed for every frame: nothing was shown or written")
    for error in errors:
        click.echo(f"onsight: {error}", err=True)
    return stop.exit_code or (MENDABLE if errors else OK)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(get_args(Device)), default="auto", show_default=True)
@click.option("--card", metavar="FILE.md", type=click.Path(path_type=Path), help="Write the card as Markdown, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def inspect(model: Path, device: Device, card: Path | None, as_json: bool) -> None:
    """Show the model card of MODEL: what it is, what it is worth, what goes in and out, and where it would run."""
    from pipeline.inspect import inspect_model, print_model, write_card
    from pipeline.sinks.partial import check_file

    if card is not None:
        check_file(card, (".md",))
    facts = inspect_model(model, device)
    if card is not None:
        write_card(facts, card)
    _print_json(facts) if as_json else print_model(facts)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def doctor(as_json: bool) -> int:
    """Show what works on this machine and what is missing: GPU, drivers, providers, codecs, display."""
    from pipeline.doctor import examine, print_findings

    findings = examine()
    _print_json([finding.to_json() for finding in findings]) if as_json else print_findings(findings)
    return MENDABLE if any(finding.needed and not finding.works for finding in findings) else OK


@dataclass
class Stop:
    """Set by the first Ctrl-C or SIGTERM: the run ends cleanly. The second one ends it at once."""

    event: threading.Event
    exit_code: int = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.exit_code = 128 + number
        self.event.set()


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM set `event`, while the context lasts."""
    stop = Stop(threading.Event())
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_and_watch(sources: Sequence[Source], model: OnnxModel, progress: bool) -> list[Sink]:
    click.echo(f"device: {describe_device(model)}", err=True)
    if any(source.media.decoder == "nvdec" for source in sources):
        click.echo("decoder: nvdec", err=True)
    if not progress or not sys.stderr.isatty():
        return []
    from pipeline.progress import ProgressSink

    return [ProgressSink(sources)]


def describe_device(model: OnnxModel) -> str:
    """One line: the device taken, why no better one, and how many nodes run on the CPU."""
    total = sum(operators.total() for operators in model.nodes.values())
    why = f" ({model.reason})" if model.reason else ""
    return f"{model.device}{why}, {model.cpu_nodes} of {total} nodes on the CPU"


def _print_summary(summary: Summary, as_json: bool) -> None:
    if as_json:
        _print_json(summary.to_json(), indent=None)
        return
    counts = [
        f"{summary.frames} frame{'' if summary.frames == 1 else 's'} in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    ]
    counts += [f"{summary.looked} looked at"] if summary.looked < summary.frames else []
    counts += [f"{summary.dropped} dropped"] if summary.dropped else []
    counts += [f"{summary.withheld} withheld: redaction failed"] if summary.withheld else []
    click.echo(", ".join(counts), err=True)


def _print_json(value: Any, indent: int | None = 2) -> None:
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))
