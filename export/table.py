"""What an export came to, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from export.exporting import Exported
from export.gate import Parity

_NOISE = 1.05


def describe(exported: Exported, output: Path) -> Iterator[str]:
    """A line on the file, the table of its precisions, and what stands out."""
    contract = exported.contract
    size = "any size" if contract.resize.rule == "graph" else f"{contract.input.width} x {contract.input.height}"
    yield f"{output}: {len(contract.labels)} labels, {size}, {exported.precision}"
    yield describe_parity(exported.parity)
    yield from table(exported)
    slow = exported.timings[exported.precision] / exported.timings["fp32"]
    if exported.precision != "fp32" and slow > _NOISE:
        why = ""
        if exported.precision == "int8":
            why = (
                ": the processor lacks VNNI, or layers in between, as hard swish and sigmoid gates, compute in float32"
            )
        yield f"{exported.precision} is slower than fp32 here, {slow:.1f} times the time on {exported.device}{why}"


def describe_parity(parity: Parity) -> str:
    """How far the file was from the network at most."""
    agrees = f"the file does what the network does: {parity.checks} checks on real pictures"
    if parity.logits is not None:
        return f"{agrees}, logits within {parity.logits:.1g} of their range, probabilities within {parity.scores:.1g}"
    if not parity.boxes:
        return f"{agrees}, scores within {parity.scores:.1g}; no box stands out, as in any network that is not trained"
    return f"{agrees}, {parity.boxes} boxes within {parity.pixels:.1g} pixels, scores within {parity.scores:.1g}"


def table(exported: Exported) -> Iterator[str]:
    """A row for the network in PyTorch and for the file in each precision: size, quality, time for a frame."""
    quality = exported.quality
    name = "" if quality is None else quality.metric
    yield f"{'':8}{'size':>10}{name:>10}{'a frame':>12}"
    if quality is not None:
        yield f"{'network':8}{'':10}{100 * quality.values['network']:>8.2f} %"
    for precision, size in exported.sizes.items():
        measured = "" if quality is None else f"{100 * quality.values[precision]:.2f} %"
        yield f"{precision:8}{size / 1e6:>7.1f} MB{measured:>10}{exported.timings[precision]:>9.1f} ms"
