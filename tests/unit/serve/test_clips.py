"""Clips out of a stream that is made here: the packets of the real encoder, at times that the tests choose."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from support.watching import NOW, after, count_frames, event

from pipeline.serve import clips as clips_module
from pipeline.serve import encoding as encoding_module
from pipeline.serve.clips import Clip, Cut, Recorder
from pipeline.serve.encoding import FrameEncoder, FrameFeed
from pipeline.serve.packets import copies
from pipeline.serve.ring import PacketRing
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event

FPS = 10
PATIENCE = 10.0


class Yard:
    """A camera whose frames are encoded: one every 0.1 s, each with its number as its grey level."""

    def __init__(self, store: EventStore, cut: Cut) -> None:
        self.store = store
        self.frames = 0
        self.recorder = Recorder("yard", store, cut)
        self.encoder = FrameEncoder(self.recorder)

    def until(self, seconds: float) -> None:
        while self.frames / FPS < seconds:
            at = NOW.timestamp() + self.frames / FPS
            self.encoder.add(np.full((48, 64, 3), self.frames, np.uint8), self.frames / FPS, at)
            self.frames += 1

    def clip(self, event: Event) -> Path | None:
        self.store.flush()
        found = self.store.get(event.id)
        assert found is not None
        return self.store.clip_path(found)

    def partial(self) -> list[Path]:
        return list(self.store.files.folder.rglob("*.partial.*"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(tmp_path)) as opened:
        yield opened


@pytest.fixture
def yard(store: EventStore) -> Yard:
    return Yard(store, Cut(before=2, after=1, reserve=0))


def begin(yard: Yard, seconds: float) -> Event:
    begun = event(seconds, lasted=None)
    yard.store.add(begun)
    yard.recorder.tell(begun)
    return begun


def end(yard: Yard, begun: Event, seconds: float) -> None:
    yard.recorder.tell(replace(begun, end=after(seconds)))


def greys(path: Path) -> list[int]:
    with av.open(str(path)) as video:
        return [round(float(frame.to_ndarray(format="gray").mean())) for frame in video.decode(video=0)]


def test_a_clip_begins_before_the_event_and_ends_after_it(yard: Yard) -> None:
    yard.until(5.5)
    begun = begin(yard, 5.5)
    yard.until(7)
    assert len(yard.partial()) == 1
    end(yard, begun, 7)
    yard.until(9)
    path = yard.clip(begun)
    assert path is not None
    assert yard.partial() == []
    shown = greys(path)
    # From the key frame at 3 s, the last one that is at least two seconds old, to 8 s.
    assert len(shown) == pytest.approx(51, abs=2)
    assert shown[0] == pytest.approx(30, abs=3)
    assert shown[-1] == pytest.approx(81, abs=4)
    with av.open(str(path)) as video:
        assert float(video.duration or 0) / av.time_base == pytest.approx(5.1, abs=0.2)


def test_events_that_overlap_have_a_clip_each(yard: Yard) -> None:
    yard.until(3)
    first = begin(yard, 3)
    yard.until(4)
    second = begin(yard, 4)
    end(yard, first, 4)
    yard.until(6)
    end(yard, second, 6)
    yard.until(8)
    paths = [yard.clip(first), yard.clip(second)]
    assert all(path is not None and count_frames(path) > 20 for path in paths)
    assert len(set(paths)) == 2


def test_an_event_that_has_ended_long_ago_still_has_its_clip(yard: Yard) -> None:
    yard.until(3)
    begun = begin(yard, 2.5)
    end(yard, begun, 2.6)
    yard.until(5)
    path = yard.clip(begun)
    assert path is not None
    assert count_frames(path) > 15


def test_a_long_event_has_the_clip_of_its_beginning(store: EventStore) -> None:
    yard = Yard(store, Cut(before=1, after=1, longest=4, reserve=0))
    yard.until(3)
    begun = begin(yard, 3)
    yard.until(10)
    path = yard.clip(begun)
    assert path is not None
    assert count_frames(path) == pytest.approx(42, abs=2)
    end(yard, begun, 10)
    yard.until(12)
    assert yard.partial() == []
    assert yard.clip(begun) == path


def test_closing_finishes_what_is_being_written(yard: Yard) -> None:
    yard.until(2)
    begun = begin(yard, 2)
    yard.until(3)
    yard.encoder.pause()
    path = yard.clip(begun)
    assert path is not None
    assert count_frames(path) > 20


def test_a_new_stream_ends_clips_and_forgets_what_came_before(yard: Yard) -> None:
    yard.until(2)
    first = begin(yard, 2)
    yard.until(3)
    yard.encoder = FrameEncoder(yard.recorder)
    yard.until(3.1)
    second = begin(yard, 3.1)
    yard.until(4)
    yard.encoder.pause()
    before, later = yard.clip(first), yard.clip(second)
    assert before is not None
    assert later is not None
    assert min(greys(later)) >= 27
    assert max(greys(before)) <= 33


def test_an_event_before_the_first_packet_waits_for_it(yard: Yard) -> None:
    begun = begin(yard, 0)
    yard.until(1)
    yard.encoder.pause()
    path = yard.clip(begun)
    assert path is not None
    assert count_frames(path) == 10


def test_an_event_that_has_ended_before_its_first_packet_has_its_clip(yard: Yard) -> None:
    """As where frames wait for the encoder."""
    begun = begin(yard, 0)
    end(yard, begun, 0.5)
    yard.until(3)
    path = yard.clip(begun)
    assert path is not None
    assert count_frames(path) == pytest.approx(17, abs=1)


def test_packets_that_come_when_all_is_over_make_no_clip(yard: Yard) -> None:
    begun = begin(yard, -60)
    end(yard, begun, -50)
    yard.until(1)
    yard.encoder.pause()
    assert yard.clip(begun) is None
    assert list((yard.store.files.folder / "clips").rglob("*.mp4")) == []


def test_no_clip_begins_where_the_disk_is_nearly_full(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    yard.recorder._cut = Cut(before=2, after=1, reserve=1000)
    free = SimpleNamespace(free=999)
    monkeypatch.setattr(clips_module, "shutil", SimpleNamespace(disk_usage=lambda _: free))
    yard.until(2)
    lost = [begin(yard, 2), begin(yard, 2)]
    end(yard, lost[0], 0.5)  # has ended before the next packet comes
    yard.until(3)
    end(yard, lost[1], 3)
    free.free = 1000
    yard.until(4)
    kept = begin(yard, 4)
    yard.until(5)
    yard.encoder.pause()
    assert [yard.clip(each) for each in lost] == [None, None]
    assert yard.clip(kept) is not None
    assert caplog.text.count("No space left on device; watching goes on") == 1
    assert "clips of yard are written again" in caplog.text


def test_a_disk_that_fills_up_costs_the_clip_and_nothing_else(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    yard.until(2)
    begun = begin(yard, 2)
    yard.until(3)

    def fail(self: object, packet: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(clips_module.Clip, "add", fail)
        yard.until(4)
    end(yard, begun, 4)
    yard.until(6)
    assert yard.clip(begun) is None
    assert yard.partial() == []
    assert "clips of yard cannot be written: No space left" in caplog.text


def test_a_clip_that_cannot_be_finished_leaves_nothing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips_module, "finish", fail)
    yard.until(2)
    begun = begin(yard, 2)
    yard.until(3)
    yard.encoder.pause()
    assert yard.clip(begun) is None
    assert list((yard.store.files.folder / "clips").rglob("*.mp4")) == []


def test_a_folder_that_has_gone_costs_clips(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(yard.store.files.folder / "clips")
    (yard.store.files.folder / "clips").touch()
    yard.until(2)
    begin(yard, 2)
    yard.until(3)
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("target", "altered", "copied"),
    [
        ("rtsp://a/b", False, True),
        ("RTSPS://a/b", False, True),
        ("rtsp://a/b", True, False),
        ("http://a/b.mjpg", False, False),
        (0, False, False),
    ],
)
def test_only_what_is_shown_as_it_is_sent_is_copied(target: int | str, altered: bool, copied: bool) -> None:
    assert copies(target, altered) is copied


# Clocks that are set


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as video:
        return float(video.duration or 0) / av.time_base


@pytest.mark.parametrize("jump", [-1000.0, -0.5, 10000.0])
def test_a_camera_whose_clock_is_set_has_whole_clips(yard: Yard, jump: float) -> None:
    """The recorder gets packets as from a camera whose clock jumps at 4 s."""
    add, clock = yard.recorder.add, SimpleNamespace(ahead=0)

    def jumping(packet: Any, at: float) -> None:
        packet.dts, packet.pts = packet.dts + clock.ahead, packet.pts + clock.ahead
        add(packet, at)

    yard.recorder.add = jumping  # type: ignore[method-assign]
    yard.until(3)
    begun = begin(yard, 3)
    yard.until(4)
    clock.ahead = round(jump * 90000)
    yard.until(5)
    end(yard, begun, 5)
    yard.until(7)
    path = yard.clip(begun)
    assert path is not None
    shown = greys(path)
    assert len(shown) == pytest.approx(51, abs=2)
    assert shown == sorted(shown)
    assert seconds_of(path) == pytest.approx(5, abs=0.3)


def test_a_clip_from_the_first_picture_on_plays_though_that_has_no_time(yard: Yard) -> None:
    """As FFmpeg gives it from RTSP. What follows cannot be decoded without it."""
    add = yard.recorder.add

    def first(packet: Any, at: float) -> None:
        packet.dts = packet.pts = None
        yard.recorder.add = add  # type: ignore[method-assign]
        add(packet, at)

    yard.recorder.add = first  # type: ignore[method-assign]
    yard.until(0.5)
    begun = begin(yard, 0.5)
    yard.until(0.8)
    end(yard, begun, 0.8)
    yard.until(3)
    path = yard.clip(begun)
    assert path is not None
    assert greys(path)[0] == pytest.approx(0, abs=3)
    assert len(greys(path)) == pytest.approx(19, abs=2)


@pytest.mark.parametrize("told", ["duration", "rate", "nothing"])
def test_a_first_picture_without_a_time_is_shown_for_as_long_as_is_known(tmp_path: Path, told: str) -> None:
    camera, path = tmp_path / "camera.mp4", tmp_path / "clip.mp4"
    with av.open(str(camera), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, width=64, height=48, pix_fmt="yuv420p")
        stream.options = {"tune": "zerolatency"}
        for number in range(3):
            image = np.full((48, 64, 3), 50 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        output.mux(stream.encode())
    with av.open(str(camera)) as container:
        source = container.streams.video[0]
        tick = source.time_base
        assert tick is not None
        clip = Clip(path, lambda output: output.add_stream_from_template(source, True))
        packets = [each for each in container.demux(source) if each.size]
        packets[0].dts = packets[0].pts = None
        for each in packets:
            bare = av.Packet(bytes(each)) if told == "nothing" else each  # of no stream
            if told != "duration":
                bare.duration = 0
            bare.dts, bare.pts, bare.time_base, bare.is_keyframe = each.dts, each.pts, tick, each.is_keyframe
            clip.add(bare)
        clip.finish()
    with av.open(str(path)) as video:
        times = [frame.time for frame in video.decode(video=0)]
    first = float(tick) if told == "nothing" else 0.1
    assert times == pytest.approx([0.0, first, first + 0.1])


def test_frames_whose_time_goes_back_have_whole_clips(yard: Yard) -> None:
    add = yard.encoder.add
    yard.encoder.add = lambda image, pts, at: add(image, pts if pts < 4 else pts - 1000, at)  # type: ignore[method-assign]
    yard.until(5.5)
    begun = begin(yard, 5.5)
    yard.until(8)
    end(yard, begun, 8)
    yard.until(10)
    path = yard.clip(begun)
    assert path is not None
    shown = greys(path)
    assert shown[0] == pytest.approx(30, abs=3)  # there are key frames behind the jump, too
    assert len(shown) == pytest.approx(61, abs=2)
    assert seconds_of(path) == pytest.approx(6, abs=0.3)
    assert yard.partial() == []


# On a thread of its own


class Disk:
    """One that hangs until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        add = Clip.add

        def wait(clip: Clip, packet: Any) -> None:
            self.reached.set()
            assert self.goes_on.wait(PATIENCE)
            add(clip, packet)

        monkeypatch.setattr(Clip, "add", wait)


class Feed:
    """A camera with a clock of its own, whose frames are encoded on a thread."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recorder = Recorder("yard", store, Cut(before=2, after=1, reserve=0))
        self.feed = FrameFeed(self.recorder)
        self.frames = 0
        monkeypatch.setattr(encoding_module, "time", SimpleNamespace(time=lambda: NOW.timestamp() + self.frames / FPS))

    def show(self, frames: int) -> None:
        for _ in range(frames):
            self.feed.add(np.full((48, 64, 3), self.frames % 256, np.uint8), self.frames / FPS)
            self.frames += 1

    def settle(self) -> None:
        while self.feed._waiting:
            self.feed._worker.check()


def test_a_disk_that_hangs_holds_up_nobody(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding_module, "_MOST_BYTES", 20 * 48 * 64 * 3)
    camera, disk = Feed(store, monkeypatch), Disk(monkeypatch)
    first = event(0, lasted=None)
    store.add(first)
    camera.recorder.tell(first)
    camera.show(1)
    assert disk.reached.wait(PATIENCE)
    camera.show(99)  # 19 of them wait
    assert caplog.text.count("clips of yard are not written as fast as frames come") == 1
    disk.goes_on.set()
    camera.settle()
    second = event(10, lasted=None)
    store.add(second)
    camera.recorder.tell(second)
    camera.show(10)
    camera.feed.close()
    assert "80 frames are missing in clips of yard" in caplog.text
    store.flush()
    before, later = (store.clip_path(each) for each in reversed(store.search()))
    assert before is not None
    assert later is not None
    assert greys(before) == pytest.approx(list(range(20)), abs=3)  # it ends where the hole begins
    assert greys(later) == pytest.approx(list(range(100, 110)), abs=3)


def test_a_short_hole_does_not_end_a_clip(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_module, "_MOST_BYTES", 20 * 48 * 64 * 3)
    camera, disk = Feed(store, monkeypatch), Disk(monkeypatch)
    begun = event(0, lasted=None)
    store.add(begun)
    camera.recorder.tell(begun)
    camera.show(1)
    assert disk.reached.wait(PATIENCE)
    camera.show(25)
    disk.goes_on.set()
    camera.settle()
    camera.show(5)
    camera.feed.close()
    store.flush()
    path = store.clip_path(store.search()[0])
    assert path is not None
    assert greys(path) == pytest.approx([*range(20), *range(26, 31)], abs=3)


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding_module, "_PATIENCE", 0.01)
    camera, disk = Feed(store, monkeypatch), Disk(monkeypatch)
    camera.recorder.tell(event(0, lasted=None))
    camera.show(1)
    assert disk.reached.wait(PATIENCE)
    camera.feed.end()
    camera.feed.close()
    assert "onsight clips of yard did not end" in caplog.text
    disk.goes_on.set()
    camera.settle()


def test_frames_are_copied_and_pauses_are_few(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, disk = Feed(store, monkeypatch), Disk(monkeypatch)
    begun = event(0, lasted=None)
    store.add(begun)
    camera.recorder.tell(begun)
    image = np.full((48, 64, 3), 50, np.uint8)
    camera.feed.add(image, 0.0)
    assert disk.reached.wait(PATIENCE)
    camera.feed.add(image, 0.1)
    image[:] = 200
    for _ in range(50):
        camera.feed.pause()
    assert len(camera.feed._waiting) == 3
    disk.goes_on.set()
    camera.feed.close()
    store.flush()
    path = store.clip_path(store.search()[0])
    assert path is not None
    assert greys(path) == pytest.approx([50, 50], abs=3)


def test_a_fault_of_the_encoder_is_raised_where_frames_are_given(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    camera = Feed(store, monkeypatch)
    monkeypatch.setattr(FrameEncoder, "add", fail)
    with pytest.raises(ZeroDivisionError):
        camera.show(10**9)
    with pytest.raises(ZeroDivisionError):
        camera.feed.close()


# The ring


def packet(key: bool, size: int = 10) -> Any:
    made = av.Packet(size)
    made.is_keyframe = key
    return made


def test_a_ring_holds_whole_groups_that_reach_back_far_enough() -> None:
    ring = PacketRing(2.0)
    for tenth in range(100):
        ring.add(packet(tenth % 10 == 0), tenth / 10)
        times = [at for at, _ in ring.packets]
        assert ring.packets[0][1].is_keyframe
        assert times[0] <= max(0.0, tenth / 10 - 2.0)
        assert tenth / 10 - times[0] < 3.0 + 0.05


def test_a_ring_begins_with_a_key_frame() -> None:
    ring = PacketRing(2.0)
    ring.add(packet(False), 0.0)
    assert ring.packets == []
    ring.add(packet(True), 0.1)
    assert len(ring.packets) == 1
    ring.clear()
    ring.add(packet(False), 0.2)
    assert ring.packets == []


def test_a_ring_has_an_end() -> None:
    ring = PacketRing(1000.0, most_bytes=100)
    for index in range(50):
        ring.add(packet(index % 4 == 0), float(index))
        assert sum(each.size for _, each in ring.packets) <= 100
    assert ring.packets
    ring.add(packet(False, 1000), 60.0)
    assert ring.packets == []
