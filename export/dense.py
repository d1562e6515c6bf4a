"""The heads of the YOLO families: a row for each grid cell or anchor, overlapping boxes not yet suppressed."""

from __future__ import annotations

import numpy as np

from export.decoding import Draft, Head, corners, keep_best_rows, rank_pairs
from export.facts import STRIDES, Facts, MisfitError

CANDIDATES = 2000
"""On COCO images 2000 (box, class) pairs a frame lose no mAP, 1000 lose 0.00007; docs/adopting.md has the figures."""


def yolox(facts: Facts) -> Head:
    """[B, N, 5 + C], N the grid cells at strides 8, 16, 32 (and 64); raw, or decoded where the graph has an Exp."""
    name = facts.only(3)
    _, count, columns = facts.outputs[name].shape
    strides = next((strides for strides in STRIDES if facts.cells(strides) == count), None)
    if strides is None or columns < 6:
        raise MisfitError(f"an input of {facts.height}x{facts.width} has {facts.cells(STRIDES[0])} cells")
    facts.require_labels(columns - 5)
    draft = facts.draft(rows=name)
    if any(node.op_type == "Exp" for node in facts.graph.node):
        return _dense(facts, draft, count, objectness=True)
    parts = []
    for stride in strides:
        y, x = np.mgrid[: facts.height // stride, : facts.width // stride]
        parts.append(np.stack([x, y, np.full_like(x, stride)], axis=-1).reshape(-1, 3))
    cells = np.concatenate(parts).astype(np.float32)
    decode = """cell = Gather (cells, chosen)
        cell_xy, stride = Split <axis = 2> (cell, cell_parts)
        grid_xy = Add (raw_centre, cell_xy)
        centre = Mul (grid_xy, stride)
        grid_size = Exp (raw_size)
        size = Mul (grid_size, stride)"""
    draft.constants |= {"cells": cells, "cell_parts": np.array([2, 1])}
    return _dense(facts, draft, count, objectness=True, raw="raw_", decode=decode)


def yolov5(facts: Facts) -> Head:
    """[B, N, 5 + C], decoded to pixels."""
    name = facts.only(3)
    _, count, columns = facts.outputs[name].shape
    usual = [3 * facts.cells(strides) for strides in STRIDES]
    if columns < 6 or count < columns or count in map(facts.cells, STRIDES) or (columns == 6 and count not in usual):
        raise MisfitError("it has no rows of 5 + C columns, three a grid cell")
    facts.require_labels(columns - 5)
    stride = 64 if count == usual[1] else 32
    return _dense(facts, facts.draft(rows=name), count, objectness=True, stride=stride)


def yolov8(facts: Facts) -> Head:
    """[B, 4 + C, N], decoded to pixels."""
    name = facts.only(3)
    _, columns, count = facts.outputs[name].shape
    if columns < 5 or count < columns:
        raise MisfitError("it has no 4 + C rows of N columns")
    facts.require_labels(columns - 4)
    draft = facts.draft(columns=name)
    draft.add("rows = Transpose <perm = [0, 2, 1]> (columns)")
    stride = 64 if count == facts.cells(STRIDES[1]) else 32
    return _dense(facts, draft, count, objectness=False, stride=stride)


def _dense(
    facts: Facts, draft: Draft, count: int, *, objectness: bool, raw: str = "", decode: str = "", stride: int = 32
) -> Head:
    wanted = facts.candidates or CANDIDATES
    boxes = keep_best_rows(draft, count=count, wanted=wanted, objectness=objectness, dynamic=facts.dynamic)
    names = f"{raw}centre, {raw}size, {'kept_objectness, kept_classes' if objectness else 'pairs'}"
    parts = [2, 2, 1, facts.labels] if objectness else [2, 2, facts.labels]
    draft.add(f"{names} = Split <axis = 2> (kept, kept_parts)", kept_parts=parts)
    if objectness:
        draft.add("pairs = Mul (kept_objectness, kept_classes)")
    draft.add(decode)
    corners(draft)
    return draft.done(rank_pairs(draft, boxes=boxes, classes=facts.labels, wanted=wanted), stride)
