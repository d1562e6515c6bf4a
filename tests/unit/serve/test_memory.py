from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import cv2
import numpy as np
import pytest
from support.databases import OpenStore
from support.watching import NOW, after, shown

from pipeline.serve.memory import Memory
from pipeline.serve.rules import Rule
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event

BOX = (20, 20, 60, 80)


class Clips:
    """Stands for a recorder: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def tell(self, event: Event) -> None:
        self.told.append((event.rule, event.end is not None))


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[EventStore]:
    with closing(open_store()) as opened:
        yield opened


def remember(store: EventStore, *rules: Rule, clips: Any = None) -> Memory:
    return Memory("yard", rules, store, clips)


def car(memory: Memory, pts: float, score: float = 0.5, track: int = 1, label: str = "car") -> list[Event]:
    return memory(shown(pts, (label, score, BOX, track), tracked=True), after(pts))


def test_a_track_is_one_event_from_its_first_frame_to_its_last(store: EventStore) -> None:
    memory = remember(store)
    (begun,) = car(memory, 0)
    assert (begun.camera, begun.rule, begun.label, begun.start, begun.end) == ("yard", "seen", "car", NOW, None)
    assert [car(memory, pts / 10, 0.6) for pts in range(1, 10)] == [[]] * 9
    (ended,) = memory(shown(5, tracked=True), after(5))
    assert (ended.id, ended.end, ended.score, ended.track) == (begun.id, after(0.9), 0.6, 1)
    store.flush()
    (kept,) = store.search()
    assert (kept.id, kept.end, kept.score, kept.box) == (ended.id, ended.end, ended.score, ended.box)
    assert kept.path == ended.path == ((0.0, 0.2, 0.5), (0.5, 0.2, 0.5), (0.9, 0.2, 0.5))
    assert store.thumbnail_path(kept) is not None


def test_the_thumbnail_is_that_of_the_best_frame(store: EventStore) -> None:
    memory = remember(store)
    for pts, score, grey in ((0, 0.4, 50), (0.1, 0.9, 200), (0.2, 0.5, 100)):
        image = np.full((100, 200, 3), grey, np.uint8)
        memory(shown(pts, ("car", score, BOX, 1), tracked=True, image=image), after(pts))
        store.flush()
    (kept,) = store.search()
    path = store.thumbnail_path(kept)
    assert path is not None
    assert abs(int(cv2.imread(str(path)).mean()) - 200) <= 2
    assert kept.best == after(0.1)


def test_an_event_begins_when_its_rule_is_fulfilled_and_tells_when_it_was_first_seen(store: EventStore) -> None:
    memory = remember(store, Rule(name="stays", dwell=2))
    assert car(memory, 0) == car(memory, 0.9) == car(memory, 1.8) == []
    (begun,) = car(memory, 2)
    assert begun.start == NOW
    assert begun.path[0][0] == 0
    assert car(memory, 2.1) == []


def test_an_episode_may_fulfil_several_rules(store: EventStore) -> None:
    clips = Clips()
    memory = remember(
        store, Rule(name="any"), Rule(name="sure", score=0.8), Rule(name="dogs", labels="dog"), clips=clips
    )
    assert [each.rule for each in car(memory, 0)] == ["any"]
    assert [each.rule for each in car(memory, 0.1, score=0.9)] == ["sure"]
    assert [each.rule for each in memory.close()] == ["any", "sure"]
    assert clips.told == [("any", False), ("sure", False), ("any", True), ("sure", True)]
    store.flush()
    assert {each.rule: each.end for each in store.search()} == {"any": after(0.1), "sure": after(0.1)}


def test_who_comes_while_a_rule_rests_is_passed_over_for_good(store: EventStore) -> None:
    memory = remember(store, Rule(name="a", cooldown=10))
    assert len(car(memory, 0, track=1)) == 1
    assert [event.end is None for event in car(memory, 5, track=2)] == [False]
    assert car(memory, 5.9, track=2) == []
    for tenth in range(60, 120):
        assert car(memory, tenth / 10, track=2) == []
    assert [event.track for event in car(memory, 12, track=3) if event.end is None] == [3]


def test_what_fulfils_no_rule_is_not_kept(store: EventStore) -> None:
    memory = remember(store, Rule(name="dogs", labels="dog"))
    assert car(memory, 0) == memory.close() == []
    store.flush()
    assert store.search() == []
    assert list(store.files.all()) == []


def test_frames_may_follow_a_close(store: EventStore) -> None:
    memory = remember(store)
    car(memory, 0)
    assert len(memory.close()) == 1
    assert memory.close() == []
    assert len(car(memory, 0.1)) == 1
    memory.close()
    store.flush()
    assert len(store.search()) == 2
