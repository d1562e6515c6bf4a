"""`onsight data`. Imports nothing heavy at its top: the `onsight` command loads it for its help."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import ConfigError
from pipeline.extras import needing
from training.console import echo

if TYPE_CHECKING:
    from training.check import Report
    from training.examine import Facts
    from training.findings import Finding

_FINE, _FAULTY = 0, 2
_NAMED = 3
_CLASSES = 12
_BOXES = ("coco", "yolo", "voc")


@click.group()
def data() -> None:
    """Look at data sets before training on them."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["auto", "folders", "csv", "cifar", "imagenet", *_BOXES]),
    default="auto",
    show_default=True,
    help="How the data set is laid out.",
)
@click.option(
    "--slice", metavar="COLUMN|LEVEL", help="Count by a column of the CSV, or a folder level below the class."
)
@click.option("--split", type=click.Path(path_type=Path), help="The split.csv of a run, if PATH brings no splits.")
@click.option(
    "--near",
    type=click.IntRange(0, 16),
    default=8,
    show_default=True,
    metavar="BITS",
    help="Bits of 64 in which the hashes of nearly equal pictures may differ; 0 looks for equal ones only.",
)
@click.option(
    "--preview", type=click.Path(path_type=Path), help="A .jpg or .png to draw: 20 pictures with their boxes."
)
@click.option("--seed", default=0, show_default=True, help="Chooses the pictures of the preview.")
@click.option("--strict", is_flag=True, help="Warnings are errors, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the names of all files, instead of text.")
def check(path: Path, strict: bool, as_json: bool, preview: Path | None, seed: int, **flags: Any) -> int:
    """Find what would spoil a training with PATH: class folders, a CSV, or boxes in COCO JSON, YOLO text or VOC XML.

    Exit code 2 if there are errors: images that cannot be read, a picture in two splits or under two labels, an empty
    class, one class only; boxes outside their picture, of unknown categories or of images that are missing.
    """
    with needing("training"):
        report = _check(path, preview=preview, seed=seed, **flags)
    if as_json:
        echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        echo("\n".join(_tell(report)))
    faults = report.number("error") + (report.number("warning") if strict else 0)
    return _FAULTY if faults else _FINE


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The folder to make.")
def unpack(path: Path, output: Path) -> None:
    """Make class folders of PNG files from PATH, the binary version of CIFAR-10 or CIFAR-100."""
    with needing("training"):
        from training.unpack import unpack_cifar

    echo(f"{unpack_cifar(path, output):,} images in {output}")


def _check(
    path: Path, *, layout: Any, slice: str | None, split: Path | None, near: int, preview: Path | None, seed: int
) -> Report:
    from training.box_layouts import find_boxes
    from training.boxes_check import check_boxes
    from training.check import check_data
    from training.preview import write_preview

    watch = _show_progress if sys.stderr.isatty() else None
    if layout not in _BOXES and (layout != "auto" or find_boxes(path) is None):
        if preview is not None:
            raise ConfigError(f"{path} holds no boxes: --preview draws those of detection data; leave it out")
        return check_data(path, layout=layout, slice=slice, split=split, distance=near, watch=watch)
    if slice is not None:
        raise ConfigError(f"{path} holds boxes: --slice counts the images of a classifier; leave it out")
    if preview is not None:
        write_preview(path, preview, layout=layout, seed=seed)
    return check_boxes(path, layout=layout, split=split, distance=near, watch=watch)


def _tell(report: Report) -> Iterator[str]:
    splits = "".join(f", {split} {count:,}" for split, count in report.splits.items() if split != "all")
    boxes = "" if report.boxes is None else f" {report.boxes:,} boxes,"
    yield f"{report.path}: {report.images:,} images,{boxes} {len(report.counts):,} classes{splits}"
    yield from _tell_counts("classes" if report.boxes is None else "boxes", report.counts)
    yield from _tell_counts("slices", report.slices)
    for finding in report.findings:
        yield from _tell_finding(finding)
    yield f"errors: {report.number('error')}, warnings: {report.number('warning')}"


def _tell_counts(title: str, counts: dict[str, dict[str, int]]) -> Iterator[str]:
    sizes = sorted(((sum(splits.values()), name) for name, splits in counts.items()), reverse=True)
    shown = [f"{name} {size:,}" for size, name in sizes]
    if len(shown) > _CLASSES:
        shown[_CLASSES // 2 : -_CLASSES // 2] = ["…"]
    if shown:
        yield f"{title}: {', '.join(shown)}"


def _tell_finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity}: {finding.message}"
    if len(finding.files) and len(finding.files[0]) == 1:
        shown = ", ".join(names[0] for names in finding.files[:_NAMED])
        yield f"    {shown}" + (" …" if len(finding.files) > _NAMED else "")
        return
    for names in finding.files[:_NAMED]:
        yield f"    {' = '.join(names[:_NAMED])}" + (" …" if len(names) > _NAMED else "")
    if len(finding.files) > _NAMED:
        yield f"    … {len(finding.files) - _NAMED:,} more"


def _show_progress(facts: Iterable[Facts], total: int) -> Iterator[Facts]:
    from rich.console import Console
    from rich.progress import track

    yield from track(facts, "checking", total, console=Console(stderr=True), transient=True)
