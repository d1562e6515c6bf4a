import numpy as np
import pytest
from support.benches import streams_bench

from pipeline.bench.spans import Span
from pipeline.bench.streams import Watched, is_late, judge_run, sum_up
from pipeline.bench.whole import Run
from pipeline.bench.words import the_answer

FPS = 10


def decoded(index, delay=0.0):
    end = index / FPS + delay
    return Span("decode", "camera", 0, index, 1, end - 0.01, end, 0.0)


def written(stream, index):
    begin = index / FPS
    return [Span(stage, "MainThread", stream, index, 1, begin, begin + 0.02, 0.02) for stage in ("draw", "write")]


def run(spans):
    return Run(30, 3.0, 0.3, 0, FPS, None, spans, workers=1)  # no model is asked for


def test_frames_that_are_missing_after_settling_are_dropped():
    first = [span for i in range(30) if i not in (3, 15, 16) for span in written(0, i)]  # 3 was in the first second
    second = [span for i in range(30) for span in written(1, i)]
    found = judge_run(run(first + second), 2, FPS)
    assert (found.shown, found.due, found.dropped) == (38, 40, 2)
    assert found.fps == pytest.approx(17 / 1.9)
    assert found.drawn_N.tolist() == pytest.approx([20] * 38)


def test_a_source_that_was_never_seen_has_lost_all():
    found = judge_run(run([span for i in range(30) for span in written(0, i)]), 2, FPS)
    assert found.shown == 20
    assert found.due == pytest.approx(40, abs=1)
    assert (found.fps, found.late) == (0, True)


@pytest.mark.parametrize(
    ("delays", "late"),
    [
        ([0.0] * 30, False),
        ([0.5, *[0.0] * 29], False),  # slow to start
        ([*[0.0] * 15, 0.5, 0.4, 0.3, 0.2, *[0.0] * 11], False),  # it has caught up
        ([0.02 * i for i in range(30)], True),
        ([*[0.0] * 10, *[0.3] * 20], True),
    ],
)
def test_a_source_is_late_if_it_does_not_catch_up(delays, late):
    assert is_late([decoded(i, delay) for i, delay in enumerate(delays)], FPS) == late


@pytest.mark.parametrize(
    ("dropped", "late", "taken"), [(0, False, True), (1, False, True), (2, False, False), (0, True, False)]
)
def test_one_frame_in_a_thousand_may_be_lost(dropped, late, taken):
    drawn = np.full(500, 20.0)
    rounds = [Watched(500, 500, 30, False, drawn, 9), Watched(500 - dropped, 500, 30, late, drawn, 9)]
    found = sum_up(4, rounds, 2**28)
    assert (found.taken, found.dropped, found.due) == (taken, dropped, 1000)


@pytest.mark.parametrize(
    ("taken", "answer"),
    [
        ({1: True, 2: True, 4: False}, "takes 2 cameras, but not 4 of"),
        ({1: True, 2: False}, "takes 1 camera, but not 2 of"),
        ({1: True, 8: True}, "takes 8 cameras or more of"),
        ({1: False}, "takes not even 1 camera of"),
        ({4: False}, "takes fewer than 4 cameras of"),
    ],
)
def test_the_answer_is_one_sentence(taken, answer):
    assert answer in the_answer(streams_bench(taken))
