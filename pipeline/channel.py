"""Threads, queues, dropping and shutdown: the only module that creates threads.

    sources, a thread each ──> lanes ──> workers, a thread each ──> results in order ──> the caller's thread

A lane of a file waits when it is full: no frame is lost. A lane of a live source holds one frame, the newest: an older
one that nobody took is dropped and counted. Shutdown has two phases: `stop` lets the sources end and what is in flight
arrive; leaving the `with` block cancels whatever still runs and joins every thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from pipeline.lane import Lane
from pipeline.pace import Pace

T = TypeVar("T")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)
_POLL = 0.2  # seconds; waits are woken by each other, this is how soon they see `stop`
_JOIN = 5.0  # seconds; a thread that is in a call that cannot be interrupted may outlast it


class _Calls(NamedTuple):
    """How workers are called; see `Channel.process`. `ahead`: calls that are under way, or whose results wait."""

    batch: int
    ahead: int
    wait: float
    fresh: bool
    alone: bool


class Channel(Generic[T, R]):
    """Brings items from sources through workers to one consumer, in the order in which workers took them.

    Args:
        stop: set it to end the run cleanly. The channel only looks at it.
        capacity: how many items of a file wait for a worker.
        lasting: sources come and go; `stop` alone ends the run, not the end of all sources.
        patience: seconds for which threads are waited for at the end: a camera's read cannot be interrupted.
    """

    def __init__(
        self, stop: threading.Event, capacity: int = 4, *, lasting: bool = False, patience: float = _JOIN
    ) -> None:
        self._stop_asked = stop
        self._stop = threading.Event()  # set by `stop`, and when the channel is left
        self._capacity = capacity
        self._lasting = lasting
        self._patience = patience
        self._lanes: list[Lane[T]] = []
        self._gate: Callable[[T], T] | None = None
        self._turn = 0
        self._results: dict[int, list[R]] = {}
        self._taken = 0  # tickets given to workers
        self._given = 0  # tickets whose results went to the consumer
        self._pace = Pace()
        self._since: float | None = None  # what could be taken waits for others since then, whichever worker saw it
        self._cancelled = False
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []  # noqa: TID251
        lock = threading.Lock()
        self._lock = lock
        self._work_to_do = threading.Condition(lock)
        self._room_in_lane = threading.Condition(lock)
        self._result_ready = threading.Condition(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._end_sources()
            self._cancelled = True
            self._wake_all()
        deadline = time.monotonic() + self._patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                name = thread.name.partition(" ")[2]
                _LOG.warning("%s did not end within %.0f s and is left behind", name, self._patience)

    def feed(self, produce: Callable[[threading.Event], Iterator[T]], *, newest: bool, name: str = "source") -> Lane[T]:
        """Runs `produce(stop)` on a thread of its own. With `newest`, an item not yet taken gives way to the next."""
        lane: Lane[T] = Lane(newest, 1 if newest else self._capacity)
        with self._lock:
            self._lanes.append(lane)
            self._heed_stop()
        self._spawn(f"onsight {name}", self._pump, produce, lane)
        return lane

    def unfeed(self, lane: Lane[T]) -> None:
        """Ends a source and forgets what of it waits; does not wait for its thread. What a worker has arrives."""
        lane.stop.set()
        with self._lock:
            lane.items.clear()
            if lane in self._lanes:
                self._lanes.remove(lane)
                self._turn = 0
            self._wake_all()

    def process(
        self,
        workers: Sequence[Callable[[list[T]], list[R]]],
        batch: int = 1,
        gate: Callable[[T], T] | None = None,
        wait: float = 0.0,
        *,
        ahead: int | None = None,
        fresh: bool = False,
        alone: bool = False,
    ) -> Iterator[R]:
        """Runs each worker on a thread of its own, on up to `batch` items at a time, and yields their results in order.

        Args:
            gate: what a worker gets of an item. It sees items one at a time, in order, as they are taken, and none that
                was dropped; all threads wait for it.
            wait: seconds, at most, for which a worker that could take items waits for others, so that `batch` come
                together: with those of live sources for other live sources that are due meanwhile, with those of files
                for the next of a file.
            ahead: calls that may be under way, or have ended before their results are asked for; None: one more than
                there are workers, so that no one waits for anyone; with `fresh` as many as there are workers.
            fresh: items of live sources are to be new when their results arrive: while the consumer is busy, a call
                begins no sooner than needed to end when it will ask again, as far as that can be foretold.
            alone: calls slow each other down. There is one at a time; only where one can end before live sources give
                the next item, one that is late does not hold that up.

        Raises:
            Whatever a source or a worker raised, with its own traceback.
        """
        self._gate = gate
        calls = _Calls(batch, ahead or len(workers) + (not fresh), wait, fresh, alone)
        for number, worker in enumerate(workers):
            self._spawn(f"onsight worker {number}", self._work, worker, calls)
        while (results := self._next_results(fresh)) is not None:
            yield from results

    def _next_results(self, fresh: bool) -> list[R] | None:
        with self._lock:
            self._heed_stop()
            if fresh:
                self._pace.ask(_now())
                self._work_to_do.notify_all()
            while self._given not in self._results:
                if self._failure is not None:
                    raise self._failure
                if self._exhausted() and self._taken == self._given:
                    return None
                self._result_ready.wait(_POLL)
                self._heed_stop()
            results = self._results.pop(self._given)
            self._given += 1
            self._pace.give(_now())
            if any(lane.items for lane in self._lanes):
                self._work_to_do.notify()  # no more than one worker can go on for that
            return results

    def _heed_stop(self) -> None:
        if self._stop_asked.is_set() or self._stop.is_set():
            self._end_sources()

    def _end_sources(self) -> None:
        self._stop.set()
        for lane in self._lanes:
            lane.stop.set()

    def _pump(self, produce: Callable[[threading.Event], Iterator[T]], lane: Lane[T]) -> None:
        with self._ending(lane):
            items = produce(lane.stop)
            try:
                for item in items:
                    if not self._put(lane, item) or lane.stop.is_set():
                        break
            finally:
                getattr(items, "close", lambda: None)()

    @contextmanager
    def _ending(self, lane: Lane[T] | None = None) -> Iterator[None]:
        """Makes the end of a thread known together with its fault, so that no one sees the end alone."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
        with self._lock:
            self._failure = self._failure or failure
            if lane is not None:
                lane.done = True
            self._wake_all()

    def _put(self, lane: Lane[T], item: T) -> bool:
        with self._lock:
            while lane.full and not lane.newest and not self._cancelled:
                self._room_in_lane.wait(_POLL)
            if self._cancelled or (lane.newest and lane.stop.is_set()):
                return False
            lane.put(item, _now())
            self._work_to_do.notify()
            return True

    def _work(self, worker: Callable[[list[T]], list[R]], calls: _Calls) -> None:
        with self._ending():
            while (job := self._next_job(calls)) is not None:
                ticket, items = job
                results = worker(items)
                with self._lock:
                    self._pace.end(ticket, _now())
                    self._results[ticket] = results
                    if ticket == self._given:
                        self._result_ready.notify()

    def _next_job(self, calls: _Calls) -> tuple[int, list[T]] | None:
        with self._lock:
            while not self._cancelled and self._failure is None:
                pause = _POLL
                waiting = any(lane.items for lane in self._lanes)
                if waiting and self._taken - self._given < calls.ahead:
                    self._since = _now() if self._since is None else self._since
                    pause = max(self._pause(calls.batch, self._since + calls.wait), self._early(calls))
                    if not pause:
                        items, ticket = self._take(calls.batch), self._taken
                        self._taken += 1
                        self._pace.begin(ticket, _now())
                        self._since = None
                        self._room_in_lane.notify_all()
                        return ticket, items
                else:
                    self._since = None
                    if not waiting and self._exhausted():
                        break
                self._work_to_do.wait(pause)
        return None

    def _pause(self, batch: int, until: float) -> float:
        """Seconds to wait for more: until `until`, where live sources alone or files alone have given items, fewer than
        `batch`, and more of the kind is to come; else 0.
        """
        if (now := _now()) >= until or sum(len(lane.items) for lane in self._lanes) >= batch:
            return 0.0
        kinds = {lane.newest for lane in self._lanes if lane.items}
        more = len(kinds) == 1 and any(lane.newest in kinds and lane.expects(now, until) for lane in self._lanes)
        return until - now if more else 0.0

    def _early(self, calls: _Calls) -> float:
        """Seconds by which a call would be too early: beside another one, or with what live sources have given and the
        consumer will not ask for yet.
        """
        now, pause = _now(), 0.0
        if calls.alone:
            rate = sum(lane.rate for lane in self._lanes) / min(calls.batch, max(1, len(self._lanes)))
            pause = min(_POLL, self._pace.until_late(now, rate))  # when a call ends, its worker sees to the next
        if calls.fresh and any(lane.newest for lane in self._lanes):
            pause = max(pause, self._pace.until_asked(now))
        return pause

    def _take(self, batch: int) -> list[T]:
        """Up to `batch` items, one from each lane in turn."""
        items: list[T] = []
        misses = 0
        while len(items) < batch and misses < len(self._lanes):
            lane = self._lanes[self._turn]
            self._turn = (self._turn + 1) % len(self._lanes)
            if lane.items:
                item = lane.items.popleft()
                items.append(self._gate(item) if self._gate else item)
                misses = 0
            else:
                misses += 1
        return items

    def _exhausted(self) -> bool:
        """No item is left and none will come. A live source that was told to stop is not waited for."""
        stopped = self._stop.is_set()
        if self._lasting and not stopped:
            return False
        return all(not lane.items and (lane.done or (stopped and lane.newest)) for lane in self._lanes)

    def _spawn(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)  # noqa: TID251
        with self._lock:
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
            thread.start()

    def _wake_all(self) -> None:
        for condition in (self._work_to_do, self._room_in_lane, self._result_ready):
            condition.notify_all()


def _now() -> float:
    """Seconds; the clock that a test may turn."""
    return time.monotonic()


class Worker:
    """One function on a thread of its own, for what is not on a frame's way: writing, keeping, listening.

    Args:
        run: called with an event; returns soon after that is set.
        name: what messages call it.
        failed: called when `run` has raised something.
    """

    def __init__(
        self, run: Callable[[threading.Event], None], name: str, failed: Callable[[], None] = lambda: None
    ) -> None:
        self._run = run
        self._failed = failed
        self._stop = threading.Event()
        self._ended: float | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._guard, name=f"onsight {name}", daemon=True)  # noqa: TID251
        self._thread.start()

    def check(self) -> None:
        """Raises what `run` raised, with its own traceback."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Sets the event, and does not wait."""
        self._ended = self._ended or time.monotonic()
        self._stop.set()

    def close(self, patience: float = _JOIN) -> None:
        """Sets the event, waits for the end of `run` and raises what it raised.

        Args:
            patience: seconds to wait at most, counted from the first `end`.
        """
        self.end()
        assert self._ended is not None
        self._thread.join(max(0.0, self._ended + patience - time.monotonic()))
        if self._thread.is_alive():
            _LOG.warning("%s did not end within %.0f s and is left behind", self._thread.name, patience)
        self.check()

    def _guard(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as error:
            self._failure = error
            self._failed()
