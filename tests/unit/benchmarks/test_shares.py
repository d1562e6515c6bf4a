from itertools import count
from types import SimpleNamespace

import pytest
import shares
from marks_page import PROFILE


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


def test_inference_is_told_apart_from_the_recognition_that_it_is_within(monkeypatch, watch):
    def execute(config, extra_sinks, watch):
        extra_sinks([], None)
        watch("recognise", watch("infer", lambda: None))()
        return SimpleNamespace(frames=1, sources=[SimpleNamespace(preset="fast")])

    monkeypatch.setattr(shares, "execute", execute)
    stages = shares.measure("m.onnx", "clip.mp4", records=False)["stages"]
    assert stages == {"infer": 1.0, "resize, results": 2.0}
    assert stages.keys() < PROFILE.keys()
