"""Whether a graph keeps the contract that its file carries."""

from __future__ import annotations

from pathlib import Path

from pipeline.contract import INPUT_NAME, ModelContract
from pipeline.errors import ContractError
from pipeline.session import Session

_OUTPUTS: dict[str, dict[str, tuple[str, int]]] = {
    "classify": {"scores": ("tensor(float)", 2)},
    "detect": {"boxes": ("tensor(float)", 3), "scores": ("tensor(float)", 2), "labels": ("tensor(int64)", 2)},
}


def check_graph(session: Session, contract: ModelContract, path: Path) -> None:
    """The contract must hold for what the graph says of itself; what it leaves open cannot be checked.

    Raises:
        ContractError: it does not.
    """
    inputs = {value.name: value for value in session.get_inputs()}
    frames = inputs.get(INPUT_NAME)
    if len(inputs) != 1 or frames is None or frames.type != "tensor(uint8)" or len(frames.shape) != 4:
        raise _broken(path, "its only input has to be frames, uint8 [B, H, W, 3]")
    free = contract.input.dynamic or contract.resize.rule == "graph"
    height, width = (None, None) if free else (contract.input.height, contract.input.width)
    for axis, wanted in enumerate((contract.input.batch, height, width, 3)):
        size = frames.shape[axis]
        if isinstance(size, int) and size != wanted:
            what = f"its input is {frames.shape}, but {wanted or 'any size'} is promised for axis {axis}"
            raise _broken(path, what)
    outputs = {value.name: value for value in session.get_outputs()}
    for name, (type_, rank) in _OUTPUTS[contract.task].items():
        value = outputs.get(name)
        if value is None or value.type != type_ or len(value.shape) != rank:
            raise _broken(path, f"it has no output {name}, {type_} of rank {rank}")
    classes = outputs["scores"].shape[1]
    if contract.task == "classify" and isinstance(classes, int) and classes != len(contract.labels):
        raise _broken(path, f"{classes} classes, but {len(contract.labels)} labels")


def _broken(path: Path, how: str) -> ContractError:
    return ContractError(f"{path} does not keep its contract: {how}; adopt or export it again")
