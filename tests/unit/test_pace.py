import pytest

from pipeline.pace import Pace


def paced(call: float, kept: float) -> Pace:
    pace = Pace()
    pace.called(call)
    pace.give(100.0)
    pace.ask(100.0 + kept)
    return pace


def test_a_call_ends_when_the_consumer_is_expected_to_ask() -> None:
    pace = paced(call=1, kept=10)
    pace.give(200.0)
    assert (pace.pause(200.0), pace.pause(208.0), pace.pause(209.0), pace.pause(300.0)) == (9, 1, 0, 0)


def test_a_call_that_takes_longer_than_the_consumer_begins_at_once() -> None:
    pace = paced(call=10, kept=1)
    pace.give(200.0)
    assert pace.pause(200.0) == 0


def test_whoever_asks_is_not_kept_waiting() -> None:
    pace = paced(call=1, kept=10)
    assert pace.pause(200.0) == 0
    pace.give(200.0)
    pace.ask(201.0)
    assert pace.pause(201.0) == 0


def test_as_long_as_nothing_is_known_nothing_waits() -> None:
    pace = Pace()
    pace.ask(0.0)
    pace.called(1)
    assert pace.pause(0.0) == 0
    pace.give(1.0)
    assert pace.pause(1.0) == 0


def test_one_that_is_unusual_counts_little() -> None:
    pace = paced(call=1, kept=10)
    pace.called(9)
    pace.give(200.0)
    assert pace.pause(200.0) == pytest.approx(8)
