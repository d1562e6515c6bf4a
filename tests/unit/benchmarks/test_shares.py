from itertools import count

import pytest
import shares


@pytest.fixture
def watch(monkeypatch):
    """A watch to which each look at the clock is a second later."""
    seconds = count()
    monkeypatch.setattr(shares.time, "thread_time", lambda: float(next(seconds)))
    return shares.CpuWatch()


def test_each_call_of_a_stage_adds_to_it(watch):
    resize, draw = watch("resize", lambda value: 2 * value), watch("draw", lambda: None)
    assert [resize(1), resize(2)] == [2, 4]
    draw()
    assert watch.seconds == {"resize": 2.0, "draw": 1.0}


def test_a_decoder_works_when_it_is_asked_for_a_frame(watch):
    frames = watch("decode", lambda: iter("ab"))()
    assert watch.seconds == {"decode": 1.0}  # opened
    assert list(frames) == ["a", "b"]
    assert watch.seconds == {"decode": 4.0}  # two frames, and the end
