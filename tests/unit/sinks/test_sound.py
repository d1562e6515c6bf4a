import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.sinks.video import VideoSink
from pipeline.types import Annotated, Media

MakeItem = Callable[..., Annotated]
DARK, BRIGHT = (np.full((48, 64, 3), level, np.uint8) for level in (0, 255))


def payloads(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def seconds(path: Path) -> tuple[float, float]:
    """How long the file and its pictures last."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return container.duration / 1e6, float(video.duration * video.time_base)


def end_of_sound(path: Path) -> float:
    with av.open(str(path)) as container:
        return max(frame.time + frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def moments(path: Path) -> tuple[float, float]:
    """When the picture gets bright and when the sound begins to be heard, in seconds."""
    with av.open(str(path)) as container:
        flash = next(f.time for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 128)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono")
        for decoded in container.decode(audio=0):
            for frame in resampler.resample(decoded):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
                if len(loud):
                    return flash, frame.pts * frame.time_base + loud[0] / frame.sample_rate
    raise AssertionError("silence")


def make_clip(path: Path, codec: str, picture_start: float = 0.0, sound_start: float = 0.0, sound: float = 3.0) -> None:
    """Three seconds of 10 fps and `sound` seconds of sound, in which a flash and a tone begin one second in."""
    rate = 48000
    time = np.arange(round(sound * rate)) / rate
    wave = np.where(time >= 1, np.sin(2 * np.pi * 997 * time) / 2, 0).astype(np.float32)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p", options={"bf": "0"})
        audio = output.add_stream(codec, rate=rate, bit_rate=128000)
        audio.codec_context.layout = av.AudioLayout("mono")
        packets = []
        for at in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + 960], "fltp", "mono")
            frame.sample_rate, frame.pts = rate, at + round(sound_start * rate)
            packets += audio.encode(frame)
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(BRIGHT if i >= 10 else DARK, "bgr24")
            frame.pts, frame.time_base = i + round(picture_start * 10), Fraction(1, 10)
            packets += video.encode(frame)
        packets += [*audio.encode(None), *video.encode(None)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)


def write_clip(source: Path, target: Path, make_item: MakeItem, frames: int = 30, times_of: Path | None = None) -> None:
    """What a run makes of `make_clip`: its times count from the start time of the pictures."""
    times = [i / 10 for i in range(30)]
    if times_of:
        with av.open(str(times_of)) as container:
            start = container.streams.video[0].start_time
            times = [float((frame.pts - start) * frame.time_base) for frame in container.decode(video=0)]
    sink = VideoSink(target, Media(time_base=Fraction(1, 1000), frames=30, seconds=3.0, audio=source))
    for i, pts in enumerate(times[:frames]):
        sink.write(make_item(BRIGHT if i >= 10 else DARK, i, pts))
    sink.close()


def test_sound_is_copied_and_durations_are_kept(bunny: Path, tmp_path: Path, make_item: MakeItem) -> None:
    with av.open(str(bunny)) as container:
        stream = container.streams.video[0]
        ticks = sorted(packet.pts for packet in container.demux(stream) if packet.size)
        media = Media(False, False, stream.time_base, stream.frames, float(stream.duration * stream.time_base), bunny)
    sink = VideoSink(tmp_path / "x.mp4", media)
    for index, tick in enumerate(ticks):
        sink.write(make_item(DARK, index, float(tick * media.time_base)))
    sink.close()
    assert payloads(tmp_path / "x.mp4") == payloads(bunny)
    assert seconds(tmp_path / "x.mp4") == seconds(bunny) == (5.312, 5.28)


@pytest.mark.parametrize(
    ("name", "codec", "result"),
    [
        ("x.mp4", "aac", "aac"),
        ("x.mkv", "libopus", "opus"),
        ("x.mkv", "flac", "flac"),
        ("x.mkv", "pcm_s16le", "aac"),
        ("x.wmv", "wmav2", "aac"),
        ("x.ts", "aac", "aac"),
    ],
)
def test_sound_stays_with_the_pictures(
    name: str, codec: str, result: str, tmp_path: Path, make_item: MakeItem, caplog: pytest.LogCaptureFixture
) -> None:
    make_clip(tmp_path / name, codec)
    write_clip(tmp_path / name, tmp_path / "out.mp4", make_item, times_of=tmp_path / name)
    flash, tone = moments(tmp_path / "out.mp4")
    before = moments(tmp_path / name)
    assert tone - flash == pytest.approx(before[1] - before[0], abs=0.005)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == result
    assert end_of_sound(tmp_path / "out.mp4") == pytest.approx(3, abs=0.06)
    assert not caplog.records


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(("picture_start", "sound_start"), [(0.5, 0.0), (0.0, 0.5), (0.7, 0.2)])
def test_a_late_start_of_either_is_kept(
    codec: str, picture_start: float, sound_start: float, tmp_path: Path, make_item: MakeItem
) -> None:
    make_clip(tmp_path / "x.mkv", codec, picture_start, sound_start)
    write_clip(tmp_path / "x.mkv", tmp_path / "out.mp4", make_item)
    flash, tone = moments(tmp_path / "out.mp4")
    assert flash == 1
    assert tone - flash == pytest.approx(sound_start - picture_start, abs=0.03)


def test_sound_may_end_before_the_pictures_or_after(tmp_path: Path, make_item: MakeItem) -> None:
    for length in (1.5, 6.0):
        make_clip(tmp_path / "x.mkv", "aac", sound=length)
        write_clip(tmp_path / "x.mkv", tmp_path / "out.mp4", make_item)
        assert end_of_sound(tmp_path / "out.mp4") == pytest.approx(length, abs=0.06)
        assert seconds(tmp_path / "out.mp4")[1] == 3


def test_sound_stops_where_a_run_was_cut_short(tmp_path: Path, make_item: MakeItem) -> None:
    make_clip(tmp_path / "x.mp4", "aac")
    write_clip(tmp_path / "x.mp4", tmp_path / "out.mp4", make_item, frames=12)
    assert end_of_sound(tmp_path / "out.mp4") == pytest.approx(1.2, abs=0.06)


@pytest.mark.parametrize("content", [None, b"not a video", "cut"])
def test_sound_that_cannot_be_read_is_left_out_with_a_warning(
    content: bytes | str | None, tmp_path: Path, make_item: MakeItem, caplog: pytest.LogCaptureFixture
) -> None:
    clip = tmp_path / "x.mp4"
    if content == "cut":
        make_clip(clip, "aac")
        clip.write_bytes(clip.read_bytes()[:2000])
    elif isinstance(content, bytes):
        clip.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        write_clip(clip, tmp_path / "out.mp4", make_item)
    assert [record.message.startswith(f"the sound of {clip}") for record in caplog.records] == [True]
    assert seconds(tmp_path / "out.mp4") == (3, 3)


def test_sound_of_an_unknown_codec_is_left_out_with_a_warning(
    tmp_path: Path, make_item: MakeItem, caplog: pytest.LogCaptureFixture
) -> None:
    make_clip(clip := tmp_path / "clip.mkv", "aac")
    clip.write_bytes(clip.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    write_clip(clip, tmp_path / "x.mp4", make_item)
    assert caplog.messages == [f"the sound of {clip} is left out from here on: its codec is not known"]


def test_a_stream_that_begins_on_the_way_does_not_end_a_run(
    tmp_path: Path, make_item: MakeItem, caplog: pytest.LogCaptureFixture
) -> None:
    make_clip(clip := tmp_path / "clip.ts", "aac")
    data = bytearray(clip.read_bytes())
    beginnings = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x00"]  # of pictures
    data[beginnings[-5] + 2] = 5  # damage: it belongs to another stream
    clip.write_bytes(data)
    write_clip(clip, tmp_path / "x.mp4", make_item)
    assert payloads(tmp_path / "x.mp4")
    assert not caplog.records


def test_a_source_without_sound_gives_a_video_without(tmp_path: Path, make_item: MakeItem) -> None:
    with av.open(str(tmp_path / "x.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        output.mux([*stream.encode(av.VideoFrame.from_ndarray(DARK, "bgr24")), *stream.encode(None)])
    write_clip(tmp_path / "x.mp4", tmp_path / "out.mp4", make_item)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
