"""Parameter sets that come with key frames: of the real encoders, mixed and altered here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from pipeline.serve.clips import Clip
from pipeline.serve.parameters import ParameterSets
from pipeline.sources.probe import video_stream

FORMATS = {"h264": "mpegts", "hevc": "mpegts", "av1": "ivf"}
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
QUIET = {"h264": {"tune": "zerolatency"}, "hevc": {"x265-params": "log-level=none"}, "av1": {}}
OTHER = {"h264": {"refs": "4"}, "hevc": {"x265-params": "log-level=none:no-sao=1"}, "av1": {}}
SIZE = (64, 64)


def key_frame(codec: str, size: tuple[int, int] = SIZE, options: dict[str, str] | None = None) -> Packet:
    encoder = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 10)
    encoder.options = options or QUIET[codec]
    frame = av.VideoFrame.from_ndarray(np.full((*size[::-1], 3), 90, np.uint8), format="bgr24")
    frame.pts = 0
    (packet,) = [*encoder.encode(frame), *encoder.encode()]
    packet.is_keyframe = True
    return packet


@contextmanager
def opened(path: Path, codec: str) -> Iterator[ParameterSets]:
    """The sets of a stream of 64 x 64 pictures."""
    with av.open(str(path), "w", format=FORMATS[codec]) as output:
        stream = output.add_mux_stream(codec, width=64, height=64, time_base=Fraction(1, 10))
        for number in range(3):
            packet = key_frame(codec)
            packet.pts = packet.dts = number
            packet.stream = stream
            output.mux(packet)
    with av.open(str(path)) as container:
        found = video_stream(container)
        assert found is not None
        yield ParameterSets(found)


def with_metadata(packet: Packet, number: int) -> Packet:
    """An AV1 key frame that tells how light its content is, in a metadata OBU behind the sequence header."""
    data = bytes(packet)
    assert data[:3] == b"\x12\x00\x0a"  # temporal delimiter, sequence header
    end = 4 + data[3]
    made = Packet(data[:end] + bytes((0x2A, 6, 1, 0, number, 0, 0, 0x80)) + data[end:])
    made.is_keyframe = True
    return made


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_sets_that_alternate_need_no_new_file(tmp_path, codec) -> None:
    one, other = key_frame(codec), key_frame(codec, options=OTHER[codec])
    with opened(tmp_path / "camera", codec) as sets:
        assert sets._find(one) != sets._find(other)
        assert [sets.changed(each) for each in (one, other, one, other)] == [False] * 4


def test_metadata_that_changes_with_each_key_frame_needs_no_new_file(tmp_path) -> None:
    frames = [with_metadata(key_frame("av1"), number) for number in range(4)]
    with opened(tmp_path / "camera", "av1") as sets:
        assert len({sets._find(each) for each in frames}) == 4
        assert not any(sets.changed(each) for each in frames)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_the_first_key_frame_tells_the_size_where_the_camera_said_another(tmp_path, codec) -> None:
    frame = key_frame(codec, (128, 96))
    with opened(tmp_path / "camera", codec) as sets:
        assert sets.changed(frame)
        assert not sets.changed(frame)
        clip = Clip(tmp_path / "clip.mp4", sets.add_stream)
        clip.add(frame)
        clip.finish()
    with av.open(str(tmp_path / "clip.mp4")) as video:
        context = video.streams.video[0].codec_context
        assert (context.width, context.height) == (128, 96)
        assert [(each.width, each.height) for each in video.decode(video=0)] == [(128, 96)]


def test_a_damaged_key_frame_is_no_change(tmp_path) -> None:
    data = bytes(key_frame("h264", (128, 96)))
    with opened(tmp_path / "camera", "h264") as sets:
        damaged = Packet(data[: len(data) // 20])
        damaged.is_keyframe = True
        assert not sets.changed(damaged)
        assert sets.changed(key_frame("h264", (128, 96)))
