"""The states of a camera, and its gaps, by a clock that the tests move."""

from __future__ import annotations

import pytest

from pipeline.sources.state import Gap, Health

STALL = 5.0


def asked(now: float = 100.0) -> Health:
    return Health(now, now, STALL)


def live(*times: float) -> Health:
    health = asked(times[0] - 1)
    for now in times:
        health = health.pictured(now, 640, 360)
    return health


def test_a_camera_connects_for_as_long_as_nothing_happens() -> None:
    health = asked().at(1000)
    assert (health.state, health.since, health.reason, health.gaps) == ("connecting", 100, None, 0)


def test_pictures_make_it_live_since_the_first() -> None:
    health = live(101, 102, 103).at(104)
    assert (health.state, health.since, health.newest, health.reason) == ("live", 101, 103, None)
    assert (health.width, health.height, health.gaps, health.gap_seconds(104)) == (640, 360, 0, 0)
    assert (asked().first, health.first, health.lost(104, "gone").pictured(105, 640, 360).first) == (None, 101, 101)


def test_without_a_picture_it_stalls_and_the_gap_counts_from_the_last_one() -> None:
    health = live(101, 102)
    assert health.at(106.9).state == "live"
    stalled = health.at(110)
    assert (stalled.state, stalled.since, stalled.gaps) == ("stalled", 107, 1)
    assert stalled.reason == "connected, but no picture has come for 8 s"
    assert stalled.gap_seconds(110) == 8
    assert stalled.at(112).reason == "connected, but no picture has come for 10 s"
    assert stalled.at(112).gaps == 1


def test_a_picture_after_a_stall_ends_the_gap_though_nobody_looked() -> None:
    health = live(101, 102).pictured(112, 640, 360)
    assert (health.state, health.since, health.gaps) == ("live", 112, 1)
    assert health.recent == (Gap(102, 112, "connected, but no picture came"),)
    assert health.gap_seconds(200) == 10


def test_a_lost_camera_waits_and_comes_back() -> None:
    lost = live(101, 102).lost(103, "Connection refused")
    assert (lost.state, lost.since, lost.reason, lost.gaps) == ("waiting", 103, "Connection refused", 1)
    again = lost.lost(106, "Connection timed out").at(130)
    assert (again.state, again.since, again.reason, again.gaps) == ("waiting", 103, "Connection timed out", 1)
    assert again.gap_seconds(106) == 4
    back = again.pictured(107, 320, 240)
    assert (back.state, back.since, back.reason, back.width, back.height) == ("live", 107, None, 320, 240)
    assert (back.recent, back.gap_seconds(200)) == ((Gap(102, 107, "Connection timed out"),), 5)


def test_a_stall_that_ends_in_a_loss_is_one_gap() -> None:
    back = live(101, 102).at(108).lost(112, "nothing came").pictured(115, 640, 360)
    assert (back.gaps, back.gap_seconds(200)) == (1, 13)


def test_a_camera_that_never_answered_has_a_gap_since_it_was_asked() -> None:
    waiting = asked().lost(110, "no answer")
    assert (waiting.state, waiting.gaps, waiting.gap_seconds(120)) == ("waiting", 1, 20)


@pytest.mark.parametrize("before", [asked(), live(101), live(101).lost(102, "gone")])
def test_what_lasts_is_failed_until_a_picture_comes(before: Health) -> None:
    failed = before.lost(103, "401", lasting=True)
    assert (failed.state, failed.since, failed.reason) == ("failed", 103, "401")
    assert failed.lost(140, "401", lasting=True).since == 103
    assert failed.lost(140, "refused").state == "waiting"
    assert failed.pictured(150, 640, 360).state == "live"


def test_wrong_pictures_stall_it_but_are_no_gap() -> None:
    frozen = live(101, 102).pictured(103, 640, 360, "frozen").pictured(104, 640, 360, "frozen")
    assert (frozen.state, frozen.since, frozen.reason, frozen.gaps) == ("stalled", 103, "frozen", 0)
    silent = frozen.at(110)
    assert (silent.state, silent.since, silent.gaps) == ("stalled", 109, 1)
    assert silent.reason.startswith("connected, but no picture")
    well = silent.pictured(111, 640, 360)
    assert (well.state, well.reason, well.recent) == ("live", None, (Gap(104, 111, "connected, but no picture came"),))


def test_the_latest_gaps_are_kept_and_all_are_counted() -> None:
    health = live(0)
    for number in range(1, 101):
        health = health.lost(10 * number - 1, "gone").pictured(10 * number, 640, 360)
    assert (health.gaps, len(health.recent), health.recent[-1]) == (100, 20, Gap(990, 1000, "gone"))
    assert health.gap_seconds(5000) == 1000
