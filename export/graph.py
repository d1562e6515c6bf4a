"""Foreign ONNX graphs: read, tidied, extended at both ends, written as one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper, parser, version_converter

from pipeline.contract import INPUT_NAME, METADATA_KEY
from pipeline.errors import ContractError, ModelError, SinkError
from pipeline.sinks.partial import partial_path

OLDEST_OPSET = 13
UPGRADED_OPSET = 18
FOREIGN = "net/"
LARGEST_FILE = 2**31 - 2**20  # what a protobuf may hold, with room for the graph itself


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of graph: nodes in the ONNX text syntax, and the constants that they name."""

    text: str
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def read_foreign(path: Path) -> onnx.ModelProto:
    """Reads a foreign model, its external data too; every name in its graph then starts with `FOREIGN`.

    Raises:
        ModelError: no file, no ONNX model, too large for one file, or an operator set that cannot be used.
        ContractError: the model has been adopted already.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        model = onnx.load(path, format="protobuf")
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path} cannot be read as an ONNX model: {first_line(error)}") from None
    if not model.graph.node:
        raise ModelError(f"{path} is no ONNX model, or an empty one")
    if any(entry.key == METADATA_KEY for entry in model.metadata_props):
        raise ContractError(f"{path} carries an Onsight contract already: run it as it is")
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST_FILE:
        raise ModelError(f"{path} and its data exceed the 2 GB that one ONNX file can hold")
    model = _upgrade(model, path)
    tidy(model)
    _prefix(model.graph)
    return model


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators; 0 if the model uses none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def image_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    """The shape of an input or output: a number, or the name of a free dimension."""
    shape = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or "?" for dim in shape]


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The values that do not depend on the input, by name."""
    values = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = node.attribute[0].t
    return values


def prepend(model: onnx.ModelProto, fragment: Fragment, last: str, shape: Sequence[int | str]) -> None:
    """Puts `fragment` before the network: it reads `frames`, uint8 of `shape`, and `last` feeds the one input."""
    graph = model.graph
    (image,) = image_inputs(model)
    nodes = _build(graph, fragment, {last: image.name})
    refill(graph.node, [*nodes, *graph.node])
    set_input(model, shape)
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def set_input(model: onnx.ModelProto, shape: Sequence[int | str]) -> None:
    """Makes `frames`, uint8 of `shape`, the one input."""
    frames = onnx.helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.UINT8, shape)
    refill(model.graph.input, [frames])


def append(
    model: onnx.ModelProto, fragment: Fragment, wires: Mapping[str, str], outputs: Sequence[onnx.ValueInfoProto]
) -> None:
    """Puts `fragment` behind the network; `wires` names the foreign output behind each name that it reads."""
    nodes = _build(model.graph, fragment, wires)
    model.graph.node.extend(nodes)
    refill(model.graph.output, outputs)
    _prune(model.graph)


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Writes the model as one file, which gets its name when it is whole; the same model gives the same bytes.

    Raises:
        SinkError: the file cannot be written.
    """
    partial = partial_path(path)
    try:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(partial, path)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def first_line(error: BaseException) -> str:
    """The first line of what another library says, short enough to be part of a message."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _upgrade(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    version = opset(model)
    if not version:
        raise ModelError(f"{path} uses no standard ONNX operators")
    if version < OLDEST_OPSET:
        try:
            model = version_converter.convert_version(model, UPGRADED_OPSET)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{path} has opset {version}, which cannot be converted ({first_line(error)}): "
                f"export it with opset {UPGRADED_OPSET}"
            ) from None
    model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(list(model.opset_import)))
    refill(model.graph.input, image_inputs(model))
    return model


def tidy(model: onnx.ModelProto) -> None:
    """Deletes what only tells of the machine that exported the model, and shapes that might no longer hold."""
    for part in (model, model.graph, *model.functions, *model.graph.initializer):
        part.ClearField("doc_string")
    for part in (model.graph, *model.functions):
        part.ClearField("value_info")
        part.ClearField("metadata_props")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")
    model.graph.ClearField("quantization_annotation")
    for node in (*_nodes(model.graph.node), *(node for function in model.functions for node in _nodes(function.node))):
        node.ClearField("doc_string")
        node.ClearField("metadata_props")


def _prefix(graph: onnx.GraphProto) -> None:
    """Starts every name with `FOREIGN`, in branches too: `onnx.compose` would miss outer weights there."""
    graph.ClearField("value_info")
    for node in graph.node:
        node.name = FOREIGN + node.name if node.name else ""
        for names in (node.input, node.output):
            refill(names, [FOREIGN + name if name else "" for name in names])
        for branch in _subgraphs(node):
            _prefix(branch)
    sparse = [tensor for pair in graph.sparse_initializer for tensor in (pair.values, pair.indices)]
    for named in (*graph.input, *graph.output, *graph.initializer, *sparse):
        named.name = FOREIGN + named.name


def _nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _nodes(graph.node)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _prune(graph: onnx.GraphProto) -> None:
    """Deletes the nodes and weights that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(name for inner in _nodes([node]) for name in inner.input)
            needed.update(output.name for inner in _subgraphs(node) for output in inner.output)
    refill(graph.node, kept[::-1])
    refill(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])


def _build(graph: onnx.GraphProto, fragment: Fragment, wires: Mapping[str, str]) -> list[onnx.NodeProto]:
    """The nodes of `fragment`, its constants added to `graph`, its open ends renamed as `wires` says."""
    nodes = list(parser.parse_graph(f"fragment () => () {{ {fragment.text} }}").node)
    for node in nodes:
        refill(node.input, [wires.get(name, name) for name in node.input])
        refill(node.output, [wires.get(name, name) for name in node.output])
        node.name = node.output[0]
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in fragment.constants.items())
    return nodes


def refill(repeated: Any, values: Sequence[Any]) -> None:
    """Makes `values` the items of a repeated field."""
    values = list(values)
    del repeated[:]
    repeated.extend(values)
