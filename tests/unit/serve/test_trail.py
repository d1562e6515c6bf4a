from itertools import pairwise

import pytest

from pipeline.serve.trail import MOST_POINTS, Trail


def test_a_path_has_a_point_every_half_second_and_the_last_one() -> None:
    trail = Trail()
    kept = [trail.add(frame / 10, frame / 100, 0.5) for frame in range(13)]
    assert [frame for frame, each in enumerate(kept) if each] == [0, 5, 10]
    assert trail.points == ((0.0, 0.0, 0.5), (0.5, 0.05, 0.5), (1.0, 0.1, 0.5), (1.2, 0.12, 0.5))


@pytest.mark.parametrize("seconds", [10, 49, 50, 51, 100, 3600])
def test_a_long_path_has_few_points_from_its_first_to_its_last(seconds: int) -> None:
    trail = Trail()
    for frame in range(seconds * 10 + 1):
        trail.add(frame / 10, 0.5, 0.5)
    times = [point[0] for point in trail.points]
    assert len(times) <= MOST_POINTS
    assert (times[0], times[-1]) == (0, seconds)
    gaps = {round(later - time, 6) for time, later in pairwise(times[:-1])}
    assert len(gaps) == 1
    assert len(times) > min(MOST_POINTS / 2, seconds)


def test_a_path_of_nothing_is_empty() -> None:
    assert Trail().points == ()
