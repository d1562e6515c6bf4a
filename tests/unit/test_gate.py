from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gate import LONGEST_STILL, LONGEST_TRACKED, MOTION, Gate, Repeater
from pipeline.track import LOST_AFTER
from pipeline.types import Classification, Frame, Image, Look, Recognised

RATE = 25.0
NAMES = ("blue", "green", "red")


def street(seed: int = 0, height: int = 360, width: int = 640) -> Image:
    """A picture with structure of all sizes."""
    coarse = np.random.default_rng(seed).integers(40, 216, (9, 16, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def with_thing(image: Image, x: int, y: int = 200, side: int = 24) -> Image:
    image = image.copy()
    image[y : y + side, x : x + side] = (250, 250, 20)
    return image


def looks(gate: Gate, images: Sequence[Image], rate: float = RATE, start: int = 0) -> list[Look | None]:
    frames = [Frame(image, "clip.mp4", n, n / rate) for n, image in enumerate(images, start)]
    return [gate(frame).look for frame in frames]


STREET = street()


# Every n-th frame


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_one_frame_in_so_many_is_looked_at_from_the_first_on(every: int) -> None:
    assert looks(Gate(every), [STREET] * 20) == ["ahead" if n % every else "anew" for n in range(20)]


def test_nothing_else_of_a_frame_changes() -> None:
    gate = Gate(2)
    for frame in (Frame(STREET, "clip.mp4", n, n / 25, 3) for n in range(2)):
        passed = gate(frame)
        assert passed.image is frame.image
        for name in ("source", "index", "pts", "stream", "born"):
            assert getattr(passed, name) == getattr(frame, name)


def test_each_source_counts_for_itself() -> None:
    gate = Gate(2)
    frames = [Frame(STREET, "", n // 2, n / 50, n % 2) for n in range(8)]
    assert [gate(frame).look for frame in frames] == ["anew", "anew", "ahead", "ahead"] * 2


@pytest.mark.parametrize("motion", [None, 1.0])
def test_a_picture_of_another_size_is_looked_at(motion: float | None) -> None:
    seen = looks(Gate(9, motion), [STREET, STREET, street(height=180, width=320), street(height=180, width=320)])
    assert seen[::2] == ["anew", "anew"]
    assert "anew" not in seen[1::2]


def test_a_frame_from_before_the_last_look_is_looked_at() -> None:
    gate = Gate(9)
    assert [gate(Frame(STREET, "", 0, pts)).look for pts in (5.0, 5.1, 4.0, 4.1)] == ["anew", "ahead"] * 2


def test_a_frame_without_a_time_is_a_fault() -> None:
    with pytest.raises(ValueError, match="known time"):
        Gate(2)(Frame(STREET, "a.png", 0, None))


@pytest.mark.parametrize("motion", [None, MOTION])
@pytest.mark.parametrize("rate", [1, 5, 10, 30, 120])
def test_tracked_objects_are_looked_at_so_often_that_one_look_may_miss_them(rate: int, motion: float | None) -> None:
    seen = looks(Gate(1000, motion, track=True), [STREET] * 4 * rate, rate)
    at = [n / rate for n, look in enumerate(seen) if look == "anew"]
    assert np.diff(at) == pytest.approx(np.ceil(LONGEST_TRACKED * rate) / rate)
    assert 2 * np.diff(at).max() <= LOST_AFTER or rate < 10


def test_without_tracks_no_look_comes_before_its_turn() -> None:
    assert looks(Gate(200), [STREET] * 200, rate=1) == ["anew"] + ["ahead"] * 199


# Motion


def test_nothing_is_looked_at_twice_until_a_while_is_over() -> None:
    seen = looks(Gate(motion=MOTION), [STREET] * 120)
    assert set(seen) == {"anew", "same"}
    assert [n / RATE for n, look in enumerate(seen) if look == "anew"] == [0.0, LONGEST_STILL, 2 * LONGEST_STILL]


def test_a_small_thing_that_moves_is_looked_at_and_no_more_when_it_stands() -> None:
    moving = [with_thing(STREET, 100 + 10 * n) for n in range(5)]
    assert looks(Gate(motion=MOTION), [STREET, *moving, *moving[-1:] * 5]) == ["anew"] * 6 + ["same"] * 5


@pytest.mark.parametrize(("levels", "side", "seen"), [(60, 24, True), (30, 32, True), (20, 40, True), (60, 16, False)])
def test_what_differs_less_has_to_be_larger(levels: int, side: int, seen: bool) -> None:
    """As docs/speed.md tells: squares on a plain picture, wherever they are."""
    before = np.full((720, 1280, 3), 100, np.uint8)
    for number in range(20):
        gate, after = Gate(motion=MOTION), before.copy()
        y, x = 31 * number, 57 * number
        after[y : y + side, x : x + side] += np.uint8(levels)
        assert looks(gate, [before, after])[1] == ("anew" if seen else "same")


def test_what_creeps_is_looked_at_once_it_has_moved() -> None:
    seen = looks(Gate(motion=MOTION), [with_thing(STREET, 100 + n) for n in range(40)])
    assert 4 < seen.count("anew") < 30


@pytest.mark.parametrize("noise", [2.0, 5.0])
def test_noise_and_the_flicker_of_an_encoder_are_no_motion(noise: float) -> None:
    random = np.random.default_rng(1)
    images = [
        (STREET + random.normal(2 * (n % 2), noise, STREET.shape)).clip(0, 255).astype(np.uint8) for n in range(12)
    ]
    assert looks(Gate(motion=MOTION), images) == ["anew"] + ["same"] * 11


@pytest.mark.parametrize(("motion", "look"), [(0.0, "anew"), (1.0, "same")])
def test_the_threshold_reaches_from_always_to_never(motion: float, look: Look) -> None:
    images = [STREET, STREET, STREET] if motion == 0 else [street(n) for n in range(3)]
    assert looks(Gate(motion=motion), images) == ["anew", look, look]


@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (50, 50)])
def test_pictures_of_any_size_can_be_compared(shape: tuple[int, int]) -> None:
    black, white = np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 255, np.uint8)
    assert looks(Gate(motion=MOTION), [black, black, white, white]) == ["anew", "same"] * 2


# Both


def test_what_moves_is_looked_at_every_so_often() -> None:
    moving = [with_thing(STREET, 100 + 10 * n) for n in range(7)]
    assert looks(Gate(3, MOTION), moving) == ["anew", "ahead", "ahead", "anew", "ahead", "ahead", "anew"]


def test_motion_after_a_rest_is_looked_at_at_once() -> None:
    moving = [with_thing(STREET, 100 + 10 * n) for n in range(2)]
    assert looks(Gate(3, MOTION), [STREET] * 5 + moving) == ["anew"] + ["same"] * 4 + ["anew", "ahead"]


def test_another_scene_is_looked_at_at_once() -> None:
    other = 255 - STREET
    assert looks(Gate(9, MOTION), [STREET, with_thing(STREET, 100), other, other]) == ["anew", "ahead", "anew", "same"]


@settings(max_examples=50, deadline=None)
@given(
    every=st.integers(1, 6),
    motion=st.sampled_from([None, 0.0, MOTION, 1.0]),
    track=st.booleans(),
    steps=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_whatever_comes_no_frame_but_the_first_goes_long_without_a_look(every, motion, track, steps) -> None:
    gate, pts, since, looked = Gate(every, motion, track=track), 0.0, 0, 0.0
    pictures = [street(seed, 45, 80) for seed in range(4)]
    for number, (step, picture) in enumerate(steps):
        pts += step
        look = gate(Frame(pictures[picture], "", number, pts)).look
        since = 0 if look == "anew" else since + 1
        looked = pts if look == "anew" else looked
        assert look == "anew" or number
        assert look != "ahead" or since < every
        assert look != "same" or motion
        assert look == "anew" or not track or pts - looked < LONGEST_TRACKED


# What is shown in between


def recognised(index: int, look: Look | None, score: float, stream: int = 0) -> Recognised:
    scores = np.array([score] if look in (None, "anew") else [], np.float32)
    results = Classification(np.zeros(len(scores), np.int64), scores, NAMES)
    return Recognised(Frame(STREET, "", index, index / 25, stream, look=look), results)


def test_the_results_of_the_last_look_are_repeated_for_each_source() -> None:
    repeat = Repeater()
    given = [
        *(recognised(0, "anew", 0.9), recognised(0, "anew", 0.5, stream=1)),
        *(recognised(1, "ahead", 0), recognised(1, "same", 0, stream=1)),
        *(recognised(2, "anew", 0.7), recognised(2, "ahead", 0, stream=1), recognised(3, "same", 0)),
    ]
    shown = [repeat(each) for each in given]
    assert [each.frame for each in shown] == [each.frame for each in given]
    scores = [float(each.results.scores_K[0]) for each in shown]
    assert scores == pytest.approx([0.9, 0.5, 0.9, 0.5, 0.7, 0.5, 0.7])
