"""The command `evaluate`. Imports nothing heavy at its top: the `onsight` command loads it for its help."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.extras import needing
from training.console import echo

if TYPE_CHECKING:
    from training.evaluation import Evaluation
    from training.evaluation_boxes import BoxEvaluation


class _Tiles(click.ParamType):
    name = "tiles"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        from pipeline.config import parse_tiles

        try:
            return parse_tiles(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("models", metavar="MODEL [SECOND]", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="DIR|FILE", type=click.Path(path_type=Path), help="What to judge by.")
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html and metrics.json; made if it is not there.",
)
@click.option(
    "--split",
    metavar="NAME|FILE",
    help="train, val or test of DATA. Or the split.csv of a run, if DATA names a split that it does not bring; "
    "otherwise the one beside a MODEL is taken.",
)
@click.option("--slice", metavar="COLUMN|LEVEL", help="Break down by a column of the CSV or a folder below the class.")
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    metavar="0..1",
    help="Find the thresholds that reach it.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="Judge the boxes of a detector from this score on; otherwise from that of its contract.",
)
@click.option(
    "--tiles",
    metavar="COLUMNSxROWS",
    type=_Tiles(),
    help="Let a detector look at parts of each picture, too, for small objects.",
)
@click.option("--store-temperature", is_flag=True, help="Write the fitted temperature into each checkpoint.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="What to run on.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    metavar="N",
    help="Pictures that share one inference.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the main values as one JSON object in the last line.")
def evaluate(models: tuple[Path, ...], data: Path, output: Path, as_json: bool, **options: Any) -> None:
    """Measure how good MODEL is on pictures of which is known what they show.

    MODEL is a checkpoint of `onsight train` or an exported .onnx, which goes through the runtime itself. With a SECOND,
    both stand side by side. DATA of a classifier is a folder of class folders, a split of a data set as photos/val, or
    a CSV with the columns path and label; of a detector, boxes as described in docs/data.md.
    """
    if len(models) > 2:
        raise click.UsageError("give one model, or two to compare")
    with needing("training"):
        from training.evaluate import REPORT
        from training.evaluate import evaluate as run
        from training.options import Options

    evaluation = run(models, data, output, Options(**options), _show_progress)
    _print_json(evaluation, output) if as_json else _print_text(evaluation, output / REPORT)


@contextmanager
def _show_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _print_text(evaluation: Evaluation | BoxEvaluation, report: Path) -> None:
    from training.box_edges import tell_cut
    from training.evaluation import Evaluation

    for line in _tell_classes(evaluation) if isinstance(evaluation, Evaluation) else _tell_boxes(evaluation):
        echo(line)
    if skipped := evaluation.skipped:
        named = "; ".join(each.reason for each in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        echo(f"{len(skipped)} picture{'s' if len(skipped) > 1 else ''} skipped: {named}{more}", err=True)
    if not isinstance(evaluation, Evaluation) and (told := tell_cut(evaluation.cut, evaluation.left_out)):
        echo(told, err=True)
    if known := evaluation.trained_on:
        which = "is one" if known == 1 else "are those"
        echo(f"{known} of the pictures {which} that the model was trained on: these values say little", err=True)
    echo(f"report: {report}")


def _tell_classes(evaluation: Evaluation) -> Iterator[str]:
    for model in evaluation.models:
        metrics, calibration = model.metrics, model.calibration
        low, high = metrics.intervals["accuracy"]
        text = (
            f"{model.name}: accuracy {metrics.accuracy:.4f} ({low:.4f} to {high:.4f}), macro F1 {metrics.f1:.4f}, "
            f"ECE {metrics.ece:.4f}, temperature {calibration.temperature:.3f}"
            f"{' stored' if calibration.stored else ''}; {metrics.n} pictures"
        )
        if metrics.slices:
            worst = metrics.slices[0]
            text += f"; worst group {worst.slice}: {worst.accuracy:.4f} of {worst.n}"
        yield text
    if found := evaluation.comparison:
        yield f"the two differ in {found.disagreements} of {len(evaluation.paths)} pictures"


def _tell_boxes(evaluation: BoxEvaluation) -> Iterator[str]:
    for model in evaluation.models:
        average, point, best = model.metrics.average, model.metrics.point, model.metrics.best
        low, high = model.metrics.intervals["map"]
        yield (
            f"{model.name}: mAP {average.map:.4f} ({low:.4f} to {high:.4f}), mAP50 {average.map50:.4f}, "
            f"mAP75 {average.map75:.4f}; "
            f"from a score of {point.threshold:.3g} on precision {point.precision:.4f}, recall {point.recall:.4f}, "
            f"F1 {point.f1:.4f}{f', at best {best.f1:.4f} from {best.threshold:.3f} on' if best else ''}; "
            f"{average.boxes} objects in {average.images} pictures"
        )
    if found := evaluation.comparison:
        changes = (("mAP", found.map_difference, found.map_interval), ("F1", found.f1_difference, found.interval))
        told = (f"{name} {change:+.4f} ({low:+.4f} to {high:+.4f})" for name, change, (low, high) in changes)
        yield f"the second has {', '.join(told)}"


def _print_json(evaluation: Evaluation | BoxEvaluation, output: Path) -> None:
    import json

    values = evaluation.to_json()
    for part in (values, values.get("second", {})):
        for key in ("confusion", "per_class"):
            part.pop(key, None)
    echo(json.dumps({**values, "output": str(output)}, ensure_ascii=False))
