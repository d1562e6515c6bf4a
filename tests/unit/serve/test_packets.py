"""The packets of a camera, which is a file here, on their way into clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from support.watching import count_frames, event

from pipeline.serve import packets as packets_module
from pipeline.serve.clips import AddStream, Cut, Recorder
from pipeline.serve.packets import PacketReader
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.sources.live import Timing
from pipeline.sources.probe import video_stream

PATIENCE = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(tmp_path / "events")) as opened:
        yield opened


def record(path: Path, codec: str, pixels: str, frames: int = 10) -> str:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=10, width=64, height=48, pix_fmt=pixels)
        for number in range(frames):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        output.mux(stream.encode())
    return str(path)


def until(found: Callable[[], object]) -> None:
    """Waits until `found` returns something."""
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begin(store: EventStore, recorder: Recorder) -> Event:
    begun = event((datetime.now(UTC) - event().start).total_seconds(), lasted=None)
    store.add(begun)
    recorder.tell(begun)
    return begun


def clip_of(store: EventStore, begun: Event) -> Path | None:
    store.flush()
    found = store.get(begun.id)
    return None if found is None else store.clip_path(found)


def test_a_camera_that_sends_what_browsers_do_not_play_has_its_frames_encoded(store, tmp_path, caplog) -> None:
    recorder = Recorder("yard", store, Cut(before=1, after=1, reserve=0))
    reader = PacketReader(record(tmp_path / "camera.avi", "mjpeg", "yuvj420p"), recorder)
    begun = begin(store, recorder)
    until(lambda: caplog.records)
    for number in range(10):
        reader.add(np.full((48, 64, 3), number, np.uint8), number / 10)
    reader.pause()
    until(lambda: clip_of(store, begun))
    reader.end()
    reader.close()
    path = clip_of(store, begun)
    assert path is not None
    assert count_frames(path) == 10
    with av.open(str(path)) as video:
        assert video.streams.video[0].codec_context.name == "h264"
    (said,) = caplog.messages
    assert "sends mjpeg, which browsers do not play: its clips are encoded" in said


def test_a_fault_that_nobody_foresaw_is_told_and_tried_again(store, tmp_path, caplog, monkeypatch) -> None:
    faults = [ZeroDivisionError("who would have thought"), UnicodeDecodeError("utf-8", b"", 0, 1, "no text")]

    def fail(container: InputContainer) -> VideoStream | None:
        if faults:
            raise faults.pop(0)
        return video_stream(container)

    monkeypatch.setattr(packets_module, "Timing", lambda: Timing(first_wait=0.01, longest_wait=1.0))
    monkeypatch.setattr(packets_module, "video_stream", fail)
    recorder = Recorder("yard", store, Cut(before=1, after=1, reserve=0))
    begun = begin(store, recorder)
    reader = PacketReader(record(tmp_path / "camera.mp4", "libx264", "yuv420p"), recorder)
    until(lambda: clip_of(store, begun))
    reader.add(np.zeros((48, 64, 3), np.uint8), 0.0)  # raises nothing
    reader.close()
    unforeseen = [each for each in caplog.records if "failed in an unforeseen way" in each.message]
    assert [each.exc_info[0] for each in unforeseen if each.exc_info] == [ZeroDivisionError, UnicodeDecodeError]


def test_a_camera_whose_codec_is_not_known_yet_is_tried_again_and_its_packets_are_copied(
    store, tmp_path, caplog, monkeypatch
) -> None:
    tries: list[bool] = []

    def boot(container: InputContainer) -> VideoStream | None:
        tries.append(len(tries) >= 3)
        return video_stream(container) if tries[-1] else None

    monkeypatch.setattr(packets_module, "Timing", lambda: Timing(first_wait=0.01, longest_wait=1.0))
    monkeypatch.setattr(packets_module, "video_stream", boot)
    recorder = Recorder("yard", store, Cut(before=1, after=1, reserve=0))
    begun = begin(store, recorder)
    with closing(PacketReader(record(tmp_path / "camera.mp4", "libx264", "yuv420p"), recorder)):
        until(lambda: clip_of(store, begun))
    said = [each for each in caplog.messages if "no video of a known codec" in each]
    assert len(said) == 1
    assert not [each for each in caplog.messages if "encoded" in each]


ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
OPTIONS = {"libx264": {"tune": "zerolatency"}, "libx265": {"x265-params": "log-level=none"}, "libsvtav1": {}}


class Twice(Recorder):
    """Asks for another clip when the stream begins for the second time."""

    begun: list[Event]

    def connect(self, add_stream: AddStream) -> None:
        super().connect(add_stream)
        if len(self.begun) < 2:
            self.begun.append(begin(self._store, self))


def encode(codec: str, width: int, height: int, frames: int = 10) -> Iterator[Packet]:
    """Frames of 0.1 s."""
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 10)
    encoder.options = OPTIONS[codec]
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 20 * number, np.uint8), format="bgr24")
        frame.pts = number
        yield from encoder.encode(frame)
    yield from encoder.encode()


def resized(path: Path, codec: str, *sizes: tuple[int, int]) -> str:
    """One stream whose pictures have these sizes, each for a second."""
    with av.open(str(path), "w", format="ivf" if codec == "av1" else "mpegts") as output:
        stream = output.add_mux_stream(codec, width=64, height=64, time_base=Fraction(1, 10))
        for second, size in enumerate(sizes):
            for packet in encode(ENCODERS[codec], *size):
                packet.pts, packet.dts = packet.pts + 10 * second, packet.dts + 10 * second
                packet.stream = stream
                output.mux(packet)
    return str(path)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_a_clip_ends_where_the_camera_changes_its_resolution(store, tmp_path, codec) -> None:
    recorder = Twice("yard", store, Cut(before=1, after=1, reserve=0))
    recorder.begun = []
    camera = resized(tmp_path / "camera", codec, (64, 64), (64, 64), (128, 96))
    with closing(PacketReader(camera, recorder)):
        until(lambda: len(recorder.begun) == 2 and clip_of(store, recorder.begun[1]))
    sizes = []
    for begun in recorder.begun:
        with av.open(str(clip_of(store, begun))) as video:
            context = video.streams.video[0].codec_context
            sizes.append((context.width, context.height))
            frames = [(frame.width, frame.height) for frame in video.decode(video=0)]
            assert set(frames) == {sizes[-1]}
            assert len(frames) == 10 * (2 - len(sizes) + 1)
    assert sizes == [(64, 64), (128, 96)]
