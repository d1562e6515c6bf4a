import threading

import numpy as np
import pytest

from pipeline.bench.spans import Span, Spans, ages, milliseconds
from pipeline.bench.trace import cut_out, trace_events
from pipeline.errors import StopStream
from pipeline.types import Classification, Frame, Recognised


def frame(index, stream=0):
    return Frame(np.zeros((2, 2, 3), np.uint8), "clip", index, index / 25, stream)


def seen(value):
    return Recognised(value, Classification(np.zeros(1, np.int64), np.ones(1, np.float32), ("a",)))


def span(stage, begin, end, thread="worker 0", frame=0, frames=1, age=0.0, stream=0):
    return Span(stage, thread, stream, frame, frames, begin, end, age)


@pytest.fixture
def spans():
    return Spans()


def test_a_watched_source_gives_its_frames_and_is_closed(spans):
    closed = []

    def frames(stop):
        try:
            yield from (frame(i, stream=2) for i in range(3))
        finally:
            closed.append(True)

    reading = spans("decode", frames)(threading.Event())
    assert [next(reading).index, next(reading).index] == [0, 1]
    reading.close()
    assert closed == [True]
    assert [(each.stage, each.stream, each.frame) for each in spans.split()] == [("decode", 2, 0), ("decode", 2, 1)]


def test_a_recogniser_is_split_at_its_inferences(spans):
    infer = spans("infer", lambda inputs: inputs)

    def recognise(frames):
        infer(np.zeros(1))
        infer(np.zeros(1))
        return [seen(each) for each in frames]

    spans("recognise", recognise)([frame(5), frame(6)])
    resize, inference, results = spans.split()
    assert [each.stage for each in (resize, inference, results)] == ["resize", "infer", "results"]
    assert resize.end == inference.begin <= inference.end == results.begin
    assert {(each.frame, each.frames) for each in (resize, inference, results)} == {(5, 2)}
    assert resize.age <= inference.age <= results.age


def test_threads_do_not_mix_their_inferences(spans):
    infer = spans("infer", lambda inputs: inputs)
    both = threading.Barrier(2)

    def recognise(frames):
        both.wait()
        infer(np.zeros(1))
        both.wait()
        return []

    watched = spans("recognise", recognise)
    threads = [threading.Thread(target=watched, args=([frame(i)],), name=f"onsight worker {i}") for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = spans.split()
    assert len(found) == 6
    for i in range(2):
        own = [each for each in found if each.thread == f"worker {i}"]
        assert [(each.stage, each.frame) for each in own] == [("resize", i), ("infer", i), ("results", i)]


def test_the_frame_that_ends_the_run_is_noted_too(spans):
    def write(item):
        raise StopStream

    with pytest.raises(StopStream):
        spans("write", write)(seen(frame(7)))
    (last,) = spans.split()
    assert (last.stage, last.frame) == ("write", 7)
    assert last.age >= last.end - last.begin


def test_frames_that_share_a_call_share_its_time():
    found = milliseconds([span("infer", 0.0, 0.4, frames=4), span("infer", 1.0, 1.2), span("draw", 0.0, 0.001)])
    assert found["infer"].tolist() == pytest.approx([100] * 4 + [200])
    assert found["draw"].tolist() == pytest.approx([1])


def test_ages_are_those_of_the_stage():
    assert ages([span("draw", 0, 1, age=0.5), span("write", 0, 1, age=0.7)], "write").tolist() == [700]


def test_a_second_is_cut_out_of_the_middle():
    found = cut_out([span("draw", i / 10, i / 10 + 0.05) for i in range(50)], 1.0)
    assert len(found) == pytest.approx(10, abs=1)
    assert found[0].begin == pytest.approx(2.0, abs=0.1)


def test_of_a_shorter_run_all_is_kept():
    spans = [span("draw", 0.1, 0.2), span("decode", 0.0, 0.1)]
    assert cut_out(spans, 1.0) == spans[::-1]
    assert cut_out([], 1.0) == []


def test_a_trace_has_a_row_for_each_thread_and_whole_microseconds_from_zero():
    spans = [
        span("decode", 5.0, 5.001, thread="clip.mp4", frame=3),
        span("infer", 5.001, 5.009, frame=3),
        span("write", 5.009, 5.010, thread="MainThread", frame=3, age=0.009),
    ]
    events = trace_events(spans, "m.onnx on clip.mp4")["traceEvents"]
    names = {each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"}
    assert sorted(names.values()) == ["MainThread", "clip.mp4", "worker 0"]
    calls = [each for each in events if each["ph"] == "X"]
    assert [(each["name"], each["ts"], each["dur"], names[each["tid"]]) for each in calls] == [
        ("decode", 0, 1000, "clip.mp4"),
        ("infer", 1000, 8000, "worker 0"),
        ("write", 9000, 1000, "MainThread"),
    ]
    begin, end = (each for each in events if each.get("cat") == "frame")
    assert (begin["ph"], end["ph"], begin["id"], end["id"]) == ("b", "e", "0.3", "0.3")
    assert (begin["ts"], end["ts"]) == (1000, 10000)


def test_no_time_of_a_trace_is_negative_where_a_frame_is_older_than_the_cut():
    spans = [span("draw", 5.0, 5.001), span("write", 5.001, 5.002, age=0.5)]
    times = {
        each["ph"]: each["ts"] for each in trace_events(spans, "m.onnx on clip.mp4")["traceEvents"] if "ts" in each
    }
    assert times == {"b": 0, "X": 499_000, "e": 500_000}
