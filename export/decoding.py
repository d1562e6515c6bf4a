"""The vocabulary in which heads are decoded: a draft to which pieces of graph are added.

Names in the graph: `rows` [B, N, 4 + (objectness) + C] is a dense head, boxes as centre and size; `kept` [B, M, …] the
rows that can matter; `box` [B, M, 4] xyxy; `pairs` [B, M, C] the score of each class of each box; `best` [B, M] and
`class` [B, M] one score and class a box. A candidate is a (box, class) pair: the best K pairs all lie among the K boxes
with the highest best class, so that only those are gathered, decoded and ranked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph import Fragment


@dataclass(frozen=True, slots=True)
class Head:
    """A decoded head: the graph, the foreign outputs behind the names that it reads, K, the stride of the network."""

    fragment: Fragment
    wires: Mapping[str, str]
    candidates: int = 0
    stride: int = 32


@dataclass(slots=True)
class Draft:
    """A head in the making: lines of ONNX text, their constants, and the foreign outputs that they read."""

    opset: int
    lines: list[str] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    wires: dict[str, str] = field(default_factory=dict)

    def add(self, text: str, **constants: Any) -> None:
        self.lines.append(text)
        self.constants |= {name: np.asarray(value) for name, value in constants.items()}

    def read(self, name: str, output: str, dtype: np.dtype[Any]) -> None:
        """Lets `name` be the foreign `output`, as float32."""
        if dtype == np.float32:
            self.wires[name] = output
        else:
            self.wires[f"{name}_foreign"] = output
            self.add(f"{name} = Cast <to = 1> ({name}_foreign)")

    def done(self, candidates: int = 0, stride: int = 32) -> Head:
        text = "\n".join(self.lines)
        axes = {name: np.array([int(name[-1])]) for name in re.findall(r"\baxis\d\b", text)}
        return Head(Fragment(text, self.constants | axes), self.wires, candidates, stride)


def keep_best_rows(draft: Draft, *, count: int, wanted: int, objectness: bool, dynamic: bool) -> int:
    """`rows` -> `kept`, the rows with the best classes, and `chosen` [B, M], their indices; returns M.

    Where `dynamic`, the number of rows follows the size of the input: `kept` is then filled up with zeros.
    """
    draft.add(
        "class_scores = Slice (rows, first_class, beyond, axis2)", first_class=[5 if objectness else 4], beyond=[2**31]
    )
    axes = "<axes = [2], keepdims = 1> (class_scores)" if draft.opset < 18 else "<keepdims = 1> (class_scores, axis2)"
    draft.add(f"best_class = ReduceMax {axes}")
    if objectness:
        draft.add("objectness = Slice (rows, box_end, first_class, axis2)", box_end=[4])
        draft.add("best_score = Mul (objectness, best_class)")
    draft.add(f"best = Squeeze ({'best_score' if objectness else 'best_class'}, axis2)")
    if dynamic:
        draft.add(
            """best_shape = Shape (best)
            row_count = Gather (best_shape, axis1)
            rows_kept = Min (row_count, rows_wanted)
            rows_missing = Sub (rows_wanted, rows_kept)
            row_padding = Concat <axis = 0> (no_padding, rows_missing, axis0)""",
            rows_wanted=[wanted],
            no_padding=[0, 0, 0, 0],
        )
    else:
        draft.add("", rows_kept=[min(wanted, count)])
    draft.add(
        f"""best_kept, chosen = TopK <axis = 1> (best, rows_kept)
        chosen_at = Unsqueeze (chosen, axis2)
        {"some" if dynamic else "kept"} = GatherND <batch_dims = 1> (rows, chosen_at)"""
    )
    if dynamic:
        draft.add("kept = Pad (some, row_padding)")
    return wanted if dynamic else min(wanted, count)


def corners(draft: Draft, scale: NDArray[np.float32] | None = None) -> None:
    """`centre` and `size` [B, M, 2] -> `box`, times `scale` (float32 [4])."""
    draft.add(
        f"""half = Mul (size, one_half)
        upper_left = Sub (centre, half)
        lower_right = Add (centre, half)
        {"box" if scale is None else "unit_box"} = Concat <axis = 2> (upper_left, lower_right)""",
        one_half=np.float32(0.5),
    )
    if scale is not None:
        draft.add("box = Mul (unit_box, box_scale)", box_scale=scale)


def rank_pairs(draft: Draft, *, boxes: int, classes: int, wanted: int) -> int:
    """`box` and `pairs` -> the outputs of a detector, the best K pairs; returns K."""
    candidates = min(wanted, boxes * classes)
    draft.add(
        """flat = Reshape (pairs, flat_shape)
        scores, pair = TopK <axis = 1> (flat, candidates)
        row = Div (pair, class_count)
        row_start = Mul (row, class_count)
        label = Sub (pair, row_start)""",
        flat_shape=[0, -1],
        candidates=[candidates],
        class_count=classes,
    )
    _name_outputs(draft)
    return candidates


def rank_rows(draft: Draft, *, wanted: int) -> int:
    """`box`, `best` and `class` (float32 [B, M], M >= `wanted`) -> the outputs of a detector; returns K."""
    draft.add(
        """scores, row = TopK <axis = 1> (best, candidates)
        row_label = Cast <to = 7> (class)
        label = GatherElements <axis = 1> (row_label, row)""",
        candidates=[wanted],
    )
    _name_outputs(draft)
    return wanted


def _name_outputs(draft: Draft) -> None:
    draft.add(
        """row_at = Unsqueeze (row, axis2)
        boxes = GatherND <batch_dims = 1> (box, row_at)
        used = Greater (scores, nothing)
        labels = Where (used, label, unused)""",
        nothing=np.float32(0),
        unused=-1,
    )
