"""What a model file says about itself and how it would run here, printed and written as a model card."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipeline.card import Row, Section, make_card
from pipeline.contract import InputSpec, ModelContract, Resize
from pipeline.model import OnnxModel
from pipeline.sinks.partial import finish, partial_path, writing
from pipeline.terms import Device

_FIRST = 8
_WIDTH = 120
_NAMES = 30
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MARKUP = re.compile(r"[\\`*\[<|~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def inspect_model(path: str | Path, device: Device = "auto") -> dict[str, Any]:
    """Loads a model and tells about it, as values that JSON can hold.

    Returns:
        `file`, `bytes`, `contract` (docs/contract.md), `inputs` and `outputs` (name to shape), `operators` and `nodes`
        (how many nodes of each operator and for each execution provider), `cpu_nodes`, `device` (the one it would use)
        and `reason` (why `auto` takes no GPU, or None).

    Raises:
        OnsightError: as `OnnxModel` does.
    """
    model = OnnxModel(path, device)
    return {
        "file": str(model.path),
        "bytes": model.path.stat().st_size,
        "contract": model.contract.model_dump(mode="json", exclude_none=True),
        **model.signature,
        "operators": dict(sum(model.nodes.values(), Counter()).most_common()),
        "nodes": {provider: operators.total() for provider, operators in model.nodes.items()},
        "cpu_nodes": model.cpu_nodes,
        "device": model.device,
        "reason": model.reason,
    }


def print_model(facts: Mapping[str, Any]) -> None:
    """Prints what `inspect_model` returned as a model card, as wide as the terminal."""
    sections = [*_sections(facts), Section("On this machine", tuple(_machine(facts)))]
    names = min(_NAMES, max(len(name) for section in sections for name, _ in section.rows))
    width = max(shutil.get_terminal_size((_WIDTH, 0)).columns - names - 4, _NAMES)
    click.secho(f"{facts['file']}, {_size(facts['bytes'])}", bold=True)
    for section in sections:
        click.secho(f"\n{section.title}", bold=True)
        for name, text in section.rows:
            lead = f"  {' '.join(_lines(name)):{names}}  "
            for line in _wrap(text, width):
                click.echo(f"{lead}{line}".rstrip())
                lead = " " * (names + 4)


def write_card(facts: Mapping[str, Any], path: Path) -> None:
    """Writes what `inspect_model` returned as a model card in Markdown, without what holds on this machine only.

    Raises:
        SinkError: the file cannot be written.
    """
    name, size = Path(facts["file"]).name, _size(facts["bytes"])
    lines = [f"# {_escape(name)}", "", f"An Onsight model, {size}. This card was written by `onsight inspect`."]
    for section in _sections(facts):
        lines += ["", f"## {section.title}", "", "| | |", "|---|---|"]
        lines += [f"| {_escape(name)} | {_escape(text)} |" for name, text in section.rows]
    with writing(path):
        partial_path(path).write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")
        finish(path)


def _sections(facts: Mapping[str, Any]) -> list[Section]:
    contract = ModelContract.model_validate(facts["contract"])
    return make_card(contract.provenance, _model(contract), _tensors(contract, facts))


def _model(contract: ModelContract) -> Iterator[Row]:
    yield "task", _task(contract)
    yield "labels", f"{len(contract.labels)}: {_shorten(contract.labels)}"


def _tensors(contract: ModelContract, facts: Mapping[str, Any]) -> Iterator[Row]:
    yield "input", _input(contract.input, contract.resize)
    yield "resize", _resize(contract.resize)
    yield "reports", _reports(contract)
    for name in ("inputs", "outputs"):
        yield name, ", ".join(f"{tensor} {_shape(shape)}" for tensor, shape in facts[name].items())


def _machine(facts: Mapping[str, Any]) -> Iterator[Row]:
    total = sum(facts["nodes"].values())
    operators = [f"{count} {operator}" for operator, count in facts["operators"].items()]
    yield "graph", f"{total} nodes: {_shorten(operators)}"
    yield "device", facts["device"] + (f": {facts['reason']}" if facts["reason"] else "")
    yield "on the CPU", f"{facts['cpu_nodes']} of {total} nodes"


def _task(contract: ModelContract) -> str:
    if contract.detector is None:
        return "classify: says what a frame shows"
    overlaps = "the host suppresses overlaps" if contract.detector.nms else "the graph leaves no overlaps"
    return f"detect: up to {contract.detector.candidates} boxes a frame, {overlaps}"


def _reports(contract: ModelContract) -> str:
    if contract.detector:
        one = f"; boxes that overlap by more than {contract.detector.iou:g} are one" if contract.detector.nms else ""
        return f"scores of {contract.detector.threshold:g} and more{one}"
    assert contract.classifier is not None
    least = f" with scores of {contract.classifier.threshold:g} and more" if contract.classifier.threshold else ""
    return f"the best {contract.classifier.top_k}{least}"


def _input(spec: InputSpec, resize: Resize) -> str:
    batch = "one frame at a time" if spec.batch == 1 else "any number of frames"
    if resize.rule == "graph":
        return f"frames of any size, {batch}"
    size = f"{spec.width} x {spec.height}"
    if spec.dynamic:
        return f"up to {size} pixels, multiples of {spec.stride}, {batch}"
    return f"{size} pixels, {batch}"


def _resize(resize: Resize) -> str:
    if resize.rule == "graph":
        return "the graph resizes"
    where = "on both sides" if resize.pad == "both" else "at the right and the bottom"
    margin = "" if resize.crop_pct == 1 else f" / {resize.crop_pct:g}"
    way = {
        "stretch": "stretched to the input, whatever the shape of the frame",
        "crop": f"scaled to cover the input{margin} and cut out at the centre",
        "letterbox": f"scaled to fit into the input, the rest filled with grey {resize.pad_value} {where}",
    }[resize.rule]
    return f"{way}; {resize.interpolation}, {'anti-aliased' if resize.antialias else 'not anti-aliased'}"


def _shorten(items: Sequence[str]) -> str:
    return ", ".join(items[:_FIRST]) + (", ..." if len(items) > _FIRST else "")


def _shape(shape: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _lines(text: str) -> list[str]:
    """At least one; without characters that a terminal would obey."""
    return [_CONTROL.sub(" ", line) for line in text.strip().splitlines()] or [""]


def _wrap(text: str, width: int) -> list[str]:
    fill = partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    return [part for line in _lines(text) for part in fill(line) or [""]]


def _escape(text: str) -> str:
    """A text as a cell of a Markdown table that shows it letter by letter."""
    return "<br>".join(_MARKUP.sub(r"\\\g<0>", line) for line in _lines(text))
