import math

import pytest

from pipeline.pace import Pace


def deliver(pace: Pace, took: float, now: float) -> None:
    """A call that has taken so long is over, and the consumer gets its results."""
    pace.begin(0, now - took)
    pace.end(0, now)
    pace.give(now)


def paced(took: float, kept: float) -> Pace:
    """Knows of a call that took so long, and of a consumer that was busy with its results for so long."""
    pace = Pace()
    deliver(pace, took, 100.0)
    pace.ask(100.0 + kept)
    return pace


# The consumer


def test_a_call_ends_when_the_consumer_is_expected_to_ask() -> None:
    pace = paced(took=1, kept=10)
    deliver(pace, 1, 200.0)
    assert [pace.until_asked(now) for now in (200.0, 208.0, 209.0, 300.0)] == [9, 1, 0, 0]


def test_a_call_that_takes_longer_than_the_consumer_begins_at_once() -> None:
    pace = paced(took=10, kept=1)
    deliver(pace, 10, 200.0)
    assert pace.until_asked(200.0) == 0


def test_whoever_asks_is_not_kept_waiting() -> None:
    pace = paced(took=1, kept=10)
    assert pace.until_asked(200.0) == 0
    deliver(pace, 1, 200.0)
    pace.ask(201.0)
    assert pace.until_asked(201.0) == 0


def test_a_call_behind_others_ends_when_the_consumer_is_done_with_theirs() -> None:
    pace = paced(took=1, kept=10)
    deliver(pace, 1, 200.0)
    pace.begin(1, 202.0)
    assert pace.until_asked(202.0) == 200 + 2 * 10 - 1 - 202
    pace.ask(210.0)
    assert pace.until_asked(210.0) == 9
    pace.end(1, 212.0)
    pace.give(212.0)
    assert pace.until_asked(212.0) == 10 - 10  # a call took ten seconds


def test_as_long_as_nothing_is_known_of_the_consumer_nothing_waits_for_it() -> None:
    pace = Pace()
    pace.ask(0.0)
    pace.begin(0, 0.0)
    assert pace.until_asked(0.0) == 0
    pace.end(0, 1.0)
    assert pace.until_asked(1.0) == 0
    pace.give(1.0)
    assert pace.until_asked(1.0) == 0


def test_calls_that_have_less_to_do_do_not_make_the_others_late() -> None:
    """Of a camera of which one frame in three is looked at, say."""
    pace = paced(took=0.125, kept=10)
    for took in (0.125, 4, 0.125, 0.125):
        deliver(pace, took, 200.0)
    assert pace.until_asked(200.0) == 6


def test_a_call_that_was_unusual_is_forgotten() -> None:
    pace = paced(took=9, kept=10)
    for _ in range(8):
        deliver(pace, 1, 200.0)
    assert pace.until_asked(200.0) == 9


def test_results_that_were_kept_for_an_unusual_time_count_little() -> None:
    pace = paced(took=1, kept=10)
    deliver(pace, 1, 200.0)
    pace.ask(218.0)
    deliver(pace, 1, 300.0)
    assert pace.until_asked(300.0) == 10


# Calls under way


def beside(pace: Pace, took: float, now: float) -> None:
    """A call that has taken so long beside another, which goes on, is over."""
    pace.begin(8, now - took)
    pace.end(8, now)
    pace.give(now)


@pytest.mark.parametrize(("rate", "wait"), [(0.0, 2), (0.4, 2), (0.5, math.inf), (math.inf, math.inf)])
def test_a_call_waits_until_the_one_before_is_late_or_ends_where_they_are_due_sooner(rate: float, wait: float) -> None:
    pace = paced(took=8, kept=10)
    for took in (3, 2, 7):
        deliver(pace, took, 200.0)
    assert pace.until_late(300.0, rate) == 0
    pace.begin(1, 300.0)
    assert [pace.until_late(now, rate) for now in (300.0, 301.0, 302.0)] == [wait, max(0, wait - 1), max(0, wait - 2)]
    pace.begin(2, 305.0)
    assert pace.until_late(306.0, rate) == max(0, wait - 1)
    pace.end(2, 306.0)
    pace.end(1, 307.0)
    assert pace.until_late(307.0, rate) == 0


@pytest.mark.parametrize("rate", [0.0, 0.001, math.inf])
def test_as_long_as_no_call_was_alone_the_next_waits_for_the_end_of_the_one_before(rate: float) -> None:
    pace = Pace()
    pace.begin(0, 100.0)
    assert pace.until_late(500.0, rate) == math.inf


def test_calls_with_nothing_to_do_do_not_tell_how_long_one_takes() -> None:
    pace = paced(took=8, kept=10)
    for took in (0.1, 4, 0.1):
        deliver(pace, took, 200.0)
    pace.begin(1, 300.0)
    assert pace.until_late(300.0, rate=0.2) == 4
    assert pace.until_late(300.0, rate=0.25) == math.inf


def test_a_machine_that_has_become_slower_is_noticed() -> None:
    """Calls beside each other tell nothing of one alone, but what was known of that gets old."""
    pace = paced(took=2, kept=10)
    deliver(pace, 2, 200.0)
    pace.begin(1, 300.0)
    beside(pace, 5, 305.0)
    assert pace.until_late(305.0, rate=0.4) == 0
    beside(pace, 5, 310.0)
    assert pace.until_late(310.0, rate=0.4) == math.inf
