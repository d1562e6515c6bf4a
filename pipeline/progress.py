"""The progress bar of `onsight run`: frames, rate and time left, on standard error."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipeline.sources import Source
from pipeline.types import Annotated

_NAME = 28  # letters of a source's name; with them a line fits a terminal of 80 columns


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.1f} fps", style="progress.data.speed")


class ProgressSink:
    """Shows how far a run is. Takes the results of frames as any sink does, and needs no picture."""

    draws = False

    def __init__(self, sources: Sequence[Source]) -> None:
        lengths = [source.media.frames for source in sources]
        total = None if None in lengths else sum(length or 0 for length in lengths)
        time = [TimeElapsedColumn()] if total is None else [TimeRemainingColumn(), TextColumn("left")]
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), *time]
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def write(self, item: Annotated) -> None:
        name = item.frame.source
        self._progress.update(
            self._task, advance=1, description=name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
        )

    def close(self, whole: bool = True) -> None:
        self._progress.stop()
