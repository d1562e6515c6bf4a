"""A model file on a device."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline import contract as contracts
from pipeline.contract import ModelContract, read_contract
from pipeline.device import PROVIDERS
from pipeline.errors import DeviceError, ModelError
from pipeline.promise import check_graph
from pipeline.schedule import available_cores
from pipeline.session import Session, check_device, count_nodes, open_session, tensorrt_options
from pipeline.slot import Slot
from pipeline.terms import Device
from pipeline.types import Frames

Outputs = dict[str, NDArray[Any]]

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}

_LOG = logging.getLogger(__name__)


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

    def infer(self, frames_BHW3: Frames) -> Outputs:
        """See `OnnxModel.infer`."""
        ...


class OnnxModel:
    """An ONNX file with its contract, loaded on a device. `infer` may be called from several threads at once: on a GPU
    each has buffers and a stream of its own, so that one copies while another infers.

    Args:
        path: the `.onnx` file.
        device: what to run on; `auto` takes a CUDA GPU where one can be used.
        threads: threads that share the work of one call on the CPU; 0: one for each core.
        cuda_graph: launch an inference on `cuda` as one recorded CUDA graph. Where that cannot be, it says so and does
            without.
        nhwc: have cuDNN convolve on `cuda` with the channels last.

    Attributes:
        contract: what the file says about itself.
        device: what it really runs on: `cpu`, `cuda` or `tensorrt`.
        reason: why `auto` did not take a GPU; None otherwise.
        threads: share the work of one call on the CPU.
        cuda_graph: whether inferences are recorded as CUDA graphs, while which nothing else may use CUDA.

    Raises:
        ModelError: not a usable ONNX file. ContractError: no contract, or one that the graph does not keep.
        DeviceError: the device asked for cannot be used; it never falls back in silence.
    """

    def __init__(
        self,
        path: str | Path,
        device: Device = "auto",
        threads: int = 0,
        *,
        cuda_graph: bool = False,
        nhwc: bool = False,
    ) -> None:
        self.path = Path(path)
        self.threads = threads or available_cores()
        if not self.path.is_file():
            raise ModelError(f"there is no model file {self.path}")
        self.device, self.reason = _choose(device)
        layout = {"prefer_nhwc": "1"} if nhwc and self.device == "cuda" else {}
        self._options = {_CUDA: {**_CUDA_OPTIONS, **layout}}
        if self.device == "tensorrt":
            self._options[_TENSORRT] = tensorrt_options(self.path, self._is_half())
        self._session, failure = self._open(self.device, threads)
        if failure is not None:
            if device != "auto":
                raise DeviceError(f"{device} cannot be used: {failure}; use --device cpu, or run: onsight doctor")
            self.device, self.reason = "cpu", failure
        self.contract: ModelContract = read_contract(self._session.get_modelmeta().custom_metadata_map, str(self.path))
        check_graph(self._session, self.contract, self.path)
        self._batch = 1
        self.cuda_graph = cuda_graph and self.device == "cuda"
        for wanted, what in ((cuda_graph, "CUDA graphs"), (nhwc, "NHWC")):
            if wanted and self.device != "cuda":
                _LOG.warning("goes on without %s: it takes --device cuda", what)
        self._slots = threading.local()
        if self.device != "cpu":
            self.prepare(1)

    @property
    def providers(self) -> list[str]:
        """ONNX Runtime's execution providers, the preferred one first."""
        return list(self._session.get_providers())

    @cached_property
    def nodes(self) -> dict[str, Counter[str]]:
        """For each provider the number of nodes of each operator that it runs."""
        return count_nodes(self._session)

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

    def prepare(self, batch: int) -> None:
        """Gets ready for inferences of up to `batch` frames: on a GPU, fewer are made up to so many from now on.

        A convolution there is planned for one shape of its input, which takes many times as long as the inference, and
        planned anew whenever that changes. The first plan loads cuDNN, and is the first to notice a library missing.

        Raises:
            DeviceError: the GPU cannot run the model.
        """
        if self.device == "cpu":
            return
        self._batch = batch if self.contract.input.batch is None else 1
        size = self.contract.input
        try:
            frames_BHW3 = np.zeros((self._batch, size.height, size.width, 3), np.uint8)
            Slot(self._session, self.contract.outputs).infer(frames_BHW3, self._batch)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise DeviceError(f"{self.device} fails: {reason}; use --device cpu, or run: onsight doctor") from error

    def infer(self, frames_BHW3: Frames) -> Outputs:
        """Runs the graph.

        Args:
            frames_BHW3: uint8 [B, H, W, 3], BGR, resized as the contract says, on the host or on the model's GPU.

        Returns:
            A classifier: `scores` float32 [B, C]. A detector: `boxes` float32 [B, K, 4], `scores` float32 [B, K] and
            `labels` int64 [B, K].
        """
        if self.contract.input.batch == 1 and len(frames_BHW3) > 1:
            each = [self._run(frames_BHW3[i : i + 1]) for i in range(len(frames_BHW3))]
            return {name: np.concatenate([outputs[name] for outputs in each]) for name in each[0]}
        return self._run(frames_BHW3)

    def parts(self, frames_BHW3: Frames) -> Mapping[str, Callable[[], object]]:
        """What an inference of these frames is made of, to be measured by this thread: `infer`, and on a GPU `copy`."""
        if self.device == "cpu":
            return {"infer": partial(self.infer, frames_BHW3)}
        return self._slot().parts(frames_BHW3)

    def _run(self, frames_BHW3: Frames) -> Outputs:
        names = self.contract.outputs
        if self.device != "cpu":
            return self._slot().infer(frames_BHW3, self._batch)
        if not isinstance(frames_BHW3, np.ndarray):
            raise DeviceError(f"{self.path} runs on the CPU and cannot take pictures from a GPU; use --device cuda")
        return dict(zip(names, self._session.run(names, {contracts.INPUT_NAME: frames_BHW3}), strict=True))

    def _slot(self) -> Slot:
        """That of this thread."""
        if not hasattr(self._slots, "mine"):
            open_recorder = self._open_recorder if self.cuda_graph else None
            self._slots.mine = Slot(self._session, self.contract.outputs, open_recorder)
        mine: Slot = self._slots.mine
        return mine

    def _open_recorder(self) -> Session:
        options = {_CUDA: {**self._options[_CUDA], "enable_cuda_graph": "1"}}
        return open_session(self.path, self.device, 0, options)

    def _is_half(self) -> bool:
        """As the file tells, which ONNX Runtime opens first."""
        session = self._open("cpu", 0)[0]
        contract = read_contract(session.get_modelmeta().custom_metadata_map, str(self.path))
        return contract.provenance.get("precision") == "fp16"

    def _open(self, device: str, threads: int) -> tuple[Session, str | None]:
        """A session on `device`, or one on the CPU and why `device` failed."""
        try:
            session = open_session(self.path, device, threads, self._options)
        except ModelError as error:
            if device == "cpu":
                raise ModelError(f"{self.path} cannot be loaded as an ONNX model: {error}") from error
            return self._open("cpu", threads)[0], str(error)
        if (took := session.get_providers()[0]) == PROVIDERS[device][0]:
            return session, None
        reason = f"ONNX Runtime took {took} although the libraries can be loaded"
        return self._open("cpu", threads)[0], reason


def _choose(device: Device) -> tuple[Literal["cpu", "cuda", "tensorrt"], str | None]:
    if device == "cpu":
        return "cpu", None
    if device == "auto":
        reason = check_device("cuda")
        return ("cuda", None) if reason is None else ("cpu", reason)
    if reason := check_device(device):
        raise DeviceError(f"{device} cannot be used: {reason}; use --device cpu, or run: onsight doctor")
    return device, None
