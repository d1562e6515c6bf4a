"""What a model file says about itself and how it would run here: its card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.contract import InputSpec, ModelContract, Resize
from pipeline.model import OnnxModel
from pipeline.terms import Device

_FIRST = 8


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
    """Prints what `inspect_model` returned, for people."""
    click.secho(f"{facts['file']}, {_size(facts['bytes'])}", bold=True)
    rows = list(_rows(facts, ModelContract.model_validate(facts["contract"])))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"  {name:{width}}  {value}")


def _rows(facts: Mapping[str, Any], contract: ModelContract) -> Iterator[tuple[str, str]]:
    total = sum(facts["nodes"].values())
    operators = [f"{count} {operator}" for operator, count in facts["operators"].items()]
    for name, value in contract.provenance.items():
        yield name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    yield "task", _task(contract)
    yield "labels", f"{len(contract.labels)}: {_shorten(contract.labels)}"
    yield "input", _input(contract.input, contract.resize)
    yield "resize", _resize(contract.resize)
    yield "reports", _reports(contract)
    for name in ("inputs", "outputs"):
        yield name, ", ".join(f"{tensor} {_shape(shape)}" for tensor, shape in facts[name].items())
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
