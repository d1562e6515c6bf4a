import pytest

from pipeline.lane import Lane


def camera(*times: float) -> Lane[int]:
    """A lane of a camera whose frames came at these times, and were taken."""
    lane: Lane[int] = Lane(newest=True, capacity=1)
    for number, now in enumerate(times):
        lane.put(number, now)
        lane.items.clear()
    return lane


def test_a_newer_item_takes_the_place_of_one_that_waits() -> None:
    lane: Lane[int] = Lane(newest=True, capacity=1)
    for item in range(3):
        lane.put(item, item / 10)
    assert list(lane.items) == [2]
    assert lane.dropped == 2


def test_items_of_a_file_give_way_to_none() -> None:
    lane: Lane[int] = Lane(newest=False, capacity=2)
    lane.put(0, 0.0)
    assert not lane.full
    lane.put(1, 0.1)
    assert lane.full
    assert (list(lane.items), lane.dropped) == ([0, 1], 0)


def test_of_a_file_more_is_expected_as_long_as_there_is_room_and_it_has_not_ended() -> None:
    lane: Lane[int] = Lane(newest=False, capacity=2)
    assert lane.expects(0.0, until=0.1)
    lane.put(0, 0.0)
    assert lane.expects(0.0, until=0.1)
    lane.put(1, 0.0)
    assert not lane.expects(0.0, until=0.1)
    lane.items.clear()
    lane.done = True
    assert not lane.expects(0.0, until=0.1)


@pytest.mark.parametrize("times", [(), (0.0,)])
def test_nothing_is_expected_before_two_items_have_come(times: tuple[float, ...]) -> None:
    assert not camera(*times).expects(1.0, until=100.0)


def test_the_next_item_is_expected_after_the_usual_time() -> None:
    lane = camera(0.0, 1.0, 2.0)
    assert (lane.interval, lane.due) == (1.0, 3.0)
    assert not lane.expects(2.1, until=2.9)
    assert lane.expects(2.9, until=3.1)


def test_an_item_that_is_late_is_expected_for_as_much_time_again() -> None:
    lane = camera(0.0, 1.0, 2.0)
    assert lane.expects(3.9, until=4.1)
    assert not lane.expects(4.0, until=4.1)


def test_a_camera_that_has_become_slower_is_expected_later() -> None:
    lane = camera(0.0, 1.0, *range(3, 60, 2))
    assert lane.interval == pytest.approx(2.0, abs=0.05)


def test_the_time_that_a_camera_was_away_is_soon_forgotten() -> None:
    lane = camera(0.0, 1.0, 2.0, *range(32, 82))
    assert lane.interval == pytest.approx(1.0, abs=0.02)


def test_nothing_is_expected_where_an_item_waits_or_none_will_come() -> None:
    for change in (
        lambda lane: lane.put(9, 2.0),
        lambda lane: setattr(lane, "done", True),
        lambda lane: lane.stop.set(),
    ):
        lane = camera(0.0, 1.0)
        assert lane.expects(2.0, until=10.0)
        change(lane)
        assert not lane.expects(2.0, until=10.0)
