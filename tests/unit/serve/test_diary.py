"""The gaps of cameras, from their state to the store, over the end of a process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from support.databases import OpenStore

from pipeline.errors import StoreError
from pipeline.serve.diary import Diary
from pipeline.serve.recovery import recover
from pipeline.serve.store import EventStore
from pipeline.serve.types import Gap
from pipeline.sources.state import Health

SLOW = 5  # seconds that a database may take between two looks at the clock


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[EventStore]:
    with closing(open_store()) as opened:
        yield opened


def live(ago: float = 0.0) -> Health:
    """Its newest picture came so many seconds ago."""
    now = time.monotonic()
    return Health(now - 1000, now - 1000, 5.0).pictured(now - ago, 640, 360)


def asked(ago: float = 0.0) -> Health:
    """It connects since so many seconds."""
    now = time.monotonic()
    return Health(now - ago, now - ago, 5.0)


def lost(ago: float = 60.0, reason: str = "Connection refused") -> Health:
    return live(ago).lost(time.monotonic(), reason)


def kept(store: EventStore) -> list[Gap]:
    """The gaps, oldest first."""
    store.flush()
    return store.gaps()[::-1]


def seconds(gap: Gap) -> float:
    assert gap.end is not None
    return (gap.end - gap.start).total_seconds()


def ago(moment: datetime | None) -> float:
    assert moment is not None
    return (datetime.now(UTC) - moment).total_seconds()


def test_a_gap_is_kept_when_it_begins_and_again_when_it_ends(store: EventStore) -> None:
    diary = Diary(store)
    health = live()
    diary.write({0: ("yard", health)})
    assert kept(store) == []
    gone = health.lost(time.monotonic(), "the camera ended the connection")
    diary.write({0: ("yard", gone)})
    (begun,) = kept(store)
    assert (begun.camera, begun.end, begun.reason) == ("yard", None, "the camera ended the connection")
    refused = gone.lost(time.monotonic(), "Connection refused")
    diary.write({0: ("yard", refused)})
    diary.write({0: ("yard", refused.pictured(time.monotonic(), 640, 360))})
    (ended,) = kept(store)
    assert (ended.id, ended.start, ended.reason) == (begun.id, begun.start, "Connection refused")
    assert ended.end is not None


def test_a_gap_that_was_over_before_anybody_looked_is_kept(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", lost(300, "gone").pictured(time.monotonic() - 100, 640, 360))})
    (gap,) = kept(store)
    assert seconds(gap) == pytest.approx(200, abs=SLOW)
    assert ago(gap.start) == pytest.approx(300, abs=SLOW)
    assert gap.reason == "gone"


def test_what_does_not_change_is_not_written_again(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    diary, health, told = Diary(store), lost(), []
    monkeypatch.setattr(store, "note_gap", told.append)
    for _ in range(3):
        diary.write({0: ("yard", health.at(time.monotonic()))})
    assert len(told) == 1


def test_a_camera_that_is_removed_has_no_gap_that_lasts(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", lost()), 1: ("door", live())})
    diary.write({1: ("door", live())})
    diary.write({1: ("door", live()), 2: ("yard", asked())})  # nobody wanted it watched meanwhile
    (gap,) = kept(store)
    assert (gap.camera, gap.reason) == ("yard", "Connection refused")
    assert gap.end is not None


def test_a_camera_that_is_new_has_no_gap_while_it_connects(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", asked(15))})
    diary.write({1: ("yard", asked(5))})  # opened anew before it ever gave a picture
    diary.write({1: ("yard", live())})
    assert kept(store) == []


def test_a_camera_that_is_opened_anew_has_a_gap_until_its_first_picture(store: EventStore) -> None:
    """Nobody sees what happens while it connects, which takes up to 20 s."""
    diary = Diary(store)
    diary.write({0: ("yard", live(150))})
    diary.write({1: ("yard", asked(140))})
    (begun,) = kept(store)
    assert (begun.end, begun.reason) == (None, "it was opened anew")
    assert ago(begun.start) == pytest.approx(150, abs=SLOW)
    back, now = asked(140), time.monotonic()
    for before in range(30, -1, -2):
        back = back.pictured(now - before, 640, 360)
    diary.write({1: ("yard", back)})
    (ended,) = kept(store)
    assert (ended.id, ended.start, ended.reason) == (begun.id, begun.start, begun.reason)
    assert seconds(ended) == pytest.approx(120, abs=SLOW)


def test_a_camera_that_is_back_before_anybody_looked_has_been_away(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", live(300))})
    diary.write({1: ("yard", live(200))})
    (gap,) = kept(store)
    assert seconds(gap) == pytest.approx(100, abs=SLOW)


def test_a_gap_goes_on_while_a_camera_is_opened_anew(store: EventStore) -> None:
    """Again and again, and cannot be reached: it is one gap, which tells all that became known."""
    diary = Diary(store)
    diary.write({0: ("yard", lost(600))})
    diary.write({1: ("yard", asked(30))})
    diary.write({2: ("yard", asked(20))})
    missing = asked(20).lost(time.monotonic() - 10, "no route").lost(time.monotonic() - 5, "Connection refused")
    diary.write({2: ("yard", asked(20).lost(time.monotonic() - 10, "no route"))})
    assert [gap.reason for gap in kept(store)] == ["Connection refused; no route"]
    diary.write({2: ("yard", missing)})
    diary.write({2: ("yard", missing.pictured(time.monotonic(), 640, 360))})
    (gap,) = kept(store)
    assert seconds(gap) == pytest.approx(600, abs=SLOW)
    assert gap.reason == "Connection refused"


def test_a_gap_tells_how_it_began_and_the_newest_reasons_each_once(store: EventStore) -> None:
    diary = Diary(store)
    reasons = ["no route to host", "no route", *(f"fault {number}" for number in range(20)), "fault 19"]
    diary.write({0: ("yard", live(60))})
    for number, reason in enumerate(reasons):
        diary.write({number + 1: ("yard", asked(20).lost(time.monotonic(), reason))})
        if number == 1:
            assert kept(store)[0].reason == "it was opened anew; no route to host; no route"
    (gap,) = kept(store)
    assert gap.reason == "it was opened anew; fault 16; fault 17; fault 18; fault 19"


def test_later_gaps_of_a_camera_that_was_opened_anew_are_its_own(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", live(30))})
    health = asked(29).lost(time.monotonic() - 25, "no route").pictured(time.monotonic() - 20, 640, 360)
    for number in range(25):  # more than a camera remembers
        health = health.lost(time.monotonic(), f"fault {number}").pictured(time.monotonic(), 640, 360)
        diary.write({1: ("yard", health)})
    reasons = [gap.reason for gap in kept(store)]
    assert reasons == ["it was opened anew; no route", *(f"fault {number}" for number in range(25))]


def test_the_end_of_the_process_is_the_end_of_what_it_can_tell(store: EventStore) -> None:
    diary = Diary(store)
    diary.write({0: ("yard", lost(600))})
    diary.close()
    (gap,) = kept(store)
    assert seconds(gap) == pytest.approx(600, abs=SLOW)


def test_after_a_kill_the_time_without_a_process_is_a_gap(open_store: OpenStore) -> None:
    """`yard` was lost, `door` was live; nobody has watched for an hour. `new` was not there before, `old` is gone."""
    killed = datetime.now(UTC) - timedelta(hours=1)
    with closing(open_store()) as store:
        diary = Diary(store)
        diary.write({0: ("yard", lost()), 1: ("door", live()), 2: ("old", live())})
        (open_gap,) = kept(store)
        store.note_gap(Gap(open_gap.id, "yard", killed - timedelta(minutes=5), None, "Connection refused"))
        for name in ("yard", "door", "old"):
            store.note_watched(name, killed)
    with closing(open_store()) as store:  # the diary was not closed
        recover(store)
        diary = Diary(store)
        diary.write({0: ("yard", asked()), 1: ("door", asked()), 2: ("new", asked())})
        assert {gap.camera for gap in kept(store) if gap.end is None} == {"yard", "door"}
        diary.write({0: ("yard", live()), 1: ("door", live()), 2: ("new", live())})
        gaps = {(gap.camera, gap.reason): gap for gap in kept(store)}
        diary.write({0: ("yard", live()), 1: ("door", live()), 3: ("old", live())})
        assert len(kept(store)) == len(gaps)  # `old` is added, not missed
    assert gaps.keys() == {
        ("yard", "Connection refused"),
        ("yard", "Onsight did not run"),
        ("door", "Onsight did not run"),
    }
    assert gaps["yard", "Connection refused"].end == killed
    for name in ("yard", "door"):
        down = gaps[name, "Onsight did not run"]
        assert down.start == killed
        assert ago(down.end) < 60


def test_a_camera_that_was_removed_is_not_missed_by_the_next_process(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        diary = Diary(store)
        diary.write({0: ("yard", live()), 1: ("door", live())})
        diary.write({1: ("door", live())})
        diary.close()
    with closing(open_store()) as store:
        recover(store)
        diary = Diary(store)
        diary.write({0: ("yard", asked()), 1: ("door", asked())})
        assert [gap.camera for gap in kept(store)] == ["door"]


def test_a_process_that_ends_before_it_watches_forgets_nothing(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        store.note_watched("yard", datetime.now(UTC))
        store.flush()
        Diary(store).close()
        assert Diary(store)._left.keys() == {"yard"}


def test_a_camera_that_is_removed_while_the_store_cannot_be_written_is_forgotten_later(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StoreError("no room")

    with closing(open_store()) as store:
        diary = Diary(store)
        diary.write({0: ("yard", live()), 1: ("door", live())})
        with monkeypatch.context() as patch:
            patch.setattr(store, "flush", fail)
            diary.write({1: ("door", live())})
        diary._due = 0.0
        diary.write({1: ("door", live())})
        diary.close()
    with closing(open_store()) as store:
        assert Diary(store)._left.keys() == {"door"}


def test_a_camera_that_is_not_reached_after_the_start_was_missed_all_the_while(open_store: OpenStore) -> None:
    killed = datetime.now(UTC) - timedelta(hours=1)
    with closing(open_store()) as store:
        store.note_watched("yard", killed)
    with closing(open_store()) as store:
        diary = Diary(store)
        diary.write({0: ("yard", asked(9))})
        diary.write({0: ("yard", asked(10).lost(time.monotonic(), "Connection refused"))})
        (gap,) = kept(store)
        assert (gap.start, gap.end, gap.reason) == (killed, None, "Onsight did not run; Connection refused")


def test_a_gap_of_a_camera_of_which_nothing_else_is_known_ends_where_it_began(store: EventStore) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    store.note_gap(Gap("0", "yard", start, None, "Connection refused"))
    store.flush()
    recover(store)
    assert [gap.end for gap in kept(store)] == [start]


def test_gaps_are_searched_as_events_are(store: EventStore) -> None:
    now = datetime.now(UTC)
    for number, (camera, start, end) in enumerate((("Yard", 60, 50), ("door", 40, 30), ("yard", 20, None))):
        ended = None if end is None else now - timedelta(minutes=end)
        store.note_gap(Gap(str(number), camera, now - timedelta(minutes=start), ended, "gone"))
    store.flush()

    def found(**search: object) -> list[str]:
        return [each.id for each in store.gaps(**search)]  # type: ignore[arg-type]

    assert found() == ["2", "1", "0"]
    assert found(cameras=["yard"]) == ["2", "0"]
    assert found(since=now - timedelta(minutes=35)) == ["2", "1"]
    assert found(until=now - timedelta(minutes=45)) == ["0"]
    assert found(before="2", limit=1) == ["1"]
