"""Adoption: a foreign ONNX network becomes an Onsight model, one file with everything in it."""

from __future__ import annotations

import ast
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from export.decoding import Head
from export.facts import Facts
from export.families import FAMILIES, build_head
from export.graph import append, opset, prepend, read_foreign, set_input, write_model
from export.labels import read_labels
from export.options import Options
from export.preprocessing import IMAGE, ImageInput, preprocessing
from export.rewrites import keep_padding, split_softmax
from export.trial import check, free_batch, runs_at, sample_frames
from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.digest import sha256
from pipeline.errors import ConfigError, ContractError, SinkError

_LEAST_STRIDE = 32


def adopt(source: Path, output: Path, options: Options) -> ModelContract:
    """Makes the Onsight model `output` of the foreign ONNX file `source`; returns its contract.

    Raises:
        ConfigError: an option that cannot be used, or that contradicts the graph.
        ModelError: `source` is no model that can be used.
        ContractError: it is not of the family, the labels do not fit, or it has been adopted already.
        SinkError: `output` cannot be written.
    """
    _check_output(source, output)
    _check_options(options)
    labels = read_labels(options.labels)
    resize = _resize(FAMILIES[options.family].resize, options)
    model = read_foreign(source)
    keep_padding(model.graph)
    split_softmax(model)
    _check_names(model, len(labels))
    provenance = _provenance(source, model, options)
    model, spec, head = _decode(model, options, len(labels), resize)
    detects = options.family != "classifier"
    contract = ModelContract(
        task="detect" if detects else "classify",
        labels=labels,
        input=spec,
        resize=resize,
        classifier=None if detects else ClassifierSpec(),
        detector=DetectorSpec(candidates=head.candidates, nms=FAMILIES[options.family].nms) if detects else None,
        provenance=provenance,
    )
    _finish(model, head, contract)
    check(model, contract)
    write_model(model, output)
    return contract


def _decode(
    model: onnx.ModelProto, options: Options, labels: int, resize: Resize
) -> tuple[onnx.ModelProto, InputSpec, Head]:
    """Puts the preprocessing before the network, tries it out, and finds the head to put behind it."""
    family = FAMILIES[options.family]
    image = ImageInput.of(model)
    if image.dtype == TensorProto.UINT8 and (options.mean or options.std or options.pixel_range):
        raise ConfigError("the network takes uint8 and normalises for itself: leave --mean, --std and --range out")
    height, width = image.sized(options.size, family.open_size)
    open_size = family.open_size is not None and resize.rule == "letterbox" and image.height is image.width is None
    if open_size and (height % _LEAST_STRIDE or width % _LEAST_STRIDE):
        raise ConfigError(f"--size should be a multiple of {_LEAST_STRIDE}, not {height}x{width}")
    sides: tuple[int | str, int | str] = ("H", "W") if open_size else (height, width)
    prepend(model, preprocessing(image, family.normalisation.changed(options)), IMAGE, ["B", *sides, 3])
    model, batch, outputs = free_batch(model, image.batch, sample_frames(height, width))
    facts = Facts(
        outputs=outputs,
        graph=model.graph,
        opset=opset(model),
        height=height,
        width=width,
        dynamic=open_size,
        labels=labels,
        activation=options.activation,
        candidates=options.candidates,
    )
    head = build_head(options.family, facts)
    if open_size and not runs_at(model, [(head.stride, width), (height, head.stride)]):
        facts = replace(facts, dynamic=False)
        head = build_head(options.family, facts)
        set_input(model, [batch or "B", height, width, 3])
    stride = head.stride if facts.dynamic else 1
    return model, InputSpec(height=height, width=width, stride=stride, dynamic=facts.dynamic, batch=batch), head


def _finish(model: onnx.ModelProto, head: Head, contract: ModelContract) -> None:
    batch = contract.input.batch or "B"
    if contract.detector is None:
        shapes = {"scores": (TensorProto.FLOAT, [batch, len(contract.labels)])}
    else:
        k = contract.detector.candidates
        shapes = {
            "boxes": (TensorProto.FLOAT, [batch, k, 4]),
            "scores": (TensorProto.FLOAT, [batch, k]),
            "labels": (TensorProto.INT64, [batch, k]),
        }
    outputs = [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in shapes.items()]
    append(model, head.fragment, head.wires, outputs)
    helper.set_model_props(model, contract.to_metadata())


def _check_output(source: Path, output: Path) -> None:
    if output.suffix != ".onnx":
        raise ConfigError(f"the output should be called something.onnx, not {output.name}")
    if not output.parent.is_dir():
        raise SinkError(f"there is no folder {output.parent} to write {output.name} into")
    if output.exists() and source.exists() and output.samefile(source):
        raise ConfigError(f"the output would replace the input {source}: give it another name")


def _check_options(options: Options) -> None:
    if options.activation is not None and options.family not in ("classifier", "detr"):
        raise ConfigError(f"--activation belongs to the families classifier and detr, not to {options.family}")
    if options.candidates is not None and options.family == "classifier":
        raise ConfigError("--candidates belongs to detectors, not to a classifier")


def _resize(default: Resize, options: Options) -> Resize:
    rule = options.resize or default.rule
    if options.crop_pct is not None and rule != "crop":
        raise ConfigError(f"--crop-pct belongs to --resize crop, not to {rule}")
    if options.crop_pct is not None and not 0 < options.crop_pct <= 1:
        raise ConfigError(f"--crop-pct should lie above 0 and up to 1, not {options.crop_pct:g}")
    crop_pct = (options.crop_pct or default.crop_pct) if rule == "crop" else 1.0
    interpolation = options.interpolation or default.interpolation
    return default.model_copy(update={"rule": rule, "crop_pct": crop_pct, "interpolation": interpolation})


def _check_names(model: onnx.ModelProto, labels: int) -> None:
    """Some exporters store the class names: not used, but their number has to fit."""
    text = next((entry.value for entry in model.metadata_props if entry.key == "names"), "")
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return
    if isinstance(names, dict | list) and len(names) != labels:
        raise ContractError(f"the model names {len(names)} classes, but {labels} labels were given")


def _provenance(source: Path, model: onnx.ModelProto, options: Options) -> dict[str, Any]:
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key in ("author", "license")}
    return {
        "onsight": version("onsight"),
        "source": source.name,
        "source_sha256": sha256(source),
        "options": options.given() | {"labels": Path(options.labels).name},
        **kept,
    }
