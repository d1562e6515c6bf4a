from __future__ import annotations

import numpy as np
import pytest

from training.duplicates import find_same, find_twins

RNG = np.random.default_rng(0)


def make(count: int, bits: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes; the second half are those of the first half with up to `bits` bits turned, with their pictures."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, count, np.uint64)
    turned = np.array([sum(1 << int(b) for b in rng.choice(64, rng.integers(0, bits + 1), False)) for _ in hashes])
    thumbs = rng.integers(0, 256, (count, 16, 16), np.uint8)
    return np.concatenate([hashes, hashes ^ turned.astype(np.uint64)]), np.concatenate([thumbs, thumbs])


@pytest.mark.parametrize("distance", [1, 4, 8, 16])
def test_every_twin_within_the_distance_is_found_and_no_other(distance: int) -> None:
    hashes, thumbs = make(400, distance + 3, seed=distance)
    marks = np.zeros((800, 1), np.intp)
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= distance
    expected = [[i, i + 400] for i in range(400) if near[i, i + 400]]
    assert 0 < len(expected) < 400
    assert find_twins(hashes, thumbs, marks, distance).tolist() == expected


def test_near_hashes_of_other_pictures_are_no_twins() -> None:
    hashes, thumbs = make(50, 2)
    thumbs[50:] = RNG.integers(0, 256, (50, 16, 16))
    assert len(find_twins(hashes, thumbs, np.zeros((100, 1), np.intp), 4)) == 0


def test_brightness_and_contrast_do_not_matter() -> None:
    hashes, thumbs = make(50, 2)
    thumbs[50:] = thumbs[50:] // 3 + 40
    assert len(find_twins(hashes, thumbs, np.zeros((100, 1), np.intp), 4)) == 50


def test_the_nearest_twin_of_each_relation_is_kept() -> None:
    thumb = RNG.integers(0, 256, (16, 16), np.uint8)
    hashes = np.array([0b0, 0b1, 0b11, 0b111, 0b1111], np.uint64)
    split, label = [0, 0, 0, 1, 1], [0, 0, 1, 0, 0]
    pairs = find_twins(hashes, np.stack([thumb] * 5), np.stack([split, label], 1), 8).tolist()
    assert [0, 1] in pairs  # the same split and label
    assert [1, 2] in pairs  # another label
    assert [1, 3] in pairs  # another split; [0, 4] is farther for both
    assert [2, 3] in pairs  # both other
    assert [0, 4] not in pairs


def test_a_camera_that_never_moved_gives_few_pairs() -> None:
    count = 3000
    thumbs = np.repeat(RNG.integers(0, 256, (1, 16, 16), np.uint8), count, 0)
    hashes = np.uint64(1) << RNG.integers(0, 64, count).astype(np.uint64)
    marks = RNG.integers(0, 2, (count, 1))
    assert len(find_twins(hashes, thumbs, marks, 8)) <= 2 * count


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_has_no_twins(count: int) -> None:
    shape = (count, 16, 16)
    assert find_twins(
        np.zeros(count, np.uint64), np.zeros(shape, np.uint8), np.zeros((count, 2), np.intp), 8
    ).shape == (0, 2)


def test_the_same_is_found_by_digest() -> None:
    assert find_same([b"a", b"b", b"a", b"c", b"b", b"a"]) == [[0, 2, 5], [1, 4]]
