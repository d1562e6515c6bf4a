"""The commands of `export`. Imports nothing heavy at its top: the `onsight` command loads it for its help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from export.options import (
    Activation,
    Colour,
    ExportOptions,
    FamilyName,
    HostRule,
    Options,
    PixelRange,
    Precision,
)
from pipeline.extras import needing
from pipeline.terms import Device, Interpolation

if TYPE_CHECKING:
    from pydantic import JsonValue

    from export.origin import Origin


def _triple(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise click.BadParameter(f"expected three numbers for red, green and blue, as in 0.5,0.5,0.5, not {text!r}")
    return values


def _size(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or not all(0 < side <= 16384 for side in sides):
        raise click.BadParameter(f"expected N or HxW in pixels, as in 640 or 384x640, not {text!r}")
    return sides[0], sides[-1]


def _choice(literal: Any) -> click.Choice[str]:
    return click.Choice(get_args(literal))


@click.command()
@click.argument("source", metavar="IN.onnx", type=click.Path(path_type=Path))
@click.option("--family", type=_choice(FamilyName), required=True, help="What kind of network it is.")
@click.option("--labels", required=True, metavar="FILE|coco|coco91|imagenet", help="The classes, one a line.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The model to make.")
@click.option("--size", callback=_size, metavar="N|HxW", help="Input size, where the graph leaves it open.")
@click.option("--mean", callback=_triple, metavar="R,G,B", help="Subtracted, on the scale of --range.")
@click.option("--std", callback=_triple, metavar="R,G,B", help="Divided by, on the scale of --range.")
@click.option("--range", "pixel_range", type=_choice(PixelRange), help="Scale of the pixels that the network is fed.")
@click.option("--colour", "--color", type=_choice(Colour), help="Order of the colours that the network is fed.")
@click.option("--resize", type=_choice(HostRule), help="How a frame is brought to the input size.")
@click.option("--crop-pct", type=float, metavar="F", help="Part of the shorter side that a crop keeps, as in timm.")
@click.option("--interpolation", type=_choice(Interpolation), help="How a frame is resampled.")
@click.option("--activation", type=_choice(Activation), help="What makes probabilities of the class scores.")
@click.option("--candidates", type=click.IntRange(min=1), metavar="K", help="Most results a frame before suppression.")
def adopt(source: Path, output: Path, **options: Any) -> None:
    """Make an Onsight model of a foreign ONNX classifier or detector.

    Options that are left out are taken from the graph, or else from the family: see docs/adopting.md.
    """
    with needing("adopt"):
        from export.adopt import adopt as adopt_model

    contract = adopt_model(source, output, Options(**options))
    size = f"{contract.input.height}x{contract.input.width}"
    if contract.input.dynamic:
        size = f"up to {size}, stride {contract.input.stride}"
    batch = "one frame a batch" if contract.input.batch == 1 else "any batch"
    results = f", best {contract.detector.candidates}" if contract.detector else ""
    click.echo(
        f"{output}: {options['family']}, {len(contract.labels)} labels, {size}, {contract.resize.rule}, "
        f"{batch}{results}. Next: onsight run VIDEO --model {output} --output labelled.mp4",
        err=True,
    )


_DATA = "Pictures to try the file on; with labels, export also measures it on them.  [two photographs]"


def _origin(command: Any) -> Any:
    """The options that say which network is meant, and what it is tried on."""
    for option in (
        click.option("--data", type=click.Path(path_type=Path), metavar="PATH", help=_DATA),
        click.option("--size", type=click.IntRange(8, 2048), metavar="N", help="Of a network by name: its input."),
        click.option("--labels", metavar="FILE|imagenet|…", help="Of a network by name: its classes, one a line."),
        click.option("--weights", metavar="DEFAULT|none|FILE", help="Of a network by name.  [DEFAULT: its library's]"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source", metavar="CHECKPOINT|NETWORK")
@click.option("--output", type=click.Path(path_type=Path), required=True, metavar="m.onnx", help="The model to make.")
@_origin
@click.option("--precision", type=_choice(Precision), default="fp32", show_default=True, help="What it computes in.")
@click.option("--calibration", type=click.Path(path_type=Path), metavar="DIR", help="For int8: some hundred pictures.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Most that fp16 or int8 may lose of accuracy or mAP.",
)
@click.option(
    "--resize",
    type=click.Choice(["host", "graph"]),
    default="host",
    show_default=True,
    help="Who resizes; graph: frames of any size go in, for frames that are on the GPU already.",
)
@click.option("--device", type=_choice(Device), default="cpu", show_default=True, help="What to try and time it on.")
@click.option("--licence", "--license", metavar="TEXT", help="For the model card: under what terms it may be used.")
@click.option("--intended-use", metavar="TEXT", help="For the model card: what it was made for.")
@click.option("--limits", metavar="TEXT", help="For the model card: what it is known not to do well.")
@click.option("--force", is_flag=True, help="Replace an older file of the name.")
def export(
    source: str,
    output: Path,
    weights: str | None,
    labels: str | None,
    size: int | None,
    licence: str | None,
    intended_use: str | None,
    limits: str | None,
    resize: str,
    **choices: Any,
) -> None:
    """Make a model file of a checkpoint, or of a network as torchvision:resnet50 or timm:tf_efficientnet_lite0.

    The file is kept only if it does on real pictures what the network does. Its timings stand beside it.
    """
    with needing("export"):
        from export.exporting import export_model
        from export.files import check_output
        from export.table import describe

    check_output(output, choices["force"])
    about = {"licence": licence, "intended_use": intended_use, "limits": limits}
    origin = _open_origin(source, weights, labels, size, about)
    options = ExportOptions(resize_in_graph=resize == "graph", **choices)
    exported = export_model(origin, output, options, tell=lambda line: click.echo(line, err=True))
    for line in describe(exported, output):
        click.echo(line, err=True)


@click.command()
@click.argument("model", metavar="m.onnx", type=click.Path(path_type=Path))
@click.option("--against", required=True, metavar="CHECKPOINT|NETWORK", help="What it should have been made of.")
@_origin
@click.option("--device", type=_choice(Device), default="cpu", show_default=True, help="What to run the file on.")
def verify(
    model: Path,
    against: str,
    weights: str | None,
    labels: str | None,
    size: int | None,
    data: Path | None,
    device: Device,
) -> None:
    """Hold a model file against the network it was made of: same pictures, same answers."""
    with needing("export"):
        from export.exporting import verify_model
        from export.table import describe_parity

    parity = verify_model(model, _open_origin(against, weights, labels, size, {}), data, device)
    click.echo(describe_parity(parity), err=True)


def _open_origin(
    source: str, weights: str | None, labels: str | None, size: int | None, about: dict[str, str | None]
) -> Origin:
    """A checkpoint, if a file of the name is there or its suffix says so; else a network by its name."""
    from export.named import open_network
    from export.origin import open_checkpoint

    told: dict[str, JsonValue] = {name: text for name, text in about.items() if text is not None}
    path = Path(source)
    if path.suffix not in (".ckpt", ".pth", ".pt") and not path.is_file():
        return open_network(source, weights or "DEFAULT", labels, size, told)
    given = {"--weights": weights, "--labels": labels, "--size": size}
    if wrong := [flag for flag, value in given.items() if value is not None]:
        raise click.UsageError(f"{', '.join(wrong)}: for a network by its name; the checkpoint {source} knows its own")
    return open_checkpoint(path, told)


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default="onsight-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the labelled video and its records; made if it is not there.",
)
@click.option("--device", type=_choice(Device), default="auto", show_default=True, help="What to run on.")
def demo(output: Path, device: Device) -> int:
    """Recognise a real clip with a real model; both come with installed packages."""
    with needing("demo"):
        from export.demo import run_demo

        return run_demo(output, device)
