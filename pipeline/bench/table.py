"""A benchmark, and the comparison of two, as tables on standard output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.bench.compare import Change
from pipeline.bench.result import Bench, Whole
from pipeline.bench.words import (
    number,
    percent,
    percentiles,
    spread,
    the_answer,
    the_cores,
    the_limit,
    what_was_measured,
)

_NARROWEST = 100  # letters: into a file or a pipe, too
_COLOURS = {"better": "green", "worse": "red"}


def print_bench(bench: Bench) -> None:
    """Prints all figures of `bench`."""
    console = _console()
    for line in what_was_measured(bench):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    tables = [_streams(bench)] if bench.streams else [_stages(bench), _batches(bench)]
    for table in tables:
        console.print()
        console.print(table)
    console.print()
    if bench.streams:
        console.print(the_answer(bench), style="bold", highlight=False)
    if bench.whole:
        console.print(_whole(bench, bench.whole))
    _remark(console, "note", bench.warnings)


def print_changes(
    answers: Iterable[str], changes: Sequence[Change], differences: Iterable[str], doubts: Iterable[str]
) -> None:
    """Prints what differs in two benchmarks, and why that tells little."""
    console = _console()
    _remark(console, "differs", differences)
    for line in answers:
        console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)
    table = _table("", "old", "new", "new ÷ old", "95 % interval", "")
    for each in changes:
        interval = f"{each.interval[0]:.3f} to {each.interval[1]:.3f}" if each.interval else "–"
        values = (f"{number(each.old)} {each.unit}", f"{number(each.new)} {each.unit}")
        ratio = "–" if each.ratio is None else f"{each.ratio:.3f}"
        table.add_row(each.name, *values, ratio, interval, Text(each.verdict, _COLOURS.get(each.verdict, "dim")))
    if changes:
        console.print(table)
    _remark(console, "note", doubts)


def _remark(console: Console, kind: str, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(f"{kind}: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _stages(bench: Bench) -> Table:
    table = _table("stage", "CPU ms alone", "of all", "p50 ms", "p95", "p99", "in the run: p50", "p95", "p99")
    total = sum(stage.cpu_ms.median for stage in bench.alone)
    within = {stage.name: stage for stage in bench.whole.stages} if bench.whole else {}
    for stage in bench.alone:
        share = percent(stage.cpu_ms.median / total) if total else "–"
        seen = percentiles(within.pop(stage.name).frame_ms) if stage.name in within else ("", "", "")
        table.add_row(stage.name, spread(stage.cpu_ms), share, *percentiles(stage.frame_ms), *seen)
    for name, rest in within.items():
        table.add_row(name, "", "", "", "", "", *percentiles(rest.frame_ms))
    return table


def _batches(bench: Bench) -> Table:
    copied = any(batch.copy_ms for batch in bench.batches)
    table = _table("inference alone, batch", "ms a frame", "CPU ms a frame", "frames/s", *["copies, ms"] * copied)
    for batch in bench.batches:
        copies = [spread(batch.copy_ms)] if batch.copy_ms else []
        rate = number(1000 / batch.ms.median)
        table.add_row(str(batch.batch), spread(batch.ms), spread(batch.cpu_ms), rate, *copies)
    if together := bench.together:
        rate = number(1000 / together.ms.median)
        table.add_row(f"1, {together.inferences} at once", spread(together.ms), spread(together.cpu_ms), rate)
    return table


def _whole(bench: Bench, whole: Whole) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("the run", Text(f"{spread(whole.fps)} frames/s", "bold"))
    if bench.efficiency and bench.limit:
        table.add_row("efficiency", f"{spread(bench.efficiency)} of {number(bench.limit.fps.median)} frames/s")
        if cores := the_cores(bench):
            table.add_row("", cores)
        table.add_row("limit", the_limit(bench))
    stages = sum(stage.cpu_ms.median for stage in bench.alone)
    table.add_row("CPU ms a frame", f"{spread(whole.cpu_ms)}; its stages alone {number(stages)}")
    if whole.gpu_ms:
        had = f"; an inference had {spread(whole.frames_per_inference)} frames" if whole.frames_per_inference else ""
        table.add_row("GPU ms a frame", f"{spread(whole.gpu_ms)}, without its copies{had}")
    for name, age in (("age when drawn, ms", whole.drawn), ("age when written, ms", whole.written)):
        table.add_row(name, "p50 {}, p95 {}, p99 {}".format(*percentiles(age)))
    table.add_row("dropped", str(whole.dropped))
    table.add_row("peak memory", f"{whole.peak_memory_bytes / 2**20:.0f} MiB")
    if gpu := bench.conditions.gpu_memory_bytes:
        table.add_row("GPU memory in use", f"{gpu / 2**20:.0f} MiB at most, by all processes")
    return table


def _streams(bench: Bench) -> Table:
    table = _table(
        "streams", "taken", "fps of the slowest", "dropped", "age drawn, ms: p50", "p95", "p99", "CPU ms a frame"
    )
    for each in bench.streams:
        dropped = f"{each.dropped} of {each.due}{', late' if each.late else ''}"
        taken = Text("yes", "green") if each.taken else Text("no", "red")
        ages = percentiles(each.drawn)
        table.add_row(str(each.streams), taken, spread(each.fps), dropped, *ages, spread(each.cpu_ms))
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _console() -> Console:
    width = max(shutil.get_terminal_size((_NARROWEST, 0)).columns, _NARROWEST)
    return Console(file=sys.stdout, width=width)
