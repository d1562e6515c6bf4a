"""Whether two detectors found the same: their candidates are matched box by box, since equals may change places.

A row of a detector's outputs is a candidate: a box, its score and its label. Rows of the two sides are compatible if
their labels are equal, and scores and boxes differ by no more than the tolerance. Rows whose score is close to the
lowest may have given way to their equals when the best K were chosen, and need no partner. Every other row of either
side needs one, and no two share it. Whether that is possible is decided exactly, as an assignment in a bipartite graph,
however many rows look alike: if both sides score and place every candidate alike to within the tolerance, then pairing
each with itself is such an assignment, so that nothing is refused wrongly. The sides may be assigned one after the
other: if each can be alone, then there is one assignment for both (Mendelsohn and Dulmage 1958).

Shapes: N used rows of a side, M those that need a partner, E pairs of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.errors import ModelError

SMALLEST = 16.0
"""Pixels of the longer side; smaller boxes are compared as if they were as large. A network places a box in units of
its anchor, and what the edge of the picture leaves of a large box is no more exact than the whole of it.
"""
_STEPS = 10  # below 1/1024 of what is allowed, all distances are alike
Outputs: TypeAlias = Mapping[str, NDArray[Any]]
_Floats: TypeAlias = NDArray[np.float64]
_Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far matched rows were apart, at most.

    `score`: difference. `pixels`: difference of a coordinate. `share`: the same ÷ the longer side of the larger box,
    which counts as `SMALLEST` at least. `matched`: how many rows needed a partner, both sides and all frames together;
    if none did, all scores lie within the tolerance of the lowest, and the comparison says nothing.
    """

    score: float = 0.0
    pixels: float = 0.0
    share: float = 0.0
    matched: int = 0

    def joined(self, other: Distance) -> Distance:
        """The larger of each, and the rows of both."""
        return Distance(
            score=max(self.score, other.score),
            pixels=max(self.pixels, other.pixels),
            share=max(self.share, other.share),
            matched=self.matched + other.matched,
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The used rows of one side in one frame; `floor` is the lowest score of all rows, used or not."""

    side: str
    boxes_N4: _Floats
    sizes_N: _Floats
    scores_N: _Floats
    labels_N: _Indices
    floor: float

    def at(self, index: Any) -> _Rows:
        """Some of the rows."""
        boxes_N4, sizes_N, scores_N = self.boxes_N4[index], self.sizes_N[index], self.scores_N[index]
        return _Rows(self.side, boxes_N4, sizes_N, scores_N, self.labels_N[index], self.floor)


def match_boxes(ours: Outputs, theirs: Outputs, tolerance: float, box_tolerance: float | None = None) -> Distance:
    """Compares what a file found (`ours`) with what the network found (`theirs`) in the same frames.

    Args:
        ours, theirs: `boxes` [B, K, 4] xyxy in pixels, `scores` [B, K] from 0 to 1, `labels` int [B, K], -1 where a row
            is unused.
        tolerance: largest difference of scores, above 0.
        box_tolerance: largest difference of a coordinate ÷ the longer side of the box; None: the same number.

    Raises:
        ModelError: shapes differ, a number is not finite, or a row has no partner.
    """
    for name in ("boxes", "scores", "labels"):
        if ours[name].shape != theirs[name].shape:
            shapes = list(ours[name].shape), list(theirs[name].shape)
            raise ModelError(f"the file gives {name} of shape {shapes[0]} where the network gives {shapes[1]}")
    allowed = Distance(score=tolerance, share=tolerance if box_tolerance is None else box_tolerance)
    distance = Distance()
    for frame in range(len(ours["scores"])):
        file, network = _rows("file", ours, frame), _rows("network", theirs, frame)
        distance = distance.joined(_assign(network, file, allowed, frame))
        distance = distance.joined(_assign(file, network, allowed, frame))
    return distance


def _rows(side: str, outputs: Outputs, frame: int) -> _Rows:
    scores_K, labels_K = outputs["scores"][frame].astype(np.float64), outputs["labels"][frame].astype(np.intp)
    used_N = np.flatnonzero(labels_K >= 0)
    used_N = used_N[np.argsort(scores_K[used_N], kind="stable")]  # which speeds up the assignment
    boxes_N4 = outputs["boxes"][frame, used_N].astype(np.float64)
    if not np.isfinite(scores_K).all() or not np.isfinite(boxes_N4).all():
        raise ModelError(f"frame {frame}: the {side} gives boxes or scores that are not finite")
    sizes_N = (boxes_N4[:, 2:] - boxes_N4[:, :2]).max(1, initial=SMALLEST)
    return _Rows(side, boxes_N4, sizes_N, scores_K[used_N], labels_K[used_N], float(scores_K.min(initial=1.0)))


def _assign(rows: _Rows, partners: _Rows, allowed: Distance, frame: int) -> Distance:
    """Finds a partner for each of `rows` that needs one."""
    needy = rows.at(rows.scores_N > partners.floor + allowed.score)
    if not len(needy.labels_N):
        return Distance()
    apart_MN = _compare(needy, partners, allowed)
    choice_M = apart_MN.argmin(1) if partners.labels_N.size else np.zeros(0, np.intp)
    if len(np.unique(choice_M)) < len(apart_MN) or not np.isfinite(apart_MN.min(1)).all():
        choice_M = _share_out(apart_MN)
    if (choice_M < 0).any():
        without_M = ~np.isfinite(apart_MN).any(1)
        left = needy.at(without_M if without_M.any() else choice_M < 0)
        reason = _explain(left.at([left.scores_N.argmax()]), partners, allowed)
        raise ModelError(f"frame {frame}, {reason}")
    score_M, pixels_M, share_M = _apart(needy, partners.at(choice_M))
    return Distance(float(score_M.max()), float(pixels_M.max()), float(share_M.max()), len(choice_M))


def _compare(rows: _Rows, partners: _Rows, allowed: Distance) -> _Floats:
    """[M, N], for compatible rows the part that they use of what is allowed, 0 to 1; infinite for the others."""
    reach = allowed.share * max(rows.sizes_N.max(), partners.sizes_N.max(initial=0))
    labels = (rows.labels_N, partners.labels_N)
    by_score = _Near((rows.scores_N, partners.scores_N), labels, allowed.score)
    by_place = _Near((rows.boxes_N4[:, 0], partners.boxes_N4[:, 0]), labels, reach)
    rows_E, partners_E = min(by_score, by_place, key=lambda near: near.count).pairs()
    score_E, _, share_E = _apart(rows.at(rows_E), partners.at(partners_E))
    apart_E = np.maximum(score_E / allowed.score, share_E / allowed.share)
    apart_MN = np.full((len(rows.labels_N), len(partners.labels_N)), np.inf)
    apart_MN[rows_E, partners_E] = np.where(apart_E <= 1, apart_E, np.inf)
    return apart_MN


def _share_out(apart_MN: _Floats) -> _Indices:
    """A partner for as many rows as can have one, -1 for the others; of all such choices one of the closest.

    Distances count in powers of two: with exact ones, thousands of rows that look alike take minutes.
    """
    fits_MN = np.isfinite(apart_MN)
    steps_MN = np.frexp(np.maximum(apart_MN, 2.0**-_STEPS))[1] + _STEPS
    rows_M, partners_M = linear_sum_assignment(np.where(fits_MN, steps_MN, (_STEPS + 2) * (len(apart_MN) + 1)))
    choice_M = np.full(len(apart_MN), -1)
    choice_M[rows_M] = np.where(fits_MN[rows_M, partners_M], partners_M, -1)
    return choice_M


class _Near:
    """Pairs of a label whose values differ by no more than `reach`: `count` of them, listed only if asked for."""

    def __init__(self, values: tuple[_Floats, _Floats], labels: tuple[_Indices, _Indices], reach: float) -> None:
        apart = 2 * (np.ptp(np.concatenate(values)) + reach)  # between two labels
        key_M, key_N = (each * apart + value for each, value in zip(labels, values, strict=True))
        self._order_N = np.argsort(key_N, kind="stable")
        self._first_M = np.searchsorted(key_N[self._order_N], key_M - reach, "left")
        self._count_M = np.searchsorted(key_N[self._order_N], key_M + reach, "right") - self._first_M
        self.count = int(self._count_M.sum())

    def pairs(self) -> tuple[_Indices, _Indices]:
        rows_E = np.repeat(np.arange(len(self._count_M)), self._count_M)
        before_M = self._first_M - np.cumsum(self._count_M) + self._count_M
        return rows_E, self._order_N[np.arange(self.count) + before_M[rows_E]]


def _apart(one: _Rows, other: _Rows) -> tuple[_Floats, _Floats, _Floats]:
    """How far each row is from the row in its place: in score, in pixels, in shares of the larger box."""
    pixels = np.abs(one.boxes_N4 - other.boxes_N4).max(1, initial=0)
    return np.abs(one.scores_N - other.scores_N), pixels, pixels / np.maximum(one.sizes_N, other.sizes_N)


def _explain(row: _Rows, partners: _Rows, allowed: Distance) -> str:
    """Why `row`, which is one, has no partner."""
    box = ", ".join(f"{value:.1f}" for value in row.boxes_N4[0])
    what = f"box [{box}] of the {row.side}, class {row.labels_N[0]}, score {row.scores_N[0]:.4f}"
    same = partners.at(partners.labels_N == row.labels_N[0])
    if not len(same.labels_N):
        return f"{what}: the {partners.side} has nothing of this class"
    score_N, pixels_N, share_N = _apart(row.at([0] * len(same.labels_N)), same)
    nearest = int(np.maximum(score_N / allowed.score, share_N / allowed.share).argmin())
    if score_N[nearest] <= allowed.score and share_N[nearest] <= allowed.share:
        return f"{what}: the {partners.side} has fewer that are like it"
    pixels = allowed.share * max(row.sizes_N[0], same.sizes_N[nearest])
    return (
        f"{what}: the closest of the {partners.side} is {pixels_N[nearest]:.3g} pixels and {score_N[nearest]:.2g} of "
        f"score away; allowed are {pixels:.2g} and {allowed.score:g}"
    )
