import numpy as np
import pytest
from support.watching import HEIGHT, NOW, WIDTH, after, classified, shown

from pipeline.serve.episodes import Episode, Episodes
from pipeline.types import Annotated, Counts, LineCount, ZoneCount, ZoneEvent

SMALL, LARGE = (80, 40, 100, 60), (60, 20, 120, 80)


def watch(episodes: Episodes, *items: Annotated) -> list[Episode]:
    """The episodes that have ended."""
    told = [each for item in items for each in episodes.update(item, after(item.frame.pts or 0.0))]
    return [each for each in told if each.ended]


def test_a_track_is_one_episode_until_the_tracker_gives_it_up() -> None:
    episodes = Episodes()
    frames = [shown(t / 10, ("car", 0.5, SMALL, 7), tracked=True) for t in range(10)]
    assert watch(episodes, *frames, shown(1.85, tracked=True)) == []
    (car,) = watch(episodes, shown(2.0, tracked=True))
    assert (car.label, car.track, car.start, car.end) == ("car", 7, NOW, after(0.9))
    assert car.trail.points[0] == (0.0, 0.45, 0.5)


def test_an_object_without_a_number_is_none_yet() -> None:
    assert Episodes().update(shown(0, ("car", 0.9, SMALL, 0), tracked=True), NOW) == []


def test_without_tracking_a_class_is_one_episode_while_it_is_seen_often_enough() -> None:
    episodes = Episodes(patience=3)
    two = shown(0, ("car", 0.5, SMALL, 0), ("car", 0.6, LARGE, 0), ("dog", 0.4, SMALL, 0))
    assert {each.label for each in episodes.update(two, NOW)} == {"car", "dog"}
    assert watch(episodes, shown(2.9, ("car", 0.5, SMALL, 0)), shown(2.95)) == []
    (dog,) = watch(episodes, shown(5.8, ("car", 0.5, SMALL, 0)))
    assert (dog.label, dog.track, dog.end) == ("dog", None, NOW)
    (car,) = watch(episodes, shown(9))
    assert (car.score, car.end) == (pytest.approx(0.6), after(5.8))


def test_a_class_that_comes_back_later_is_a_new_episode() -> None:
    episodes = Episodes(patience=1)
    first, second = (episodes.update(shown(pts, ("car", 0.5, SMALL, 0)), after(pts))[-1] for pts in (0, 5))
    assert first.ended
    assert not second.ended
    assert second.start == after(5)


def test_the_best_frame_is_large_and_sure() -> None:
    episodes = Episodes()
    near = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    for item in (
        shown(0, ("car", 0.9, SMALL, 1), tracked=True),
        shown(1, ("car", 0.7, LARGE, 1), tracked=True, image=near),
        shown(2, ("car", 0.71, LARGE, 1), tracked=True),  # hardly better
        shown(3, ("car", 0.8, SMALL, 1), tracked=True),
    ):
        (car,) = episodes.update(item, NOW)
    assert car.score == pytest.approx(0.9)
    assert car.best == 1
    assert car.box == pytest.approx((0.3, 0.2, 0.6, 0.8))
    assert car.picture is not None
    assert (car.picture == 200).all()


def test_the_picture_is_a_copy_of_the_frame() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    (car,) = Episodes().update(shown(0, ("car", 0.9, SMALL, 1), tracked=True, image=image), NOW)
    image[:] = 0
    assert car.picture is not None
    assert (car.picture == 90).all()


def test_a_long_episode_has_little_news() -> None:
    episodes = Episodes()
    for second in range(3600):
        (car,) = episodes.update(shown(second, ("car", 0.9, SMALL, 1), tracked=True), NOW)
    assert car.news < 500


def test_the_class_of_a_track_may_change() -> None:
    episodes = Episodes()
    episodes.update(shown(0, ("car", 0.9, SMALL, 1), tracked=True), NOW)
    (each,) = episodes.update(shown(0.1, ("dog", 0.8, SMALL, 1), tracked=True), NOW)
    assert each.label == "dog"


def test_zones_and_lines_are_those_of_its_track() -> None:
    episodes = Episodes()
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))

    def counts(dwell: float) -> Counts:
        zones = tuple(
            ZoneCount(name, square, {}, {}, {}, dict.fromkeys(stays, "car"), stays)
            for name, stays in {"yard": {1: dwell}, "street": {2: 9.0}}.items()
        )
        crossing = (ZoneEvent("in", "gate", 1, "car", 0.1), ZoneEvent("out", "door", 2, "car", 0.1))
        return Counts(
            zones, (LineCount("gate", square[:2], {}, {}),), (*crossing, ZoneEvent("enter", "yard", 1, "car", 0))
        )

    for pts, dwell in ((0, 0.0), (0.4, 4.0), (0.5, 0.0)):
        (car,) = episodes.update(shown(pts, ("car", 0.9, SMALL, 1), tracked=True, counts=counts(dwell)), NOW)
    assert car.dwell == {"yard": 4.0}
    assert car.crossed == {("gate", "in")}


def test_a_classifier_makes_an_episode_of_its_best_class() -> None:
    episodes = Episodes(patience=1, least_score=0.6)
    assert episodes.update(classified(0, dog=0.55, car=0.4), NOW) == []
    (dog,) = episodes.update(classified(1, dog=0.7, car=0.65), after(1))
    assert (dog.label, dog.box, dog.start, dog.trail.points) == ("dog", None, after(1), ())
    assert dog.picture is not None
    assert dog.picture.shape == (HEIGHT, WIDTH, 3)
    assert [each.label for each in watch(episodes, classified(2.5, dog=0.3))] == ["dog"]


def test_closing_ends_all_and_frames_may_follow() -> None:
    episodes = Episodes()
    episodes.update(shown(0, ("car", 0.9, SMALL, 1), ("dog", 0.9, SMALL, 2), tracked=True), NOW)
    assert {each.label for each in episodes.close() if each.ended} == {"car", "dog"}
    assert episodes.close() == []
    assert len(episodes.update(shown(1, ("car", 0.9, SMALL, 1), tracked=True), after(1))) == 1


def test_a_source_that_begins_anew_ends_all() -> None:
    episodes = Episodes()
    episodes.update(shown(50, ("car", 0.9, SMALL, 1), tracked=True), NOW)
    ended, fresh = episodes.update(shown(0, ("dog", 0.9, SMALL, 1), tracked=True), after(3))
    assert (ended.label, ended.ended, fresh.label, fresh.start) == ("car", True, "dog", after(3))


def test_a_clock_that_is_set_back_does_not_matter() -> None:
    episodes = Episodes(patience=1)
    episodes.update(shown(0, ("car", 0.9, SMALL, 0)), after(3600))
    (car,) = episodes.update(shown(2), NOW)
    assert car.ended
    assert car.end == car.start == after(3600)


def test_a_frame_without_a_time_is_a_fault() -> None:
    with pytest.raises(ValueError, match="time"):
        Episodes().update(shown(None), NOW)
