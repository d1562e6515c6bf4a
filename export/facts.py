"""What is known of a foreign network when its head is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from export.decoding import Draft
from export.options import Activation
from pipeline.errors import ContractError

STRIDES = ((8, 16, 32), (8, 16, 32, 64))


class MisfitError(ContractError):
    """The outputs are not those of the family; the message says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a network when its head is built.

    Args:
        outputs: what it gave for one frame.
        graph: its nodes.
        opset: the version of its standard operators.
        height, width, dynamic: of its input; where dynamic, the number of boxes follows the size.
        labels: how many labels were given.
        activation, candidates: as in `Options`.
    """

    outputs: Mapping[str, NDArray[Any]]
    graph: onnx.GraphProto
    opset: int
    height: int
    width: int
    dynamic: bool
    labels: int
    activation: Activation | None = None
    candidates: int | None = None

    def draft(self, **reads: str) -> Draft:
        """An empty draft that reads foreign outputs under other names."""
        draft = Draft(self.opset)
        for name, output in reads.items():
            draft.read(name, output, self.outputs[output].dtype)
        return draft

    def only(self, *ranks: int) -> str:
        """The name of the only output with so many dimensions."""
        names = [name for name, value in self.outputs.items() if value.ndim in ranks]
        if len(names) != 1:
            wanted = " or ".join(map(str, ranks))
            raise MisfitError(f"{len(names) or 'no'} outputs have {wanted} dimensions")
        return names[0]

    def require_labels(self, classes: int) -> None:
        if classes != self.labels:
            background = " (is one of them a background class? name it, too)" if classes == self.labels + 1 else ""
            raise ContractError(f"the model has {classes} classes{background}, but {self.labels} labels were given")

    def cells(self, strides: tuple[int, ...]) -> int:
        """How many grid cells the input has, at all strides together."""
        return sum((self.height // stride) * (self.width // stride) for stride in strides)

    def is_dense(self, count: int) -> bool:
        """Whether so many rows are one, or three, for each grid cell."""
        return any(count == anchors * self.cells(strides) for strides in STRIDES for anchors in (1, 3))
