"""The heads of classifiers, of DETR and its kin, and of detectors that have suppressed overlaps themselves.

Builders raise `MisfitError` where the outputs are not those of the family, `ContractError` where the labels do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.decoding import Head, corners, rank_pairs, rank_rows
from export.facts import Facts, MisfitError
from export.options import Activation
from pipeline.errors import ContractError

NMS_CANDIDATES = 300
_PASSED_ON = ("Reshape", "Flatten", "Squeeze", "Identity", "Cast")
_NOT_PIXELS = 2.0  # boxes whose coordinates all stay below this are on a scale of 0 to 1


def classifier(facts: Facts) -> Head:
    """[B, C] or [B, C, 1, 1], logits or probabilities."""
    fitting = {
        name: value.shape[1]
        for name, value in facts.outputs.items()
        if value.ndim >= 2 and value.shape[0] == 1 and value.size == value.shape[1]
    }
    named = [name for name, classes in fitting.items() if classes == facts.labels]
    if not fitting or (len(fitting) > 1 and len(named) != 1):
        raise MisfitError(f"{len(fitting) or 'no'} outputs have the shape [B, C]")
    name = named[0] if named else next(iter(fitting))
    facts.require_labels(fitting[name])
    draft = facts.draft(classes=name)
    draft.add("flat = Reshape (classes, flat_shape)", flat_shape=[0, -1])
    activation = facts.activation or ("none" if _are_probabilities(facts, name) else "softmax")
    draft.add(f"scores = {_activate(activation, 'flat', axis=1)}")
    return draft.done()


def detr(facts: Facts) -> Head:
    """[B, Q, 4] as cxcywh of 0 to 1 with [B, Q, C]; or both in one; or [B, Q, 6] with score and class."""
    scale = np.array([facts.width, facts.height] * 2, np.float32)
    whole = {name: value for name, value in facts.outputs.items() if value.ndim == 3}
    if len(whole) == 1:
        ((name, value),) = whole.items()
        if any(map(facts.is_dense, value.shape[1:])):
            raise MisfitError("it has a row for each grid cell")
        if value.shape[2] < 5 or not 0 < np.abs(value[..., :4]).max(initial=0) <= _NOT_PIXELS:
            raise MisfitError("its boxes do not lie between 0 and 1")
        if value.shape[2] == 6 and (value[..., 5] == value[..., 5].round()).all():
            return _listed(facts, name, scale)
        facts.require_labels(value.shape[2] - 4)
        draft = facts.draft(rows=name)
        draft.add("centre, size, logits = Split <axis = 2> (rows, row_parts)", row_parts=[2, 2, facts.labels])
        activation = facts.activation or ("none" if _are_scores(value[..., 4:]) else "sigmoid")
        queries, classes = value.shape[1], facts.labels
    else:
        boxes, logits = _boxes_and_logits(whole, facts.labels)
        queries, classes = whole[logits].shape[1:]
        if classes != facts.labels + 1:
            facts.require_labels(classes)
        draft = facts.draft(rows=boxes, logits=logits)
        draft.add("centre, size = Split <axis = 2> (rows, row_parts)", row_parts=[2, 2])
        softmax = classes == facts.labels + 1 and "dets" not in boxes
        activation = facts.activation or ("softmax" if softmax else "sigmoid")
    draft.add(f"every_class = {_activate(activation, 'logits', axis=2)}")
    draft.add("pairs = Slice (every_class, axis0, named, axis2)", named=[facts.labels])
    corners(draft, scale)
    wanted = facts.candidates or queries
    return draft.done(rank_pairs(draft, boxes=queries, classes=facts.labels, wanted=wanted))


def nms(facts: Facts) -> Head:
    """[B, N, 6] or [N, 6]: x1, y1, x2, y2 in pixels, score, class."""
    name = facts.only(2, 3)
    value = facts.outputs[name]
    if value.shape[-1] != 6 or facts.is_dense(value.shape[-2]):
        raise MisfitError("it has no rows of 6 columns")
    used = value[value[..., 4] > 0]
    if len(used) and np.abs(used[:, :4]).max() <= _NOT_PIXELS:
        raise MisfitError("its boxes lie between 0 and 1, not in pixels")
    if len(used) and used[:, 5].max() >= facts.labels:
        raise ContractError(f"the model gives class {used[:, 5].max():.0f}, but {facts.labels} labels were given")
    return _listed(facts, name, None)


def _listed(facts: Facts, name: str, scale: NDArray[np.float32] | None) -> Head:
    """Rows of box, score, class: xyxy in pixels, or centre and size times `scale`."""
    wanted = facts.candidates or (NMS_CANDIDATES if facts.outputs[name].ndim == 2 else facts.outputs[name].shape[1])
    draft = facts.draft(found=name)
    if facts.outputs[name].ndim == 2:
        draft.add("found_3d = Unsqueeze (found, axis0)")
    rows = "found_3d" if facts.outputs[name].ndim == 2 else "found"
    draft.add(f"padded = Pad ({rows}, found_padding)", found_padding=[0, 0, 0, 0, wanted, 0])
    names, parts = ("box", [4, 1, 1]) if scale is None else ("centre, size", [2, 2, 1, 1])
    draft.add(f"{names}, best_3d, class_3d = Split <axis = 2> (padded, found_parts)", found_parts=parts)
    draft.add("best = Squeeze (best_3d, axis2)\nclass = Squeeze (class_3d, axis2)")
    if scale is not None:
        corners(draft, scale)
    return draft.done(rank_rows(draft, wanted=wanted))


def _boxes_and_logits(outputs: Mapping[str, NDArray[Any]], labels: int) -> tuple[str, str]:
    boxes = [name for name, value in outputs.items() if value.shape[2] == 4]
    if len(boxes) > 1:  # three classes and one for nothing make four columns, too
        boxes = [name for name in boxes if "box" in name or "dets" in name]
    if len(boxes) != 1:
        raise MisfitError(f"{len(boxes) or 'no'} outputs have the shape [B, Q, 4]")
    others = {n: v.shape[2] for n, v in outputs.items() if n != boxes[0] and v.shape[1] == outputs[boxes[0]].shape[1]}
    fitting = [name for name, classes in others.items() if classes in (labels, labels + 1)]
    if not others or (len(others) > 1 and len(fitting) != 1):
        raise MisfitError(f"{len(others) or 'no'} outputs have the shape [B, Q, C]")
    return boxes[0], fitting[0] if fitting else next(iter(others))


def _activate(activation: Activation, name: str, axis: int) -> str:
    calls = {"softmax": f"Softmax <axis = {axis}>", "sigmoid": "Sigmoid", "none": "Identity"}
    return f"{calls[activation]} ({name})"


def _are_scores(values: NDArray[Any]) -> bool:
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) <= 1)


def _are_probabilities(facts: Facts, name: str) -> bool:
    """Whether the output comes from a softmax or sigmoid, or is positive and sums to one."""
    producers = {output: node for node in facts.graph.node for output in node.output}
    node = producers.get(name)
    while node is not None and node.op_type in _PASSED_ON:
        node = producers.get(node.input[0])
    if node is not None and node.op_type in ("Softmax", "Sigmoid"):
        return True
    values = facts.outputs[name]
    return _are_scores(values) and bool(abs(float(values.sum()) - 1) < 1e-2)
