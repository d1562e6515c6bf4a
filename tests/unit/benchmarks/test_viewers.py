import pytest
from viewers import judge


@pytest.mark.parametrize(("watched", "reached"), [(100, True), (95, True), (94.9, False), (110, True)])
def test_viewers_may_take_a_twentieth_of_the_rate(watched, reached):
    kept, verdict = judge([90, 100, 120], [watched, watched - 50, watched + 50])
    assert kept == pytest.approx(watched / 100)
    assert verdict is reached
