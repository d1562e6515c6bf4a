import sys
import time
from types import SimpleNamespace

import latency
import pytest

SECONDS, RATE = 600.0, 30
FRAMES = round(SECONDS * RATE)
BUSY = [0.9 * second for second in range(601)]  # 30 ms a frame


def split(age):
    """The parts of an age, half of which is recognition."""
    return 0.4 * age, 0.5 * age, 0.1 * age


def judge(frames=FRAMES, age=0.02, memory=(100.0,) * 601):
    """The verdicts on ages that are all the same."""
    shown = latency.Shown(SECONDS, RATE)
    shown.frames, shown.memory, shown.busy = frames, list(memory), BUSY
    shown.parts_N3[:frames] = split(age)
    return latency.judge(shown, 5, inference=0.02, drawing=0.001, seconds=SECONDS, rate=RATE)


def missed(told):
    return [name for name, reached in told["reached"].items() if not reached]


def test_a_run_reaches_all_marks():
    told = judge()
    assert missed(told) == []
    assert told["shown"] == 1
    assert told["mark_ms"] == pytest.approx(1000 / 30 + 21)


@pytest.mark.parametrize(("age", "expected"), [(0.054, []), (0.055, ["age"])])
def test_the_age_is_held_against_a_frame_an_inference_and_the_drawing(age, expected):
    assert missed(judge(age=age)) == expected


def test_one_frame_in_a_hundred_may_be_older():
    shown = latency.Shown(SECONDS, RATE)
    shown.frames, shown.memory = FRAMES, [100.0] * 601
    shown.busy = BUSY
    for old, expected in ((FRAMES // 200, []), (FRAMES // 50, ["age"])):
        shown.parts_N3[:old] = split(1.0)
        assert missed(latency.judge(shown, 0, 0.02, 0.001, SECONDS, RATE)) == expected


@pytest.mark.parametrize(("frames", "expected"), [(FRAMES * 99 // 100, []), (FRAMES // 3, ["shown"])])
def test_frames_that_are_young_and_few_are_not_enough(frames, expected):
    told = judge(frames=frames)
    assert missed(told) == expected
    assert told["shown"] == pytest.approx(frames / FRAMES)
    assert told["cpu_ms"] == pytest.approx(30 * FRAMES / frames)


def test_memory_is_flat_by_the_medians_of_minutes():
    peaks = [100.0] * 601
    peaks[60] = peaks[-1] = 200.0  # single samples do not count
    assert missed(judge(memory=peaks)) == []
    for last, expected in ((104.9, []), (105.1, ["memory"])):
        told = judge(memory=[50.0] * 60 + [100.0] * 481 + [last] * 60)
        assert missed(told) == expected
        assert told["memory"]["settled"] == 100.0
        assert told["memory"]["last"] == last


def test_a_short_run_is_weighed_by_thirds():
    told = latency.weigh([1.0] * 10 + [2.0] * 10 + [3.0] * 10)
    assert told == {"settled": 2.0, "last": 3.0, "growth": 0.5, "span": 10, "medians": [1.0, 2.0, 3.0]}


def test_the_page_says_what_was_shown_and_missed():
    machine = {"cpu": "a CPU", "cores": 2}
    told = {"made": "2026-01-01", "machine": machine, "model": "m.onnx", "device": "cpu", **judge(frames=FRAMES // 3)}
    rows = latency.to_markdown(told).splitlines()
    assert "| frames shown, of those due | 33.33% | 99% | missed |" in rows
    assert "| age when drawn, p99 | 20.0 ms | 54.3 ms | reached |" in rows
    assert "| CPU time for a frame shown | 90.0 ms | | |" in rows
    assert "| its parts, medians | waiting 8.0 ms, recognition 10.0 ms, drawing 2.0 ms | | |" in rows
    assert "| memory after 60 s, medians of as many | 0 MB, at the end 0 MB: +0.0% | +5% | reached |" in rows


def test_the_page_says_which_mode_was_measured_if_it_is_not_that_for_cameras():
    machine = {"cpu": "a CPU", "cores": 2}
    told = {"made": "2026-01-01", "machine": machine, "model": "m.onnx", "device": "cpu", **judge()}
    where, *_ = latency.to_markdown(told | {"mode": "throughput"}).splitlines()
    assert where == "2026-01-01, a CPU, 2 cores, cpu; `m.onnx`, in the mode throughput."
    assert latency.to_markdown(told) == latency.to_markdown(told | {"mode": "latency", "workers": None})
    where, *_ = latency.to_markdown(told | {"workers": 1}).splitlines()
    assert where == "2026-01-01, a CPU, 2 cores, cpu; `m.onnx`, workers: 1."


def test_the_page_says_what_makes_the_oldest_frames_old():
    shown = latency.Shown(SECONDS, RATE)
    shown.frames, shown.memory = FRAMES, [100.0] * 601
    shown.busy = BUSY
    shown.parts_N3[:FRAMES] = split(0.02)
    shown.parts_N3[: FRAMES // 100] = 0.01, 0.08, 0.001
    told = latency.judge(shown, 0, 0.02, 0.001, SECONDS, RATE)
    assert told["parts_ms"] == pytest.approx({"waiting": 8, "recognition": 10, "drawing": 2}, rel=1e-4)
    assert told["oldest_ms"] == pytest.approx({"waiting": 10, "recognition": 80, "drawing": 1}, rel=1e-4)


def test_the_parts_of_an_age_are_those_of_its_frame():
    looks = latency.Looks()
    first, second = (SimpleNamespace(index=index, born=time.perf_counter()) for index in range(2))
    recognise, draw = (looks(stage, lambda frames: list(frames)) for stage in ("recognise", "draw"))
    assert [recognise([frame]) for frame in (first, second)] == [[first], [second]]
    assert draw([first]) == [first]
    for frame in (second, first):
        now = time.perf_counter()
        parts = looks.split(frame, now)
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(now - frame.born)


@pytest.mark.parametrize("words", [[], ["m.onnx", "--read", "latency.json"]])
def test_either_a_model_is_measured_or_a_file_is_read(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["latency.py", *words])
    with pytest.raises(SystemExit):
        latency.main()
    assert "give a model, or --read" in capsys.readouterr().err
