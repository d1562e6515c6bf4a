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


def test_calls_that_have_less_to_do_do_not_make_the_others_late() -> None:
    """Of a camera of which one frame in three is looked at, say."""
    pace = paced(call=0.1, kept=10)
    for took in (0.1, 4, 0.1, 0.1):
        pace.called(took)
    pace.give(200.0)
    assert pace.pause(200.0) == 6


def test_a_call_that_was_unusual_is_forgotten() -> None:
    pace = paced(call=9, kept=10)
    for _ in range(8):
        pace.called(1)
    pace.give(200.0)
    assert pace.pause(200.0) == 9


def test_results_that_were_kept_for_an_unusual_time_count_little() -> None:
    pace = paced(call=1, kept=10)
    pace.give(200.0)
    pace.ask(218.0)
    pace.give(300.0)
    assert pace.pause(300.0) == 10
