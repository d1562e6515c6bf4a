"""What runs for weeks holds as much after many events, tracks, losses and changes as after a few."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.watching import HEIGHT, NOW, WIDTH, Seen, after, event, shown

from pipeline.counting import SceneCounter
from pipeline.serve.clips import Recorder
from pipeline.serve.episodes import Episodes
from pipeline.serve.memory import Memory
from pipeline.serve.pending import Change, Pending
from pipeline.serve.rules import Rule
from pipeline.serve.store import EventStore
from pipeline.sources.state import Health
from pipeline.track import LOST_AFTER, Tracker
from pipeline.trails import Trails
from pipeline.types import Detections, Recognised
from pipeline.zones import Place, Places

_NOT_ITS_OWN = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, EventStore)

Cycle = Callable[[int], object]


def held(root: object) -> int:
    """How many objects it leads to, without code and the store."""
    seen, found = {id(root)}, [root]
    for each in found:
        for other in gc.get_referents(each):
            if id(other) not in seen and not isinstance(other, _NOT_ITS_OWN):
                seen.add(id(other))
                found.append(other)
    return len(found)


def does_not_grow(root: object, cycle: Cycle, few: int = 25, many: int = 100) -> None:
    """Whether `root` holds as much after `many` calls of `cycle` as after `few`; nearly, as numbers may be shared."""
    for number in range(few):
        cycle(number)
    before = held(root)
    for number in range(few, many):
        cycle(number)
    assert held(root) <= before + 10


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(tmp_path)) as opened:
        yield opened


def passing(number: int) -> Iterator[tuple[float, tuple[Seen, ...]]]:
    """The times and objects of 3 s, in which one comes, goes from left to right, and is lost. `number` counts them."""
    for step in range(30):
        pts = 3.0 * number + step / 10
        box = (20.0 + 8 * step, 20.0, 60.0 + 8 * step, 80.0)
        yield pts, (("person", 0.9, box, number + 1),) if step < 15 else ()


def tracked(number: int) -> Iterator[Recognised]:
    for pts, seen in passing(number):
        item = shown(pts, *seen, tracked=True)
        yield Recognised(item.frame, item.results)


def test_what_counts_would_be_seen() -> None:
    grows: list[object] = []
    with pytest.raises(AssertionError):
        does_not_grow(grows, lambda number: grows.append(object()))


@pytest.mark.parametrize("is_tracked", [True, False])
def test_the_memory_of_a_camera(store: EventStore, is_tracked: bool) -> None:
    rules = [Rule(name="any"), Rule(name="late", dwell=1.0), Rule(name="rests", cooldown=60.0)]
    memory = Memory("yard", rules, store, None, Episodes(patience=1.0))

    def cycle(number: int) -> None:
        for pts, seen in passing(number):
            memory(shown(pts, *seen, tracked=is_tracked), after(pts))

    does_not_grow(memory, cycle)


def test_one_thing_that_stays(store: EventStore) -> None:
    """Its path is thinned."""
    memory = Memory("yard", (), store)

    def cycle(number: int) -> None:
        for pts, seen in passing(number):
            memory(shown(pts, *(seen or (("person", 0.5, (0.0, 0.0, 9.0, 9.0), 0),))), after(pts))

    does_not_grow(memory, cycle, few=100, many=300)


def test_clips_of_a_camera_whose_packets_never_come(store: EventStore) -> None:
    recorder, an_hour_ago = Recorder("yard", store), datetime.now(UTC) - timedelta(hours=1)

    def cycle(number: int) -> None:
        begun = replace(event(number, lasted=None), start=an_hour_ago)
        recorder.tell(begun)
        recorder.close()  # after each try to connect
        recorder.tell(replace(begun, end=an_hour_ago))
        recorder.close()

    does_not_grow(recorder, cycle)


def test_a_tracker() -> None:
    pytest.importorskip("trackers")
    tracker = Tracker(0.3)
    does_not_grow(tracker, lambda number: [tracker(each) for each in tracked(number)], few=10, many=30)


def test_zones_and_lines() -> None:
    zone = Place("lawn", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    line = Place("gate", ((0.6, 0.0), (0.6, 1.0)))
    counter = SceneCounter({0: Places((zone,), (line,))}, LOST_AFTER)
    does_not_grow(counter, lambda number: [counter(each) for each in tracked(number)])


def test_trails() -> None:
    trails, image = Trails(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def cycle(number: int) -> None:
        for each in tracked(number):
            assert isinstance(each.results, Detections)
            trails.draw(image, each.frame, each.results)

    does_not_grow(trails, cycle)


def test_how_a_camera_is() -> None:
    holder: list[Any] = [Health(0.0, 0.0, 5.0)]

    def cycle(number: int) -> None:
        holder[0] = holder[0].pictured(20.0 * number, 6, 4).lost(20.0 * number + 1, "gone")

    does_not_grow(holder, cycle)


def test_what_waits_for_a_database_that_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.pending._MOST", 20)
    pending, picture = Pending(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def cycle(number: int) -> None:
        pending.put(Change(event(number), True, {"id": number}), picture)
        pending.note({"time": NOW, "what": str(number)})
        pending.put_back(pending.take())

    does_not_grow(pending, cycle)
