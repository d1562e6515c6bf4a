"""The channel with real threads. No test depends on how fast the machine is: they wait for events, not for time."""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from types import FrameType
from typing import Any

import pytest

from pipeline import channel as channel_module
from pipeline.channel import Channel
from pipeline.lane import Lane
from pipeline.pace import Pace

PATIENCE = 5.0  # seconds; a wait that lasts longer has hung

Produce = Callable[[threading.Event], Iterator[int]]


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """A test that hangs fails, and none leaves a thread behind."""
    if hasattr(signal, "SIGALRM"):
        before = signal.signal(signal.SIGALRM, _too_late)
        signal.setitimer(signal.ITIMER_REAL, 2 * PATIENCE)
    yield
    if hasattr(signal, "SIGALRM"):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert our_threads() == []


def _too_late(*_: object) -> None:
    raise TimeoutError("the channel hangs")


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("onsight ")]


def through(
    lanes: Sequence[tuple[Produce, bool]],
    workers: Sequence[Callable[[list[int]], list[int]]],
    *,
    stop: threading.Event | None = None,
    batch: int = 1,
    capacity: int = 4,
    fresh: bool = False,
    alone: bool = False,
    dropped: list[int] | None = None,
    patience: float = PATIENCE,
) -> Iterator[int]:
    """What comes out when every lane (what it produces, and whether only the newest counts) is fed."""
    with Channel[int, int](stop or threading.Event(), capacity, patience=patience) as channel:
        fed = [
            channel.feed(produce, newest=newest, name=f"lane {number}")
            for number, (produce, newest) in enumerate(lanes)
        ]
        yield from channel.process(workers, batch, fresh=fresh, alone=alone)
        if dropped is not None:
            dropped[:] = [lane.dropped for lane in fed]


def file_of(count: int) -> tuple[Produce, bool]:
    return (lambda stop: iter(range(count)), False)


def same(items: list[int]) -> list[int]:
    return items


def wait(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


# Order and loss


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_order_is_kept_by_workers_of_random_speed(workers: int, batch: int) -> None:
    chance = random.Random(1)

    def dawdle(items: list[int]) -> list[int]:
        time.sleep(chance.random() * 0.003)
        return [10 * item for item in items]

    assert list(through([file_of(150)], [dawdle] * workers, batch=batch)) == [10 * i for i in range(150)]


def test_workers_run_side_by_side() -> None:
    together = threading.Barrier(3)

    def meet(items: list[int]) -> list[int]:
        together.wait(PATIENCE)
        return items

    assert list(through([file_of(9)], [meet] * 3)) == list(range(9))


def test_a_worker_may_give_more_or_fewer_results_than_items() -> None:
    results = through([file_of(6)], [lambda items: [i for i in items for _ in range(i % 3)]] * 2)
    assert list(results) == [1, 2, 2, 4, 5, 5]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_slow_consumer_holds_a_file_back(batch: int) -> None:
    read, leads = 0, []
    capacity, workers = 4, 2

    def count(stop: threading.Event) -> Iterator[int]:
        nonlocal read
        for item in range(200):
            read += 1
            yield item

    for number, _ in enumerate(through([(count, False)], [same] * workers, batch=batch, capacity=capacity)):
        if number % 20 == 0:
            time.sleep(0.02)
        leads.append(read - number)
    assert len(leads) == 200
    assert max(leads) <= capacity + 1 + (workers + 2) * batch


@pytest.mark.parametrize(("workers", "fresh", "most"), [(1, False, 2), (2, False, 3), (1, True, 1), (2, True, 2)])
def test_one_call_more_than_there_are_workers_is_made_ahead_unless_results_are_to_be_fresh(
    workers: int, fresh: bool, most: int
) -> None:
    begun, leads = 0, []

    def note(items: list[int]) -> list[int]:
        nonlocal begun
        begun += 1
        return items

    for given, _ in enumerate(through([file_of(60)], [note] * workers, fresh=fresh), start=1):
        if given % 10 == 0:
            time.sleep(0.01)
        leads.append(begun - given)
    assert len(leads) == 60
    assert max(leads) <= most


@pytest.mark.parametrize(("fresh", "alone"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 1), (3, 1), (3, 4)])
def test_threads_are_woken_by_each_other(
    monkeypatch: pytest.MonkeyPatch, workers: int, batch: int, fresh: bool, alone: bool
) -> None:
    """And not when they look whether they are to stop, which here comes after the test has failed."""
    monkeypatch.setattr(channel_module, "_POLL", 60.0)
    got = []
    for item in through([file_of(200)], [same] * workers, batch=batch, fresh=fresh, alone=alone):
        got.append(item)
        if item % 40 == 0:
            time.sleep(0.01)
    assert got == list(range(200))


def test_workers_are_woken_by_cameras_while_the_consumer_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_POLL", 60.0)
    seen = threading.Semaphore(0), threading.Semaphore(0)

    def camera(number: int) -> tuple[Produce, bool]:
        def produce(stop: threading.Event) -> Iterator[int]:
            for item in range(number, 100, 2):
                yield item
                assert seen[number].acquire(timeout=PATIENCE)

        return produce, True

    got = []
    for item in through([camera(0), camera(1)], [same] * 2, fresh=True):
        got.append(item)
        if item % 10 < 2:
            time.sleep(0.01)
        seen[item % 2].release()
    assert sorted(got) == list(range(100))


def test_of_a_live_source_only_the_newest_is_kept_and_the_others_are_counted() -> None:
    taken, go_on, dropped = threading.Event(), threading.Event(), []

    def camera(stop: threading.Event) -> Iterator[int]:
        yield 0
        wait(taken)
        yield from range(1, 10)
        go_on.set()

    def hold(items: list[int]) -> list[int]:
        taken.set()
        wait(go_on)
        return items

    assert list(through([(camera, True)], [hold], dropped=dropped)) == [0, 9]
    assert dropped == [8]


def test_a_file_drops_nothing() -> None:
    dropped: list[int] = []
    assert list(through([file_of(50), file_of(0)], [same], dropped=dropped)) == list(range(50))
    assert dropped == [0, 0]


# Batches and lanes


def filled(channel: Channel[int, int], counts: Sequence[int], *, newest: bool = False) -> list[Lane[int]]:
    """Feeds a lane for each count, items 0, 100, 200, … upwards, and waits until all of them lie in the lanes."""
    lanes = [
        channel.feed(lambda stop, first=100 * number, count=count: iter(range(first, first + count)), newest=newest)
        for number, count in enumerate(counts)
    ]
    for thread in our_threads():
        thread.join(PATIENCE)
    return lanes


def test_a_batch_takes_what_is_there() -> None:
    batches: list[list[int]] = []
    with Channel[int, int](threading.Event(), capacity=6) as channel:
        filled(channel, [6])
        list(channel.process([lambda items: batches.append(items) or items], batch=4))
    assert batches == [[0, 1, 2, 3], [4, 5]]


class Reel:
    """A file that gives an item when the test says so, to three workers that take up to four and wait for 5 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(channel_module, "_now", lambda: self.now)
        self._items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.batches: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self._channel = Channel[int, int](threading.Event(), capacity=8)
        self._consumer = threading.Thread(target=self._consume)
        self._consumer.start()

    def _consume(self) -> None:
        with self._channel as channel:
            channel.feed(lambda stop: iter(self._items.get, None), newest=False)
            list(channel.process([lambda items: self.batches.put(items) or items] * 3, batch=4, wait=5.0))

    def give(self, *items: int | None) -> None:
        for item in items:
            self._items.put(item)

    def nothing_is_taken(self) -> bool:
        """Though a worker has seen what there is."""
        late = time.monotonic() + PATIENCE
        while self._channel._since is None:
            assert time.monotonic() < late
            time.sleep(0.001)
        time.sleep(0.02)
        return self.batches.empty()

    def end(self) -> None:
        self.give(None)
        self._consumer.join(PATIENCE)
        assert not self._consumer.is_alive()


@pytest.fixture
def reel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reel]:
    made = Reel(monkeypatch)
    yield made
    made.end()


def test_frames_of_a_file_wait_for_a_full_batch_though_other_workers_are_idle(reel: Reel) -> None:
    reel.give(0, 1, 2)
    assert reel.nothing_is_taken()
    reel.give(3, 4)
    assert reel.batches.get(timeout=PATIENCE) == [0, 1, 2, 3]
    assert reel.nothing_is_taken()


def test_the_wait_begins_anew_for_all_workers_when_one_has_taken_a_batch(reel: Reel) -> None:
    reel.give(0, 1, 2)
    assert reel.nothing_is_taken()  # but seen, by each of them
    reel.give(3)
    assert reel.batches.get(timeout=PATIENCE) == [0, 1, 2, 3]
    reel.now = 4.0
    reel.give(4)
    assert reel.nothing_is_taken()
    reel.now = 6.0
    reel.give(5)
    assert reel.nothing_is_taken()
    reel.now = 9.1
    reel.give(6)
    assert reel.batches.get(timeout=PATIENCE) == [4, 5, 6]


def test_the_last_frames_of_a_file_wait_for_nothing(reel: Reel) -> None:
    reel.give(0, 1, 2, 3, 4, None)
    assert [reel.batches.get(timeout=PATIENCE / 2) for _ in range(2)] == [[0, 1, 2, 3], [4]]


def test_without_a_wait_a_batch_of_a_file_takes_what_is_there() -> None:
    shown = threading.Event()

    def camera(stop: threading.Event) -> Iterator[int]:
        yield 0
        wait(shown)
        yield 1

    for item in through([(camera, False)], [same], batch=8):
        if item == 0:
            shown.set()
    assert item == 1


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_lanes_take_turns(batch: int) -> None:
    with Channel[int, int](threading.Event()) as channel:
        filled(channel, [4, 4, 2])
        order = list(channel.process([same], batch=batch))
    assert order == [0, 100, 200, 1, 101, 201, 2, 102, 3, 103]


def test_a_slow_lane_does_not_hold_up_the_others() -> None:
    release = threading.Event()

    def slow(stop: threading.Event) -> Iterator[int]:
        wait(release)
        yield 100

    got = []
    for item in through([(slow, False), file_of(20)], [same] * 2):
        got.append(item)
        if len(got) == 20:
            release.set()
    assert got == [*range(20), 100]


def test_each_live_lane_keeps_its_own_newest() -> None:
    with Channel[int, int](threading.Event()) as channel:
        lanes = filled(channel, [10, 3, 1], newest=True)
        assert list(channel.process([same])) == [9, 102, 200]
        assert [lane.dropped for lane in lanes] == [9, 2, 0]


def ticking(item: int) -> Produce:
    """A camera that gives the same item again and again."""

    def produce(stop: threading.Event) -> Iterator[int]:
        while not stop.wait(0.001):
            yield item

    return produce


def test_a_lasting_channel_takes_and_gives_up_sources_while_it_runs() -> None:
    stop = threading.Event()
    seen: list[int] = []
    with Channel[int, int](stop, lasting=True) as channel:
        first = channel.feed(ticking(1), newest=True)
        for item in channel.process([same]):
            seen.append(item)
            if len(seen) == 3:
                channel.feed(ticking(2), newest=True)
                channel.feed(lambda _: iter(()), newest=True)
            elif item == 2 and not first.stop.is_set():
                channel.unfeed(first)
                channel.unfeed(first)
                seen.clear()
            elif len(seen) == 20:
                stop.set()
    assert 1 not in seen[2:]  # what a worker had already taken may still arrive
    assert set(seen) >= {2}
    assert first.stop.is_set()


def test_a_lasting_channel_waits_for_its_first_source() -> None:
    stop = threading.Event()
    with Channel[int, int](stop, lasting=True) as channel:
        timer = threading.Timer(0.3, lambda: channel.feed(ticking(5), newest=True))
        timer.start()
        assert next(channel.process([same])) == 5
        timer.join()


def test_a_source_that_is_fed_after_the_end_is_told_to_end() -> None:
    with Channel[int, int](threading.Event(), lasting=True) as channel:
        pass
    late = channel.feed(ticking(1), newest=True)
    assert late.stop.is_set()
    for thread in our_threads():
        thread.join(PATIENCE)


def test_without_sources_there_is_nothing() -> None:
    assert list(through([], [same])) == []


# Batches of several cameras


class Studio:
    """Cameras that give what the test says, at the time that it says, to one worker.

    Before that, each has given a frame, -1, at 0 s and at 1 s: the next ones are due at 2 s.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cameras: int, batch: int, wait: float) -> None:
        self.batches: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self._now = 0.0
        monkeypatch.setattr(channel_module, "_now", lambda: self._now)
        self._queues = [queue.SimpleQueue[int | None]() for _ in range(cameras)]
        self._put = threading.Semaphore(0)
        self._channel = Channel[int, int](threading.Event())
        self.lanes = [
            self._channel.feed(lambda stop, items=items: self._give(items), newest=True) for items in self._queues
        ]
        for self._now in (0.0, 1.0):
            for camera in range(cameras):
                self._queues[camera].put(-1)
                assert self._put.acquire(timeout=PATIENCE)
        for lane in self.lanes:
            lane.items.clear()
        self._consumer = threading.Thread(target=self._consume, args=(batch, wait))
        self._consumer.start()

    def _give(self, items: queue.SimpleQueue[int | None]) -> Iterator[int]:
        while (item := items.get()) is not None:
            yield item
            self._put.release()

    def _consume(self, batch: int, wait: float) -> None:
        with self._channel as channel:
            list(channel.process([lambda items: self.batches.put(items) or items], batch, wait=wait))

    def at(self, now: float, camera: int, item: int) -> None:
        """Returns when the item lies in its lane."""
        self._now = now
        self._queues[camera].put(item)
        assert self._put.acquire(timeout=PATIENCE)

    def taken(self) -> list[int]:
        """The next batch."""
        return self.batches.get(timeout=PATIENCE)

    def nothing_is_taken(self) -> bool:
        time.sleep(0.02)  # a worker that does not wait takes it meanwhile
        return self.batches.empty()

    def end(self) -> None:
        for items in self._queues:
            items.put(None)
        self._consumer.join(PATIENCE)
        assert not self._consumer.is_alive()


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Studio]]:
    made: list[Studio] = []

    def make(cameras: int = 2, batch: int = 4, wait: float = 100.0) -> Studio:
        made.append(Studio(monkeypatch, cameras, batch, wait))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_frames_of_cameras_wait_for_each_other_and_share_a_batch(studio: Callable[..., Studio]) -> None:
    cameras = studio(3)
    cameras.at(2.0, 0, 10)
    cameras.at(2.1, 2, 12)
    assert cameras.nothing_is_taken()
    cameras.at(2.2, 1, 11)
    assert cameras.taken() == [10, 11, 12]


def test_no_frame_waits_once_the_batch_is_full(studio: Callable[..., Studio]) -> None:
    cameras = studio(3, batch=2)
    cameras.at(2.0, 0, 10)
    assert cameras.nothing_is_taken()
    cameras.at(2.0, 1, 11)
    assert cameras.taken() == [10, 11]


def test_a_newer_frame_takes_the_place_of_the_one_that_waits(studio: Callable[..., Studio]) -> None:
    cameras = studio()
    cameras.at(2.0, 0, 10)
    assert cameras.nothing_is_taken()
    cameras.at(2.1, 0, 20)
    cameras.at(2.1, 1, 21)
    assert cameras.taken() == [20, 21]
    assert cameras.lanes[0].dropped == 1 + 1  # and one of those before


def test_a_camera_that_is_not_due_is_not_waited_for(studio: Callable[..., Studio]) -> None:
    cameras = studio(wait=0.5)
    cameras.at(1.4, 0, 10)
    assert cameras.taken() == [10]


def test_a_camera_without_a_frame_for_longer_than_usual_is_not_waited_for(studio: Callable[..., Studio]) -> None:
    cameras = studio()
    cameras.at(3.5, 0, 10)
    assert cameras.taken() == [10]


def test_a_camera_that_has_ended_is_not_waited_for(studio: Callable[..., Studio]) -> None:
    cameras = studio()
    cameras.lanes[1].stop.set()
    cameras.at(2.0, 0, 10)
    assert cameras.taken() == [10]


def test_the_wait_has_an_end(studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = studio(wait=0.02)
    began = time.monotonic()
    monkeypatch.setattr(channel_module, "_now", lambda: 2.0 + time.monotonic() - began)
    cameras._queues[0].put(10)
    assert cameras.taken() == [10]


def test_without_a_wait_a_batch_takes_what_is_there(studio: Callable[..., Studio]) -> None:
    cameras = studio(wait=0.0)
    cameras.at(2.0, 0, 10)
    assert cameras.taken() == [10]


def test_frames_of_a_file_do_not_wait_for_cameras(studio: Callable[..., Studio]) -> None:
    cameras = studio()
    cameras._channel.feed(lambda stop: iter([7]), newest=False)
    assert cameras.taken() == [7]


# The gate


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (1, 3), (4, 1), (3, 4)])
def test_the_gate_sees_items_in_order_and_one_at_a_time(workers: int, batch: int) -> None:
    inside, seen = threading.Lock(), []

    def gate(item: int) -> int:
        assert inside.acquire(blocking=False)
        seen.append(item)
        inside.release()
        return 10 * item

    with Channel[int, int](threading.Event()) as channel:
        channel.feed(lambda stop: iter(range(100)), newest=False)
        assert list(channel.process([same] * workers, batch, gate)) == [10 * item for item in range(100)]
    assert seen == list(range(100))


def test_of_a_live_source_the_gate_sees_what_is_taken_and_nothing_that_is_dropped() -> None:
    """So one item in three is marked, whichever are dropped: none that is marked can be dropped."""
    taken = threading.Semaphore(0)
    seen: list[int] = []

    def camera(stop: threading.Event) -> Iterator[int]:
        for burst in range(30):
            yield from range(7 * burst, 7 * burst + 7)
            assert taken.acquire(timeout=PATIENCE)

    def gate(item: int) -> int:
        seen.append(item)
        return item if len(seen) % 3 == 1 else -item

    def work(items: list[int]) -> list[int]:
        taken.release()
        return items

    with Channel[int, int](threading.Event()) as channel:
        lane = channel.feed(camera, newest=True)
        results = list(channel.process([work], gate=gate))
        assert len(results) + lane.dropped == 210
    assert [abs(item) for item in results] == seen
    assert [item >= 0 for item in results] == [number % 3 == 0 for number in range(len(results))]


# Fresh results


def handed_over(items: queue.SimpleQueue[int], put: threading.Semaphore) -> Produce:
    """A camera that gives what lies in `items`, up to a negative one, and says of each that it has been put."""

    def produce(stop: threading.Event) -> Iterator[int]:
        while (item := items.get()) >= 0:
            yield item
            put.release()

    return produce


def test_while_the_consumer_is_busy_the_newest_item_is_taken_as_late_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now, times, put = 0.0, dict[int, float](), threading.Semaphore(0)
    items, taken = queue.SimpleQueue[int](), queue.SimpleQueue[list[int]]()
    monkeypatch.setattr(channel_module, "_now", lambda: now)
    put_there = Lane.put

    def put_in_time(lane: Lane[int], item: int, _: float) -> None:
        nonlocal now  # under the channel's lock: no worker sees the time without the item
        now = times.get(item, now)
        put_there(lane, item, now)

    monkeypatch.setattr(Lane, "put", put_in_time)

    def work(batch: list[int]) -> list[int]:
        nonlocal now
        now += 1  # a call takes a second
        taken.put(batch)
        return batch

    def come(item: int, at: float) -> None:
        times[item] = at
        items.put(item)
        assert put.acquire(timeout=PATIENCE)

    with Channel[int, int](threading.Event()) as channel:
        channel.feed(handed_over(items, put), newest=True)
        results = channel.process([work], fresh=True)
        items.put(0)
        assert next(results) == 0
        assert put.acquire(timeout=PATIENCE)
        assert taken.get(timeout=PATIENCE) == [0]
        come(1, at=11)
        assert taken.get(timeout=PATIENCE) == [1]  # nothing was known of the consumer
        assert next(results) == 1  # which has kept the result before for 11 s
        come(2, at=13)
        come(3, at=21)
        time.sleep(0.02)
        assert taken.empty()
        come(4, at=22)  # a second before it will ask
        assert taken.get(timeout=PATIENCE) == [4]
        assert next(results) == 4
        come(5, at=25)
        time.sleep(0.02)
        assert taken.empty()
        assert next(results) == 5  # it asks sooner than usual, and is not kept waiting
        items.put(-1)


@pytest.mark.parametrize(("usual", "alone", "beside"), [(10, True, True), (40, True, False), (40, False, True)])
def test_a_late_call_holds_up_the_next_only_where_calls_take_as_long_as_the_camera_and_slow_each_other_down(
    monkeypatch: pytest.MonkeyPatch, usual: float, alone: bool, beside: bool
) -> None:
    """Its items come every 33 seconds, or as soon as a call that takes longer is over."""
    now, put = 0.0, threading.Semaphore(0)
    items, begun, go_on = queue.SimpleQueue[int](), queue.SimpleQueue[int](), queue.SimpleQueue[float]()
    monkeypatch.setattr(channel_module, "_now", lambda: now)
    monkeypatch.setattr(Pace, "until_asked", lambda *_: 0.0)  # whatever the consumer does

    def work(batch: list[int]) -> list[int]:
        nonlocal now
        begun.put(batch[0])
        took = go_on.get(timeout=PATIENCE)
        now += took
        return batch

    def come(item: int) -> None:
        items.put(item)
        assert put.acquire(timeout=PATIENCE)

    with Channel[int, int](threading.Event()) as channel:
        channel.feed(handed_over(items, put), newest=True)
        results = channel.process([work] * 2, fresh=True, alone=alone)
        for item in range(2):
            now = max(now, 33.0 * item)
            come(item)
            go_on.put(usual)
            assert next(results) == item
            assert begun.get(timeout=PATIENCE) == item
        now = max(now, 66.0)
        come(2)
        assert begun.get(timeout=PATIENCE) == 2
        now += 33
        come(3)
        if not beside:
            time.sleep(0.02)
            assert begun.empty()
            go_on.put(0)
        assert begun.get(timeout=PATIENCE) == 3
        for _ in range(1 + beside):
            go_on.put(0)
        assert [next(results), next(results)] == [2, 3]
        items.put(-1)


def test_a_file_is_worked_on_while_the_consumer_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    now, taken = 0.0, queue.SimpleQueue[list[int]]()
    monkeypatch.setattr(channel_module, "_now", lambda: now)
    results = through([file_of(4)], [lambda batch: taken.put(batch) or batch], fresh=True)
    for item in range(3):
        assert next(results) == item
        assert taken.get(timeout=PATIENCE) == [item]
        now += 11
    assert taken.get(timeout=PATIENCE) == [3]  # though it was not asked for
    assert list(results) == [3]


# Faults


def deep_fault(item: int) -> int:
    if item == 7:
        raise ZeroDivisionError(item)
    return item


def assert_own_traceback(caught: pytest.ExceptionInfo[ZeroDivisionError]) -> None:
    assert caught.value.args == (7,)
    assert "deep_fault" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert our_threads() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_a_fault_in_a_worker_arrives_with_its_own_traceback(workers: int) -> None:
    def produce(stop: threading.Event) -> Iterator[int]:
        return iter(range(10_000))

    with pytest.raises(ZeroDivisionError) as caught:
        list(through([(produce, False)], [lambda items: [deep_fault(i) for i in items]] * workers))
    assert_own_traceback(caught)


def test_what_was_ready_before_a_fault_arrives() -> None:
    failing = threading.Event()

    def work(items: list[int]) -> list[int]:
        if items == [2]:
            failing.set()
            raise ZeroDivisionError
        return items

    results = through([file_of(10)], [work])
    assert next(results) == 0
    wait(failing)
    time.sleep(0.02)  # the fault becomes known
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_after_a_fault_nothing_more_is_taken() -> None:
    """Else a camera that gives more and more would keep it from being told."""

    def endless(stop: threading.Event) -> Iterator[int]:
        yield from range(10_000_000)

    def broken(stop: threading.Event) -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    slowly = (time.sleep(0.001) for _ in through([(endless, True), (broken, True)], [same] * 3))
    with pytest.raises(ZeroDivisionError):
        list(slowly)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_fault_in_the_gate_arrives_with_its_own_traceback(workers: int) -> None:
    with Channel[int, int](threading.Event()) as channel, pytest.raises(ZeroDivisionError) as caught:  # noqa: PT012
        channel.feed(lambda stop: iter(range(10_000)), newest=False)
        list(channel.process([same] * workers, gate=deep_fault))
    assert_own_traceback(caught)


@pytest.mark.parametrize("newest", [False, True])
def test_a_fault_in_a_source_arrives_with_its_own_traceback(newest: bool) -> None:
    def produce(stop: threading.Event) -> Iterator[int]:
        for item in range(100):
            yield deep_fault(item)

    with pytest.raises(ZeroDivisionError) as caught:
        list(through([file_of(10_000), (produce, newest)], [same] * 2))
    assert_own_traceback(caught)


def test_a_source_that_cannot_even_begin_is_a_fault() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(through([(lambda stop: iter([deep_fault(7)]), False)], [same]))
    assert_own_traceback(caught)


@pytest.fixture
def slow_faults() -> Iterator[None]:
    """In new threads, a fault takes its time in every function of the channel through which it passes."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "exception" and frame.f_code.co_filename == channel_module.__file__:
            time.sleep(0.05)
        return trace

    before = threading.gettrace()
    threading.settrace(trace)
    yield
    threading.settrace(before)  # type: ignore[arg-type]


@pytest.mark.usefixtures("slow_faults")
@pytest.mark.parametrize("newest", [False, True])
def test_a_fault_at_the_very_end_of_the_last_source_is_not_lost(newest: bool) -> None:
    """The end of a source must not be seen before its fault."""

    def produce(stop: threading.Event) -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(through([(produce, newest)], [same]))


def test_a_fault_of_the_consumer_ends_everything() -> None:
    closed = threading.Event()

    def endless(stop: threading.Event) -> Iterator[int]:
        try:
            yield from range(10_000_000)
        finally:
            closed.set()

    with pytest.raises(ZeroDivisionError), closing(through([(endless, False)], [same] * 2)) as items:  # noqa: PT012
        for item in items:
            deep_fault(item)
    assert closed.is_set()
    assert our_threads() == []


# Shutdown


def test_stop_lets_what_is_in_flight_arrive() -> None:
    stop, produced = threading.Event(), []

    def endless(stop: threading.Event) -> Iterator[int]:
        for item in range(10_000_000):
            produced.append(item)
            yield item

    got = []
    for item in through([(endless, False)], [same] * 2, stop=stop):
        got.append(item)
        if item == 20:
            stop.set()
    assert got == produced
    assert len(got) >= 21


def test_stop_shows_the_last_frame_of_a_live_source_that_waits() -> None:
    stop, taken, go_on = threading.Event(), threading.Event(), threading.Event()

    def camera(stop: threading.Event) -> Iterator[int]:
        yield 0
        wait(taken)
        yield 1
        stop.set()
        go_on.set()

    def hold(items: list[int]) -> list[int]:
        taken.set()
        wait(go_on)
        return items

    assert list(through([(camera, True)], [hold], stop=stop)) == [0, 1]


def test_a_frame_that_comes_after_the_workers_have_left_holds_nobody_up() -> None:
    """A camera's read may return long after `stop`, when no worker waits for a frame any more."""
    stop, late = threading.Event(), threading.Event()

    def camera(stop: threading.Event) -> Iterator[int]:
        try:
            yield 0
            wait(stop)
            for thread in our_threads():
                if "worker" in thread.name:
                    thread.join(PATIENCE)
            yield 1
        finally:
            late.set()

    got = []
    for item in through([(camera, True)], [same] * 2, stop=stop):
        got.append(item)
        stop.set()
    assert got == [0]
    assert late.is_set()


def test_a_camera_that_is_blocked_in_a_read_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, unplugged = threading.Event(), threading.Event()

    def camera(stop: threading.Event) -> Iterator[int]:
        yield 0
        wait(unplugged)
        yield 1

    got = []
    for item in through([(camera, True)], [same], stop=stop, patience=0.05):
        got.append(item)
        stop.set()
    assert got == [0]
    assert "lane 0 did not end" in caplog.text
    unplugged.set()
    for thread in our_threads():
        thread.join(PATIENCE)


def test_the_run_may_be_stopped_before_its_first_frame() -> None:
    stop = threading.Event()
    stop.set()
    closed = threading.Event()

    def camera(stop: threading.Event) -> Iterator[int]:
        try:
            while not stop.is_set():
                yield 0
        finally:
            closed.set()

    assert list(through([(camera, True)], [same], stop=stop)) == []
    assert closed.is_set()


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("way", ["end", "stop", "fault", "left early"])
def test_a_source_is_always_closed_and_on_its_own_thread(newest: bool, way: str) -> None:
    stop, closed_on = threading.Event(), []

    def produce(stop: threading.Event) -> Iterator[int]:
        try:
            for item in range(20 if way == "end" else 100_000):
                yield item
                stop.wait(0.0001)
        finally:
            closed_on.append(threading.current_thread().name)

    def work(items: list[int]) -> list[int]:
        if way == "fault":
            raise ZeroDivisionError
        return items

    results = through([(produce, newest)], [work], stop=stop)
    if way == "fault":
        with pytest.raises(ZeroDivisionError):
            list(results)
    elif way == "left early":
        next(results)
        results.close()
    else:
        for _ in results:
            if way == "stop":
                stop.set()
    assert closed_on == ["onsight lane 0"]


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("way", ["end", "left early"])
def test_leaving_stops_the_sources_but_the_event_of_the_caller_is_only_looked_at(newest: bool, way: str) -> None:
    stop, own = threading.Event(), []

    def produce(stop: threading.Event) -> Iterator[int]:
        own.append(stop)
        yield from range(10 if way == "end" else 10_000_000)

    with closing(through([(produce, newest)], [same], stop=stop)) as results:
        next(results)
        assert not own[0].is_set()
        if way == "end":
            list(results)
    assert own[0].is_set()
    assert not stop.is_set()


def test_stop_is_seen_by_a_consumer_that_never_waits() -> None:
    """Results that always lie ready must not keep the channel from looking at `stop`."""
    stop, ready = threading.Event(), threading.Semaphore(0)

    def endless(stop: threading.Event) -> Iterator[int]:
        yield from range(10_000_000)

    def work(items: list[int]) -> list[int]:
        ready.release()
        return items

    got = []
    for item in through([(endless, False)], [work] * 2, stop=stop):
        got.append(item)
        if item == 5:
            stop.set()
        if not stop.is_set():
            assert ready.acquire(timeout=PATIENCE)
        elif len(got) < 200:
            time.sleep(0.005)  # all that the workers may do ahead is done
        else:
            break
    assert len(got) < 200
    assert got == list(range(len(got)))


def test_a_file_gives_nothing_if_the_run_is_stopped_before_it_begins() -> None:
    stop = threading.Event()
    stop.set()

    def film(stop: threading.Event) -> Iterator[int]:
        yield from (number for number in range(100) if not stop.is_set())

    for _ in range(50):
        assert list(through([(film, False)], [same] * 2, stop=stop)) == []
