"""Images that are the same, or nearly: by digests, by perceptual hashes, and by their thumbnails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.9
"""Correlation of thumbnails from which on pictures with near hashes count as nearly the same.

Without it, different aeroplanes before a clear sky would, too.
"""

_BITS = 64
_ROWS = 256
_PORTION = 8192

Ints = NDArray[np.intp]


def find_same(digests: Sequence[Hashable]) -> list[list[int]]:
    """Groups of two or more indices whose digests are equal."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        groups[digest].append(index)
    return [group for group in groups.values() if len(group) > 1]


def find_twins(hashes_N: NDArray[np.uint64], thumbs_NTT: NDArray[np.uint8], marks_NM: Ints, distance: int) -> Ints:
    """Pairs of pictures that look nearly the same: hashes at most `distance` bits apart, and thumbnails alike.

    Two pictures are related by the marks in which they differ. Each keeps its nearest twin of each relation, so the
    pairs stay few even where a camera never moved.

    Args:
        hashes_N: uint64 [N], perceptual hashes.
        thumbs_NTT: uint8 [N, T, T], grey, none of one colour only.
        marks_NM: int [N, M], such as the number of the split and that of the class.

    Returns:
        int [P, 2], the smaller index first, sorted; each pair once.
    """
    marks = marks_NM.shape[1]
    nearest_NR = np.full((len(hashes_N), 2**marks), _BITS + 1, np.uint8)
    twin_NR = np.full((len(hashes_N), 2**marks), -1, np.intp)
    for pair_P2 in _near_hashes(hashes_N, distance):
        one_P, other_P = pair_P2.T
        bits_P = np.bitwise_count(hashes_N[one_P] ^ hashes_N[other_P])
        relation_P = (marks_NM[one_P] != marks_NM[other_P]) @ (2 ** np.arange(marks))
        nearer_P = (bits_P[:, None] < nearest_NR[pair_P2, relation_P[:, None]]).any(1)
        pair_P2, bits_P, relation_P = pair_P2[nearer_P], bits_P[nearer_P], relation_P[nearer_P]
        if not len(pair_P2):
            continue
        alike_P = _correlate(*thumbs_NTT[pair_P2.T]) >= ALIKE
        pair_P2, bits_P, relation_P = pair_P2[alike_P], bits_P[alike_P], relation_P[alike_P]
        for of_P, twin_P in (pair_P2.T, pair_P2.T[::-1]):
            better = np.flatnonzero(bits_P < nearest_NR[of_P, relation_P])[::-1]  # the nearest is written last
            nearest_NR[of_P[better], relation_P[better]] = bits_P[better]
            twin_NR[of_P[better], relation_P[better]] = twin_P[better]
    of_P, relation_P = np.nonzero(twin_NR >= 0)
    pairs_P2 = np.sort(np.stack([of_P, twin_NR[of_P, relation_P]], 1), 1)
    return np.unique(pairs_P2, axis=0)


def _near_hashes(hashes_N: NDArray[np.uint64], distance: int) -> Iterator[Ints]:
    """Pairs of indices, int [P, 2], whose hashes differ in at most `distance` bits, in portions, the nearest first.

    Of `distance` + 1 bands of bits, two such hashes have at least one in common: only within equal bands is compared,
    and a pair belongs to the first one.
    """
    bands = distance + 1
    masks = [np.uint64(sum(1 << bit for bit in range(band, _BITS, bands))) for band in range(bands)]
    for band, mask in enumerate(masks):
        keys_N = hashes_N & mask
        order_N = np.argsort(keys_N, kind="stable")
        edges = [0, *(np.flatnonzero(np.diff(keys_N[order_N])) + 1), len(order_N)]
        for first, last in pairwise(edges):
            for start in range(first, last - 1, _ROWS):
                rows, columns = order_N[start : min(start + _ROWS, last)], order_N[start:last]
                apart = hashes_N[rows, None] ^ hashes_N[columns]
                bits = np.bitwise_count(apart)
                row_P, column_P = np.nonzero(np.triu(bits <= distance, 1))
                for earlier in masks[:band]:
                    new_P = (apart[row_P, column_P] & earlier) != 0
                    row_P, column_P = row_P[new_P], column_P[new_P]
                order_P = np.argsort(bits[row_P, column_P], kind="stable")
                pairs_P2 = np.stack([rows[row_P], columns[column_P]], 1)[order_P]
                for portion in range(0, len(pairs_P2), _PORTION):
                    yield pairs_P2[portion : portion + _PORTION]


def _correlate(one_PTT: NDArray[np.uint8], other_PTT: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 [P], -1..1: how alike the patterns of grey are, whatever their brightness and contrast."""
    one, other = (each.reshape(len(each), -1).astype(np.float32) for each in (one_PTT, other_PTT))
    one -= one.mean(1, keepdims=True)
    other -= other.mean(1, keepdims=True)
    products: NDArray[np.float32] = (one * other).sum(1)
    return products / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
