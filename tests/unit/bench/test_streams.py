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


def written(stream, index, fps=FPS):
    begin = index / fps
    return [Span(stage, "MainThread", stream, index, 1, begin, begin + 0.02, 0.02) for stage in ("draw", "write")]


def run(spans):
    return Run(30, 3.0, 0.3, 0, FPS, None, spans, workers=1)  # no model is asked for


def test_frames_that_are_missing_after_settling_are_dropped():
    first = [span for i in range(30) if i not in (3, 15, 16) for span in written(0, i)]  # 3 was in the first second
    second = [span for i in range(30) for span in written(1, i)]
    found = judge_run(run(first + second), 2, FPS)
    assert (found.shown, found.due) == ((18, 20), (20, 20))
    assert found.fps == pytest.approx(18 / 1.92)
    assert found.drawn_N.tolist() == pytest.approx([20] * 38)


def test_a_source_that_was_never_seen_has_lost_all():
    found = judge_run(run([span for i in range(30) for span in written(0, i)]), 2, FPS)
    assert (found.shown, found.due) == ((20, 0), (20, 17))
    assert (found.fps, found.late) == (0, True)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [(range(20), 10), (range(15, 30), 15), ([12], 1), ([*range(15), 29], 6)],
    ids=["it stalls", "it comes late", "once", "it comes back at the end"],
)
def test_a_source_has_lost_what_it_did_not_give(seen, shown):
    """Beside one that gives all, of which frames 10 to 29 are judged."""
    spans = [span for i in range(30) for span in written(0, i)] + [span for i in seen for span in written(1, i)]
    found = judge_run(run(spans), 2, FPS)
    assert found.shown == (20, shown)
    assert found.due[0] == 20
    assert found.due[1] == pytest.approx(20, abs=3)
    assert found.fps == pytest.approx(shown / 1.92)
    assert not sum_up(2, [found], 2**28).taken


def test_a_frame_that_is_under_way_at_the_end_is_not_lost():
    first = [span for i in range(31) for span in written(0, i)]
    second = [span for i in range(30) for span in written(1, i)]
    found = judge_run(run(first + second), 2, FPS)
    assert (found.shown, found.due) == ((21, 20), (21, 20))
    assert found.fps == pytest.approx(FPS)


@pytest.mark.parametrize(("missing", "lost"), [(1, 0), (3, 0), (5, 0), (6, 1), (15, 10)])
def test_a_hiccup_at_the_end_is_no_stall(missing, lost):
    """Of one of two cameras that give 30 frames a second, for two seconds after settling."""
    first = [span for i in range(91) for span in written(0, i, 30)]
    second = [span for i in range(91 - missing) for span in written(1, i, 30)]
    found = judge_run(run(first + second), 2, 30)
    assert found.shown == (61, 61 - missing)
    assert found.due == (61, 61 - missing + lost)


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
    rounds = [Watched((500,), (500,), 30, False, drawn, 9), Watched((500 - dropped,), (500,), 30, late, drawn, 9)]
    found = sum_up(4, rounds, 2**28)
    assert (found.taken, found.dropped, found.due) == (taken, dropped, 1000)


def test_a_source_that_loses_frames_is_not_made_good_by_others():
    found = sum_up(3, [Watched((1000, 1000, 998), (1000, 1000, 1000), 30, False, np.full(500, 20.0), 9)], 2**28)
    assert (found.taken, found.dropped, found.due) == (False, 2, 3000)


@pytest.mark.parametrize(("frames", "told"), [(100, True), (99, False), (0, False)])
def test_the_slowest_frames_of_a_round_are_not_told_of_too_few(frames, told):
    rounds = [Watched((500,), (500,), 30, False, np.full(each, 20.0), 9) for each in (500, frames)]
    assert (sum_up(1, rounds, 2**28).drawn_p99 is not None) == told


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
