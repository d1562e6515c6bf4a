"""Calls by several threads at once."""

import threading
from time import perf_counter, process_time

import pytest

from pipeline.bench import calls
from pipeline.bench.calls import repeat_at_once


@pytest.mark.parametrize("threads", [1, 3])
def test_each_thread_calls_what_it_has_prepared(threads):
    made = {}

    def prepare():
        caller = threading.get_ident()
        made[caller] = 0

        def call():
            assert threading.get_ident() == caller
            made[caller] += 1
            threading.Event().wait(0.001)

        return call

    wall, cpu = perf_counter(), process_time()
    found = repeat_at_once(prepare, threads, 2, 0.05)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    assert len(made) == threads
    assert threading.get_ident() not in made
    assert min(made.values()) >= 3
    assert 0 < found.wall <= wall / 6  # of three calls of two frames, or more
    assert 0 <= found.cpu <= cpu / 6


def test_time_goes_from_the_end_of_a_call_to_the_end_of_another(monkeypatch):
    """By a clock that a call moves on by a second, and the CPU's by two."""
    clock = [0]
    monkeypatch.setattr(calls, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(calls, "process_time", lambda: 2 * clock[0])

    def call():
        clock[0] += 1
        threading.Event().wait(0.001)

    assert repeat_at_once(lambda: call, 1, 4, 10) == (0.25, 0.5, None)


def test_what_a_call_raises_is_raised():
    def call():
        raise ValueError("made to fail")

    with pytest.raises(ValueError, match="made to fail"):
        repeat_at_once(lambda: call, 2, 1, 0.05)
