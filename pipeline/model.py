"""A model file on a device. The only module that imports ONNX Runtime."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipeline import contract as contracts
from pipeline.contract import ModelContract, read_contract
from pipeline.device import PROVIDERS, why_no_gpu, why_no_provider
from pipeline.errors import ContractError, DeviceError, ModelError
from pipeline.terms import Device
from pipeline.types import Image

Outputs = dict[str, NDArray[Any]]

_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"}}
_OUTPUTS: dict[str, dict[str, tuple[str, int]]] = {
    "classify": {"scores": ("tensor(float)", 2)},
    "detect": {"boxes": ("tensor(float)", 3), "scores": ("tensor(float)", 2), "labels": ("tensor(int64)", 2)},
}


class Model(Protocol):
    """What recognises frames: a model file, or what takes its place in a comparison or a test."""

    @property
    def contract(self) -> ModelContract:
        """What it promises."""
        ...

    @property
    def device(self) -> str:
        """What it runs on."""
        ...

    def infer(self, frames_BHW3: Image) -> Outputs:
        """See `OnnxModel.infer`."""
        ...


class OnnxModel:
    """An ONNX file with its contract, loaded on a device. `infer` may be called from several threads at once.

    Args:
        path: the `.onnx` file.
        device: what to run on; `auto` takes a CUDA GPU where one can be used.
        threads: threads that share the work of one call on the CPU; 0: one for each core.

    Attributes:
        contract: what the file says about itself.
        device: what it really runs on: `cpu`, `cuda` or `tensorrt`.
        reason: why `auto` did not take a GPU; None otherwise.

    Raises:
        ModelError: not a usable ONNX file. ContractError: no contract, or one that the graph does not keep.
        DeviceError: the device asked for cannot be used; it never falls back in silence.
    """

    def __init__(self, path: str | Path, device: Device = "auto", threads: int = 0) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"there is no model file {self.path}")
        self.device, self.reason = _choose(device)
        self._session, failure = self._open(self.device, threads)
        if failure is not None:
            if device != "auto":
                raise DeviceError(f"{device} cannot be used: {failure}; use --device cpu, or run: onsight doctor")
            self.device, self.reason = "cpu", failure
        self.contract: ModelContract = read_contract(self._session.get_modelmeta().custom_metadata_map, str(self.path))
        self._check_graph()
        if self.device != "cpu":
            self._warm_up()

    @property
    def providers(self) -> list[str]:
        """ONNX Runtime's execution providers, the preferred one first."""
        return list(self._session.get_providers())

    @cached_property
    def nodes(self) -> dict[str, Counter[str]]:
        """For each provider the number of nodes of each operator that it runs."""
        nodes: dict[str, Counter[str]] = {}
        for subgraph in self._session.get_provider_graph_assignment_info():
            operators = nodes.setdefault(subgraph.ep_name, Counter())
            operators.update(node.op_type for node in subgraph.get_nodes())
        return nodes

    @property
    def cpu_nodes(self) -> int:
        """How many nodes run on the CPU."""
        return sum(self.nodes.get("CPUExecutionProvider", Counter()).values())

    @property
    def signature(self) -> dict[str, dict[str, list[int | str | None]]]:
        """Names and shapes of the graph's inputs and outputs."""
        return {
            "inputs": {value.name: list(value.shape) for value in self._session.get_inputs()},
            "outputs": {value.name: list(value.shape) for value in self._session.get_outputs()},
        }

    def infer(self, frames_BHW3: Image) -> Outputs:
        """Runs the graph.

        Args:
            frames_BHW3: uint8 [B, H, W, 3], BGR, resized as the contract says.

        Returns:
            A classifier: `scores` float32 [B, C]. A detector: `boxes` float32 [B, K, 4], `scores` float32 [B, K] and
            `labels` int64 [B, K].
        """
        if self.contract.input.batch == 1 and len(frames_BHW3) > 1:
            each = [self._run(frames_BHW3[i : i + 1]) for i in range(len(frames_BHW3))]
            return {name: np.concatenate([outputs[name] for outputs in each]) for name in each[0]}
        return self._run(frames_BHW3)

    def _run(self, frames_BHW3: Image) -> Outputs:
        names = list(_OUTPUTS[self.contract.task])
        return dict(zip(names, self._session.run(names, {contracts.INPUT_NAME: frames_BHW3}), strict=True))

    def _open(self, device: str, threads: int) -> tuple[ort.InferenceSession, str | None]:
        """A session on `device`, or one on the CPU and why `device` failed."""
        try:
            session = ort.InferenceSession(
                str(self.path),
                _session_options(threads),
                providers=[(name, _PROVIDER_OPTIONS.get(name, {})) for name in PROVIDERS[device]],
                enable_fallback=0,  # else ONNX Runtime retries on the CPU and tells standard output
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            reason = str(error).strip().partition("\n")[0].rpartition(" failed:")[2]
            if device == "cpu":
                raise ModelError(f"{self.path} cannot be loaded as an ONNX model: {reason}") from error
            return self._open("cpu", threads)[0], reason
        if (took := session.get_providers()[0]) == PROVIDERS[device][0]:
            return session, None
        return self._open("cpu", threads)[0], f"ONNX Runtime took {took} although the libraries can be loaded"

    def _warm_up(self) -> None:
        """The first run on a GPU loads cuDNN and chooses kernels: slow, and the first to notice a library missing."""
        size = self.contract.input
        try:
            self.infer(np.zeros((1, size.height, size.width, 3), np.uint8))
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise DeviceError(f"{self.device} fails: {reason}; use --device cpu, or run: onsight doctor") from error

    def _check_graph(self) -> None:
        """The contract must hold for what the graph says of itself; what it leaves open cannot be checked."""
        contract = self.contract
        inputs = {value.name: value for value in self._session.get_inputs()}
        frames = inputs.get(contracts.INPUT_NAME)
        if len(inputs) != 1 or frames is None or frames.type != "tensor(uint8)" or len(frames.shape) != 4:
            raise self._broken("its only input has to be frames, uint8 [B, H, W, 3]")
        free = contract.input.dynamic or contract.resize.rule == "graph"
        height, width = (None, None) if free else (contract.input.height, contract.input.width)
        for axis, wanted in enumerate((contract.input.batch, height, width, 3)):
            size = frames.shape[axis]
            if isinstance(size, int) and size != wanted:
                raise self._broken(
                    f"its input is {frames.shape}, but {wanted or 'any size'} is promised for axis {axis}"
                )
        outputs = {value.name: value for value in self._session.get_outputs()}
        for name, (type_, rank) in _OUTPUTS[contract.task].items():
            value = outputs.get(name)
            if value is None or value.type != type_ or len(value.shape) != rank:
                raise self._broken(f"it has no output {name}, {type_} of rank {rank}")
        classes = outputs["scores"].shape[1]
        if contract.task == "classify" and isinstance(classes, int) and classes != len(contract.labels):
            raise self._broken(f"{classes} classes, but {len(contract.labels)} labels")

    def _broken(self, how: str) -> ContractError:
        return ContractError(f"{self.path} does not keep its contract: {how}; adopt or export it again")


def _session_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Waiting threads sleep: at camera rates spinning costs three times the CPU time and wins nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def available_providers() -> list[str]:
    """The execution providers that this build of ONNX Runtime knows, whether or not their libraries can be loaded."""
    return list(ort.get_available_providers())


def check_device(device: Literal["cuda", "tensorrt"]) -> str | None:
    """Why `device` cannot be used here; None if it can."""
    reason = why_no_gpu()
    if reason is None and hasattr(ort, "preload_dlls"):
        with redirect_stdout(sys.stderr):  # it prints; standard output belongs to records
            ort.preload_dlls()
    return reason or why_no_provider(device)


def _choose(device: Device) -> tuple[Literal["cpu", "cuda", "tensorrt"], str | None]:
    if device == "cpu":
        return "cpu", None
    if device == "auto":
        reason = check_device("cuda")
        return ("cuda", None) if reason is None else ("cpu", reason)
    if reason := check_device(device):
        raise DeviceError(f"{device} cannot be used: {reason}; use --device cpu, or run: onsight doctor")
    return device, None
