"""Frozen and plain pictures, by a clock that the tests move."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sources.watchdog import Watchdog

CHANCE = np.random.default_rng(1)
SCENE = CHANCE.integers(0, 256, (90, 160, 3)).astype(np.float32)


def noisy(picture: np.ndarray, noise: float) -> np.ndarray:
    return (picture + CHANCE.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)


def look(watchdog: Watchdog, picture: np.ndarray, start: float, seconds: float, noise: float = 0) -> list[str | None]:
    return [watchdog.look(noisy(picture, noise), start + number / 10) for number in range(round(10 * seconds) + 1)]


def test_a_picture_that_does_not_change_is_noticed_and_one_that_does_again_too() -> None:
    watchdog = Watchdog(frozen=30, plain=10)
    assert set(look(watchdog, SCENE, 0, 29.8)) == {None}
    assert look(watchdog, SCENE, 30, 1)[-1] == "the picture has not changed for more than 30 s"
    assert look(watchdog, np.roll(SCENE, 5, 1), 31.5, 1)[-1] is None


def test_noise_alone_shows_that_a_still_scene_lives() -> None:
    assert set(look(Watchdog(frozen=2, plain=2), SCENE, 0, 6, noise=1)) == {None}


def test_a_slow_change_is_a_change() -> None:
    watchdog = Watchdog(frozen=3, plain=0)
    assert {watchdog.look(np.full((9, 16, 3), 50 + now // 2, np.uint8), now) for now in range(40)} == {None}


@pytest.mark.parametrize(("level", "words"), [(4, "black"), (200, "of one colour")])
def test_a_plain_picture_is_noticed_though_it_has_noise(level: int, words: str) -> None:
    watchdog, plain = Watchdog(frozen=30, plain=10), np.full((90, 160, 3), float(level))
    assert set(look(watchdog, plain, 0, 9.8, noise=1)) == {None}
    assert look(watchdog, plain, 10, 1, noise=1)[-1] == f"the picture has been {words} for more than 10 s"
    assert look(watchdog, SCENE, 11.5, 1)[-1] is None


def test_zero_turns_it_off() -> None:
    assert set(look(Watchdog(frozen=0, plain=0), np.zeros((9, 16, 3)), 0, 100)) == {None}


def test_pictures_of_another_size_are_others() -> None:
    watchdog = Watchdog(frozen=2, plain=0)
    assert {watchdog.look(SCENE[: 80 + number % 2].astype(np.uint8), float(number)) for number in range(20)} == {None}
