"""Trial runs: what a graph really gives, whichever shapes it claims."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph import constants, dims, first_line, set_input
from pipeline.contract import INPUT_NAME, ModelContract
from pipeline.errors import ModelError

Outputs: TypeAlias = dict[str, NDArray[Any]]


def sample_frames(height: int, width: int) -> NDArray[np.uint8]:
    """Two frames that no network should take for the same: bright noise and dark noise; uint8 [2, H, W, 3]."""
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    noise[1] //= 4
    return noise


def run(model: onnx.ModelProto, *batches: NDArray[np.uint8]) -> list[Outputs]:
    """The outputs of the model on the CPU, for each batch.

    Raises:
        ModelError: ONNX Runtime cannot load or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return [dict(zip(names, session.run(None, {INPUT_NAME: batch}), strict=True)) for batch in batches]
    except Exception as error:  # ONNX Runtime has no common base class for its errors
        raise ModelError(f"ONNX Runtime cannot run the model: {first_line(error)}") from None


def free_batch(
    model: onnx.ModelProto, given: int | None, frames: NDArray[np.uint8]
) -> tuple[onnx.ModelProto, Literal[1] | None, Outputs]:
    """A model that takes any number of frames, if there is proof that it does; else one that takes one frame.

    Proof: both of two frames give together what they give alone, and not the same. A batch of `given` frames is often
    fixed only by the first number of constant shapes, which is then freed.

    Returns:
        The model, the batch for its contract (None: any), and its outputs for the first frame.

    Raises:
        ModelError: it does not run, or has a fixed batch of several frames that cannot be freed.
    """
    freed = _with_free_reshapes(model, given or 1)
    fixed = f"the batch is fixed to {given} frames: export the model with a batch of 1" if given and given > 1 else None
    single = _with_batch(freed if fixed else model, 1)
    try:
        alone = run(_with_logits(single), frames[:1], frames[1:])
    except ModelError as error:
        raise ModelError(fixed or str(error)) from None
    outputs = {output.name: alone[0][output.name] for output in model.graph.output}
    for candidate in [freed] if given else [model, freed]:
        several = _with_batch(candidate, "B")
        try:
            (together,) = run(_with_logits(several), frames)
        except ModelError:
            continue
        if _agree(together, alone):
            return several, None, outputs
    if fixed:
        raise ModelError(fixed)
    return single, 1, outputs


def runs_at(model: onnx.ModelProto, sizes: list[tuple[int, int]]) -> bool:
    """Whether the model runs on frames of each height and width."""
    try:
        run(model, *(sample_frames(height, width)[:1] for height, width in sizes))
    except ModelError:
        return False
    return True


def check(model: onnx.ModelProto, contract: ModelContract) -> None:
    """Checks the finished model, and that it keeps its contract on sample frames.

    Raises:
        ModelError: it is no valid ONNX model, or it does not keep the contract.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the adopted graph is not valid: {first_line(error)}") from None
    frames = sample_frames(contract.input.height, contract.input.width)
    batches = [frames[:1]] if contract.input.batch == 1 else [frames[:1], frames]
    for batch, outputs in zip(batches, run(model, *batches), strict=True):
        found = {name: (value.dtype.name, value.shape) for name, value in outputs.items()}
        wanted = _promised(contract, len(batch))
        if found != wanted:
            raise ModelError(f"the adopted graph should give {wanted} and gives {found}")


def _promised(contract: ModelContract, batch: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    if contract.detector is None:
        return {"scores": ("float32", (batch, len(contract.labels)))}
    k = contract.detector.candidates
    return {"boxes": ("float32", (batch, k, 4)), "scores": ("float32", (batch, k)), "labels": ("int64", (batch, k))}


def _with_batch(model: onnx.ModelProto, batch: int | str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    set_input(copy, [batch, *dims(copy.graph.input[0])[1:]])
    return copy


def _with_free_reshapes(model: onnx.ModelProto, given: int) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = constants(copy.graph)
    for i, node in enumerate(copy.graph.node):
        if node.op_type != "Reshape" or node.input[1] not in known:
            continue
        shape = numpy_helper.to_array(known[node.input[1]]).copy()
        if shape.size < 2 or shape[0] != given:
            continue
        shape[0] = 0 if (shape == -1).any() else -1
        copy.graph.initializer.append(numpy_helper.from_array(shape, f"free_shape{i}"))
        node.input[1] = f"free_shape{i}"
    return copy


def _with_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, which also gives what goes into a last softmax or sigmoid: saturated, these tell no frames apart."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    given = {output.name for output in copy.graph.output}
    last = [node for node in copy.graph.node if node.op_type in ("Softmax", "Sigmoid") and node.output[0] in given]
    names = dict.fromkeys(node.input[0] for node in last if node.input[0] not in given)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


def _agree(together: Outputs, alone: list[Outputs]) -> bool:
    """Whether each frame gives in a batch what it gives alone, and the two frames do not give the same.

    Rounding differs with the batch, and ranked queries with nearly equal scores may change places: the error is
    measured against the distance between the frames.
    """
    told_apart = False
    for name, value in together.items():
        both = np.concatenate([outputs[name] for outputs in alone]).astype(np.float64)
        if value.shape != both.shape or len(value) != 2:
            return False
        distance = np.abs(both[0] - both[1]).sum()
        if not np.abs(value - both).sum() <= 0.05 * distance:  # NaN fails, too
            return False
        told_apart |= bool(distance > 0)
    return told_apart
