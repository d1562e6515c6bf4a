"""Tiny foreign networks: each output is a constant plus what the mean colour of the picture, times weights, adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Network = Callable[[Array], dict[str, Array]]


def save_network(
    path: Path,
    bases: Mapping[str, Array],
    *,
    size: tuple[int | str, int | str] = (64, 64),
    batch: int | str = "B",
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    channels_last: bool = False,
    last: str | None = None,
    reshaped_to: int | None = None,
    still: Mapping[str, Array] | None = None,
) -> Network:
    """Saves a network with the outputs `bases` (their shapes without batch), and returns it as a numpy function.

    `still` has zeros where an output does not follow the picture. `last`: an operator that ends every output.
    `reshaped_to`: the batch that a constant shape in the graph names, if not -1.
    """
    real = helper.tensor_dtype_to_np_dtype(dtype if dtype != TensorProto.UINT8 else TensorProto.FLOAT)
    axes = [1, 2] if channels_last else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=axes, keepdims=0, doc_string="/home/me/net.py")
    ]
    source = helper.make_node("Cast", ["images"], ["pixels"], to=helper.np_dtype_to_tensor_dtype(np.dtype(real)))
    nodes.insert(0, source)
    weights: dict[str, Array] = {}
    constants: dict[str, Array] = {}
    for name, base in bases.items():
        random = np.random.default_rng(len(weights)).uniform(-1e-4, 1e-4, (3, *base.shape))
        weights[name] = (random * (1 if still is None else still[name])).astype(real)
        constants |= {
            f"{name}_weight": weights[name].reshape(3, -1),
            f"{name}_shape": np.array([reshaped_to or -1, *base.shape], np.int64),
            f"{name}_base": base.astype(real),
        }
        nodes += [
            helper.make_node("MatMul", ["colour", f"{name}_weight"], [f"{name}_flat"]),
            helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [f"{name}_change"]),
            helper.make_node("Add", [f"{name}_change", f"{name}_base"], [f"{name}_sum"]),
            helper.make_node(last or "Identity", [f"{name}_sum"], [name]),
        ]
    shape = [batch, *size, 3] if channels_last else [batch, 3, *size]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", dtype, shape)],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(real)), [batch, *base.shape])
            for name, base in bases.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model.doc_string = "/home/me/export.py"
    onnx.save(model, path)

    def network(images: Array) -> dict[str, Array]:
        """images: float [B, 3, H, W] as the network is fed; before the operator `last`."""
        colour = images.mean(axis=(2, 3))
        return {n: base + np.tensordot(colour, weights[n].astype(np.float64), 1) for n, base in bases.items()}

    return network


def random_base(*shape: int) -> Array:
    return np.random.default_rng(7).uniform(0.1, 0.9, shape)


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """uint8 [2, 64, 64, 3], BGR, of different colours."""
    noise = np.random.default_rng(1).integers(0, 120, (2, 64, 64, 3))
    return (noise + np.array([[[[0, 60, 130]]], [[[120, 10, 30]]]])).astype(np.uint8)


@pytest.fixture
def make_network(tmp_path: Path) -> Callable[..., tuple[Path, Network]]:
    """Saves a network as `foreign.onnx`; gives its path and the same network in numpy."""

    def make(bases: Mapping[str, Array | tuple[int, ...]], **options: Any) -> tuple[Path, Network]:
        arrays = {n: random_base(*base) if isinstance(base, tuple) else base for n, base in bases.items()}
        path = tmp_path / "foreign.onnx"
        return path, save_network(path, arrays, **options)

    return make


@pytest.fixture
def labels(tmp_path: Path) -> Callable[[int], str]:
    """A text file with so many labels."""

    def write(count: int) -> str:
        path = tmp_path / f"{count}.txt"
        path.write_text("".join(f"class {i}\n" for i in range(count)), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def run() -> Callable[[Path, Array], dict[str, Array]]:
    """Runs a model file on the CPU."""

    def run_file(path: Path, frames_BHW3: Array) -> dict[str, Array]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, {"frames": frames_BHW3}), strict=True))

    return run_file
