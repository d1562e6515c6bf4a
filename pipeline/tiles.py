"""Looks at a frame in overlapping tiles, too, so that small objects become large enough to be found: pure functions.

The idea is that of SAHI (Akyon et al. 2022, arXiv:2202.06934). A view is the whole frame or one of its tiles; there are
V of them. What several views found of one object is made one again; what one view found stays as the model left it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Detections

_OVERLAP = 0.2  # of a tile's side: what is smaller lies whole in one of the tiles
_EDGE = 0.02  # of a tile's longer side: a box that ends as close to an edge inside the frame may be cut off by it
_SAME_OBJECT = 0.5  # the overlap, between 0 and 1, above which two boxes show one object
_AT_ONCE = 256  # boxes that are compared with all: numbers take much more room than the yes or no that stays of them


def plan_views(height: int, width: int, columns: int, rows: int) -> NDArray[np.int64]:
    """The whole frame, then its tiles, row by row: int64 [V, 4], xyxy in pixels of the frame.

    The tiles have one size. Each has a fifth of its side in common with the next, or a pixel less.
    """
    tiles = [(x1, y1, x2, y2) for y1, y2 in _divide(height, rows) for x1, x2 in _divide(width, columns)]
    return np.array([(0, 0, width, height), *tiles], np.int64)


def _divide(pixels: int, parts: int) -> list[tuple[int, int]]:
    size = math.ceil(pixels / (parts - (parts - 1) * _OVERLAP))
    starts = np.linspace(0, pixels - size, parts).astype(int)
    return [(start, start + size) for start in starts.tolist()]


def join_hidden(views_V4: NDArray[np.int64], hidden: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Every box to hide of every view, float32 [N, 4] in pixels of the view, in pixels of the frame."""
    origins_V4 = np.tile(views_V4[:, :2], 2).astype(np.float32)
    return np.concatenate([boxes_N4 + origin_4 for boxes_N4, origin_4 in zip(hidden, origins_V4, strict=True)])


def join_objects(
    views_V4: NDArray[np.int64], found: Sequence[Detections], thresholds_C: NDArray[np.float32]
) -> Detections:
    """The objects of the frame, best first, from what each view found, in pixels of the view.

    Boxes of one class and different views that overlap enough are one object. Its box is the best of those that no tile
    cut off; if all are cut off, it surrounds them. Its score is the highest. A piece in the whole box of another class
    is left out if that box reaches its threshold (float32 [C]): networks often take pieces for something else.
    """
    view_N = np.repeat(np.arange(len(found)), [len(each) for each in found])
    boxes_N4 = join_hidden(views_V4, [each.boxes_N4 for each in found])
    labels_N = np.concatenate([each.labels_N for each in found])
    scores_N = np.concatenate([each.scores_N for each in found])
    views_N4 = views_V4[view_N].astype(np.float32)
    cut_N = _find_cut(boxes_N4, views_N4, views_V4[0])
    near_NN = _find_near(boxes_N4, views_N4, cut_N)
    near_NN &= view_N[:, None] != view_N
    same_NN = near_NN & (labels_N[:, None] == labels_N)
    shown_N = ~cut_N & (scores_N >= thresholds_C[labels_N])
    free_N = ~cut_N | same_NN[~cut_N].any(0) | ~near_NN[shown_N].any(0)
    rows = []
    for row, group_N in _group(same_NN, cut_N, scores_N, free_N):
        if cut_N[row]:
            boxes_N4[row] = [*boxes_N4[group_N, :2].min(0), *boxes_N4[group_N, 2:].max(0)]
        scores_N[row] = scores_N[group_N].max()
        rows.append(row)
    best_N = np.array(rows, np.intp)[np.argsort(-scores_N[rows], kind="stable")]
    return Detections(boxes_N4[best_N], labels_N[best_N], scores_N[best_N], found[0].names)


def _find_cut(
    boxes_N4: NDArray[np.float32], views_N4: NDArray[np.float32], frame_4: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which boxes end at an edge of their view that lies inside the frame: bool [N]."""
    near_N1 = _EDGE * (views_N4[:, 2:] - views_N4[:, :2]).max(1, keepdims=True)
    return ((views_N4 != frame_4) & (abs(boxes_N4 - views_N4) <= near_N1)).any(1)  # type: ignore[no-any-return]


def _find_near(
    boxes_N4: NDArray[np.float32], views_N4: NDArray[np.float32], cut_N: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which boxes agree well enough to show one object: bool [N, N]."""
    near_NN = np.empty((len(cut_N), len(cut_N)), np.bool_)
    for start in range(0, len(cut_N), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        near_NN[rows] = _overlap(boxes_N4, views_N4, cut_N, rows) > _SAME_OBJECT
    return near_NN


def _overlap(
    boxes_N4: NDArray[np.float32], views_N4: NDArray[np.float32], cut_N: NDArray[np.bool_], rows: slice
) -> NDArray[np.float32]:
    """How far each of the boxes `rows` agrees with every box: float32 [R, N], 0 to 1.

    The intersection over union of what their views both see of them. Of a box that is cut off and one that is not: the
    part of the former that lies in the latter, since a network often takes a piece for smaller than it is.
    """
    shared_RN = _shared_area(boxes_N4[rows], boxes_N4)
    seen_RN, seen_NR = _shared_area(boxes_N4[rows], views_N4), _shared_area(boxes_N4, views_N4[rows])
    sides_N2 = np.minimum(boxes_N4[:, 2:], views_N4[:, 2:]) - np.maximum(boxes_N4[:, :2], views_N4[:, :2])
    area_N = sides_N2.clip(0).prod(1)
    piece_RN = np.where(cut_N, area_N, area_N[rows, None])
    whole_RN = np.where(cut_N[rows, None] == cut_N, seen_RN + seen_NR.T - shared_RN, piece_RN)
    return shared_RN / whole_RN.clip(np.finfo(np.float32).tiny)  # type: ignore[no-any-return]


def _shared_area(a_N4: NDArray[np.float32], b_N4: NDArray[np.float32]) -> NDArray[np.float32]:
    width_NN = np.minimum(a_N4[:, None, 2], b_N4[:, 2]) - np.maximum(a_N4[:, None, 0], b_N4[:, 0])
    height_NN = np.minimum(a_N4[:, None, 3], b_N4[:, 3]) - np.maximum(a_N4[:, None, 1], b_N4[:, 1])
    return width_NN.clip(0) * height_NN.clip(0)  # type: ignore[no-any-return]


def _group(
    same_NN: NDArray[np.bool_], cut_N: NDArray[np.bool_], scores_N: NDArray[np.float32], free_N: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The best row of each object, and which of the rows `free_N` show it (bool [N])."""
    np.fill_diagonal(same_NN, True)
    for row in np.lexsort((-scores_N, cut_N)).tolist():
        if not free_N[row]:
            continue
        group_N = new_N = same_NN[row] & free_N
        while (pieces_N := new_N & cut_N).any():  # each brings along those of its neighbours
            new_N = same_NN[pieces_N].any(0) & cut_N & free_N & ~group_N
            group_N = group_N | new_N
        free_N = free_N & ~group_N
        yield row, group_N
