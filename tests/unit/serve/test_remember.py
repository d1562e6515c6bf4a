import time
from collections import deque
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from support.watching import count_frames, shown

from pipeline.serve.clips import Cut, Recorder
from pipeline.serve.encoding import FrameFeed
from pipeline.serve.memory import Memory
from pipeline.serve.packets import PacketReader
from pipeline.serve.remember import MemorySink
from pipeline.serve.store import EventStore
from pipeline.types import Annotated

PERSON = ("person", 0.9, (10.0, 10.0, 50.0, 90.0), 0)


def fresh(number: int, *seen) -> Annotated:
    """Frame `number` of a camera of 10 frames a second, decoded now."""
    item = shown(number / 10, *seen)
    redacted = replace(item.redacted, frame=replace(item.frame, born=time.perf_counter()))
    return replace(item, redacted=redacted)


def test_events_begin_and_end_and_have_clips(tmp_path):
    told = []
    with closing(EventStore(tmp_path)) as store:
        recorder = Recorder("yard", store, Cut(1, 1))
        feed = FrameFeed(recorder)
        sink = MemorySink(Memory("yard", (), store, recorder), told.append, feed)
        before = datetime.now(UTC)
        for number in range(10):
            sink.write(fresh(number, PERSON))
        assert [(each.label, each.end) for each in told] == [("person", None)]
        assert before <= told[0].start <= datetime.now(UTC)
        sink.pause()
        sink.pause()
        assert [each.id for each in told] == [told[0].id] * 2
        assert told[1].end is not None
        while feed._waiting:
            feed._worker.check()
        store.flush()
        (event,) = store.search()
        assert count_frames(store.clip_path(event)) == 10  # although no frame has come since
        for number in range(10, 20):
            sink.write(fresh(number, PERSON))
        sink.end()
        sink.close()
        store.flush()
        newest, _ = store.search()
        assert newest.id == told[-1].id != event.id
        assert newest.end is not None
        assert count_frames(store.clip_path(newest)) >= 10


def test_the_start_is_when_it_was_decoded(tmp_path):
    told = []
    with closing(EventStore(tmp_path)) as store:
        sink = MemorySink(Memory("yard", (), store), told.append)
        item = fresh(0, PERSON)
        late = replace(item, redacted=replace(item.redacted, frame=replace(item.frame, born=item.frame.born - 60)))
        sink.write(late)
        assert (datetime.now(UTC) - told[0].start).total_seconds() >= 60
        sink.close()


def test_a_fault_of_the_reader_of_packets_is_raised_where_frames_are_given(tmp_path, monkeypatch):
    def fail(self, stop) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PacketReader, "_read", fail)
    with closing(EventStore(tmp_path)) as store:
        recorder = Recorder("yard", store)
        sink = MemorySink(Memory("yard", (), store, recorder), lambda event: None, PacketReader("rtsp://a/", recorder))
        with pytest.raises(ZeroDivisionError):
            deque(sink.write(fresh(number)) for number in count())
        with pytest.raises(ZeroDivisionError):
            sink.close()
