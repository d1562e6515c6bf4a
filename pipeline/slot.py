"""Inferences of one thread on a GPU, bound to buffers of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import cuda
from pipeline.contract import INPUT_NAME
from pipeline.session import DTYPES, Session, borrow, graph_options
from pipeline.types import Frames

_MOST_BINDINGS = 8  # shapes of the input that are remembered
_ALIGNED = 256  # bytes, as CUDA's own memory is
_RUNS_TO_RECORD = 3  # ONNX Runtime first runs without a recording, to have its memory together
_NO_GRAPH = -1

_LOG = logging.getLogger(__name__)


class _Binding(NamedTuple):
    """A session whose input and outputs are bound to buffers, for the `shape` of the input.

    The outputs lie in one block of the GPU's memory, `memory`, and behind it in pinned memory, `host`.
    """

    session: Session
    shape: tuple[int, ...]
    io: Any
    options: Any
    outputs: dict[str, NDArray[Any]]
    host: NDArray[np.uint8]
    memory: cuda.DeviceMemory


class Slot:
    """One inference at a time: copies in, runs, copies out, and waits, while the slots of other threads do the same.

    The copies go through a stream of this slot, the kernels through one that ONNX Runtime keeps for each inference that
    is under way. Only the thread that made a slot may use it: ONNX Runtime keeps CUDA graphs by thread.

    Args:
        plain: a session that slots share.
        outputs: the names of the outputs.
        open_recorder: opens a session for this slot alone, which records CUDA graphs; None: do without.
        device: what ONNX Runtime calls the place of the buffers.
    """

    def __init__(
        self,
        plain: Session,
        outputs: Sequence[str],
        open_recorder: Callable[[], Session] | None = None,
        device: str = "cuda",
    ) -> None:
        self._plain, self._names, self._device = plain, outputs, device
        self._open_recorder = open_recorder
        self._recorder: Session | None = None
        self._graphs = count(1)
        self._stream = cuda.Stream()
        self._input = cuda.DeviceMemory(1)
        self._bindings: dict[tuple[int, ...], _Binding] = {}

    def infer(self, frames: Frames, batch: int) -> dict[str, NDArray[Any]]:
        """See `OnnxModel.infer`. Fewer frames than `batch` share the inference with what lay in the buffer before."""
        binding = self._send(frames, batch)
        _run(binding)
        self._fetch(binding)
        return {name: values[: len(frames)].copy() for name, values in binding.outputs.items()}

    def parts(self, frames: Frames) -> dict[str, Callable[[], None]]:
        """What an inference of these frames is made of; each may be called again and again."""

        def copy() -> None:
            self._fetch(self._send(frames, 1))

        return {"copy": copy, "infer": partial(_run, self._send(frames, 1))}

    def _send(self, frames: Frames, batch: int) -> _Binding:
        """Returns when the frames lie in the buffer of the input, and ONNX Runtime knows: of an input that nodes on the
        CPU read, it takes a copy when it is bound.
        """
        if isinstance(frames, np.ndarray):
            if frames.dtype != np.uint8:
                raise ValueError(f"frames are uint8 [B, H, W, 3], not {frames.dtype} {list(frames.shape)}")
            frames = np.ascontiguousarray(frames)
            binding = self._bound((max(len(frames), batch), *frames.shape[1:]))
            self._stream.to_device(self._input.address, frames)
        else:
            lent = [borrow(frame) for frame in frames]
            if any(each.shape != lent[0].shape for each in lent):
                raise ValueError("the pictures of an inference have one size")
            binding = self._bound((max(len(frames), batch), *lent[0].shape))
            size = prod(lent[0].shape)
            for i, each in enumerate(lent):
                self._stream.on_device(self._input.address + i * size, each.address, size)
        self._stream.wait()
        with cuda.turnstile.together():
            self._bind_input(binding.io, binding.shape)
        return binding

    def _bind_input(self, io: Any, shape: tuple[int, ...]) -> None:
        io.bind_input(INPUT_NAME, self._device, 0, np.uint8, shape, self._input.address)

    def _fetch(self, binding: _Binding) -> None:
        """Returns when the outputs lie in the pinned memory."""
        self._stream.to_host(binding.host, binding.memory.address)
        self._stream.wait()

    def _bound(self, shape: tuple[int, ...]) -> _Binding:
        if (found := self._bindings.get(shape)) is not None:
            return found
        if self._input.size < prod(shape):
            larger = cuda.DeviceMemory(prod(shape))
            with cuda.turnstile.together():  # what is not needed any more is given back
                self._bindings.clear()
                self._input = larger
        if len(self._bindings) == _MOST_BINDINGS:
            with cuda.turnstile.together():
                self._bindings.clear()
        binding = self._record(shape) if self._open_recorder else None
        self._bindings[shape] = binding or self._bind(self._plain, shape, None)
        return self._bindings[shape]

    def _bind(self, session: Session, shape: tuple[int, ...], options: Any) -> _Binding:
        """The first inference of a shape lets ONNX Runtime make room for the outputs, and tells how much they need."""
        io = session.io_binding()
        self._bind_input(io, shape)
        for name in self._names:
            io.bind_output(name, self._device)
        with cuda.turnstile.together():
            session.run_with_iobinding(io, graph_options(_NO_GRAPH))
        parts, size = {}, 0
        for name, value in zip(self._names, io.get_outputs(), strict=True):
            dtype, dimensions = np.dtype(DTYPES[value.data_type()]), value.shape()
            parts[name] = (size, dtype, dimensions)
            size += -(-prod(dimensions) * dtype.itemsize // _ALIGNED) * _ALIGNED
        memory, host, outputs = cuda.DeviceMemory(size), cuda.pinned(size), {}
        for name, (start, dtype, dimensions) in parts.items():
            io.bind_output(name, self._device, 0, dtype.type, dimensions, memory.address + start)
            part = host[start : start + prod(dimensions) * dtype.itemsize]
            outputs[name] = part.view(dtype).reshape(dimensions)
        return _Binding(session, shape, io, options, outputs, host, memory)

    def _record(self, shape: tuple[int, ...]) -> _Binding | None:
        """A binding whose inferences are played from a CUDA graph; None, and never again, where that fails."""
        assert self._open_recorder is not None
        if (number := next(self._graphs)) > _MOST_BINDINGS:
            self._give_up_graphs("the size of the frames changes too often")
            return None
        try:
            recorder = self._recorder = self._recorder or self._open_recorder()
            binding = self._bind(recorder, shape, graph_options(number))
            with cuda.turnstile.alone():
                for _ in range(_RUNS_TO_RECORD):
                    recorder.run_with_iobinding(binding.io, binding.options)
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            self._give_up_graphs(str(error).strip().partition("\n")[0])
            return None
        return binding

    def _give_up_graphs(self, why: str) -> None:
        if self._open_recorder is not None:
            _LOG.warning("goes on without CUDA graphs: %s", why)
        self._open_recorder = self._recorder = None


def _run(binding: _Binding) -> None:
    with cuda.turnstile.together():
        binding.session.run_with_iobinding(binding.io, binding.options)
