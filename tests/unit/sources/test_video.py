"""Files that end before their end, change on the way, or come over HTTP."""

from __future__ import annotations

import functools
import http.server
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
from support import clips
from support.faults import fail_at

from pipeline.errors import SourceError
from pipeline.sources import capture, open_source, pyav
from pipeline.sources.probe import demux
from pipeline.sources.video import Decoder, VideoFile

LONG = tuple(number / 25 for number in range(100))
BOTH = pytest.mark.parametrize("decoder", [capture.decode, pyav.decode], ids=["opencv", "pyav"])


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@BOTH
def test_a_cut_mp4_gives_what_it_has_and_then_fails(tmp_path: Path, decoder: Decoder) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", LONG, options={"movflags": "faststart"})
    frames, message = clips.read_all(VideoFile(cut(clip, 0.6), decoder=decoder))
    assert 20 < len(frames) < 80
    assert [clips.number_in(frame.image) for frame in frames[:-1]] == list(range(len(frames) - 1))
    assert message == f"{clip} ended after {len(frames)} of 100 frames: the file is truncated or damaged"


@BOTH
def test_a_cut_mkv_gives_what_it_has_and_then_fails(tmp_path: Path, decoder: Decoder) -> None:
    clip = cut(clips.write_clip(tmp_path / "clip.mkv", LONG), 0.6)
    frames, message = clips.read_all(VideoFile(clip, decoder=decoder))
    assert 20 < len(frames) < 80
    assert f"ended after {len(frames)} frames" in message
    assert "of 4.0 s" in message


@BOTH
def test_a_file_without_any_picture_fails(tmp_path: Path, decoder: Decoder) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", options={"movflags": "faststart"})
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(SourceError, match="no frame that can be decoded"):
        list(VideoFile(clip, decoder=decoder).frames(threading.Event()))


@BOTH
def test_an_edit_list_is_no_failure(tmp_path: Path, decoder: Decoder) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", LONG)
    data = bytearray(clip.read_bytes())
    entry = data.index(b"elst") + 12
    milliseconds, start = struct.unpack_from(">Ii", data, entry)
    struct.pack_into(">Ii", data, entry, milliseconds - 2000, start + 2 * 90_000)
    clip.write_bytes(data)
    frames = list(VideoFile(clip, decoder=decoder).frames(threading.Event()))
    assert [clips.number_in(frame.image) for frame in frames] == list(range(50, 100))
    assert frames[0].pts == 0


@BOTH
@pytest.mark.parametrize(("name", "times"), [("clip.mp4", LONG), ("clip.mkv", (0.0, 40.0, 40.04))])
def test_a_last_frame_that_stands_long_is_no_failure(
    tmp_path: Path, decoder: Decoder, name: str, times: tuple[float, ...]
) -> None:
    source = VideoFile(clips.write_clip(tmp_path / name, times, last=60.0), decoder=decoder)
    frames, message = clips.read_all(source)
    assert source.media.seconds == pytest.approx(times[-1] + 60, abs=0.1)
    assert [frame.pts for frame in frames] == pytest.approx(times)
    assert message == ""


def test_a_recording_without_its_end_has_no_claim_to_break(tmp_path: Path) -> None:
    clip = cut(clips.write_clip(tmp_path / "clip.ts", LONG), 0.6)
    assert 20 < len(list(open_source(str(clip)).frames(threading.Event()))) < 80


def test_frames_take_the_size_of_the_stream(tmp_path: Path) -> None:
    frames = list(open_source(str(clips.write_growing_clip(tmp_path / "clip.ts"))).frames(threading.Event()))
    assert [(frame.width, frame.height) for frame in frames] == [(160, 120)] * 10 + [(320, 240)] * 10
    assert [clips.number_in(frame.image) for frame in frames] == list(range(20))


def damage(path: Path, number: int) -> Path:
    """Overwrites the inside of one packet, counted in the order of decoding."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        start, end = packet.pos + 4, packet.pos + packet.size
    data = path.read_bytes()
    path.write_bytes(data[:start] + b"\xa5" * (end - start) + data[end:])
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("number", [30, 55, 92])
def test_damage_costs_the_frames_that_hang_on_it_and_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, number: int
) -> None:
    clip = damage(clips.write_clip(tmp_path / name, LONG), number)
    frames, message = clips.read_all(open_source(str(clip)))
    whole = [*range(number - 2), *range(number + 10 - number % 10, 100)]  # a key frame in ten, two frames of delay
    shown = {round((frame.pts or 0) * 25): clips.number_in(frame.image) for frame in frames}
    assert message == ""
    assert [shown.get(index) for index in whole] == whole
    assert [frame.index for frame in frames] == list(range(len(shown)))
    assert len(shown) < 100
    if name == "clip.mp4":  # the other does not say how many frames it has
        assert f"clip.mp4 is damaged: {len(shown)} of 100 frames were read" in caplog.text


def test_damage_in_two_places_is_passed_over(tmp_path: Path) -> None:
    clip = damage(damage(clips.write_clip(tmp_path / "clip.mp4", LONG), 20), 70)
    frames, message = clips.read_all(open_source(str(clip)))
    assert message == ""
    assert {30, 50, 67, 80, 99} <= {clips.number_in(frame.image) for frame in frames}


def test_a_codec_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4")
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(SourceError) as caught:
        open_source(str(clip))
    assert str(caught.value) == f"the codec of {clip} is not known: copy the file again, or convert it to H.264"


def test_a_stream_that_begins_on_the_way_is_left_alone(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "clip.ts", LONG[:40])
    data = bytearray(clip.read_bytes())
    beginnings = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x00"]  # of pictures
    data[beginnings[-5] + 2] = 5  # damage: it belongs to another stream
    clip.write_bytes(data)
    frames, message = clips.read_all(open_source(str(clip)))
    assert [clips.number_in(frame.image) for frame in frames[:30]] == list(range(30))
    assert message == ""


def test_the_end_of_a_stream_that_pyav_does_not_know_is_the_end() -> None:
    class Container:
        def demux(self, *streams: str) -> Iterator[str]:
            yield from streams
            raise IndexError("list index out of range")

    assert list(demux(Container(), "packet", "flush")) == ["packet", "flush"]


def test_what_ffmpeg_has_not_implemented_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write_clip(tmp_path / "clip.ts", LONG)
    fail_at(50, av.error.PatchWelcomeError(1163346256, "Not yet implemented in FFmpeg"), monkeypatch)
    frames, message = clips.read_all(open_source(str(clip)))
    assert {*range(45), *range(60, 100)} <= {clips.number_in(frame.image) for frame in frames}
    assert message == ""


def test_a_decoder_that_fails_ends_the_source_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write_clip(tmp_path / "clip.ts", LONG)
    fail_at(50, av.error.MemoryError(12, "Cannot allocate memory", "http://user:secret@host"), monkeypatch)
    frames, message = clips.read_all(open_source(str(clip)))
    assert [clips.number_in(frame.image) for frame in frames] == list(range(len(frames)))
    assert 40 < len(frames) <= 50
    assert message == (
        f"{clip} cannot be decoded after {len(frames)} frames: Cannot allocate memory; copy it again, or convert it"
    )


@pytest.mark.parametrize("part", [0.5, 0.66, 0.8])
def test_a_short_clip_that_is_cut_fails_too(tmp_path: Path, part: float) -> None:
    clip = cut(clips.write_clip(tmp_path / "clip.mp4", options={"movflags": "faststart"}), part)
    frames, message = clips.read_all(open_source(str(clip)))
    assert [clips.number_in(frame.image) for frame in frames] == list(range(len(frames)))
    assert message == f"{clip} ended after {len(frames)} of 20 frames: the file is truncated or damaged"


def test_a_cut_clip_gives_its_last_frames_although_opencv_keeps_them(tmp_path: Path) -> None:
    clip = cut(clips.write_clip(tmp_path / "clip.mp4", LONG, options={"movflags": "faststart"}), 0.6)
    by_opencv, _ = clips.read_all(VideoFile(clip, decoder=lambda *arguments: capture.decode(*arguments)))
    frames, message = clips.read_all(VideoFile(clip))
    assert len(frames) > len(by_opencv)
    assert "ended after" in message


@pytest.mark.parametrize("after", [-1.0, 0.0, 11.5, 30.0, 30.01, 55.2, 99.0])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.h264"])
def test_pyav_may_begin_later(tmp_path: Path, name: str, after: float) -> None:
    clip = str(clips.write_clip(tmp_path / name, range(100)))
    expected = [(clips.number_in(image), seconds) for image, seconds in pyav.decode(clip, 1) if seconds > after]
    assert [(clips.number_in(image), seconds) for image, seconds in pyav.decode(clip, 1, after)] == expected


def test_joined_recordings_go_on_growing(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "clip.ts", LONG)
    clip.write_bytes(clip.read_bytes() * 2)
    times = [frame.pts for frame in open_source(str(clip)).frames(threading.Event())]
    assert len(times) > 195
    assert times[-1] == pytest.approx(len(times) * 0.04, abs=0.3)
    assert all(later > earlier for earlier, later in pairwise(times))


def test_a_video_over_http_has_an_end(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", options={"movflags": "faststart"})
    clips.write_clip(tmp_path / "cut.mp4", LONG, options={"movflags": "faststart"})
    cut(tmp_path / "cut.mp4", 0.6)
    serve = functools.partial(_QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://user:secret@127.0.0.1:{server.server_port}"
        whole, broken = open_source(f"{url}/clip.mp4"), open_source(f"{url}/cut.mp4")
        assert not whole.media.live
        assert whole.name == f"http://127.0.0.1:{server.server_port}/clip.mp4"
        frames = list(whole.frames(threading.Event()))
        assert [clips.number_in(frame.image) for frame in frames] == list(range(20))
        with pytest.raises(SourceError, match="ended after") as caught:
            list(broken.frames(threading.Event()))
        with pytest.raises(SourceError, match="404") as missing:
            open_source(f"{url}/none.mp4")
        server.shutdown()
    assert "secret" not in f"{caught.value}{missing.value}"


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    clip = damage(clips.write_clip(tmp_path / "clip.mp4", LONG), 55)
    script = (
        "import sys, threading\nfrom pipeline.sources import open_source\n"
        "print(len(list(open_source(sys.argv[1]).frames(threading.Event()))))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(clip)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("99\n", f"{clip} is damaged: 99 of 100 frames were read\n")


def test_opening_and_reading_is_silent(tmp_path: Path) -> None:
    clip = cut(clips.write_clip(tmp_path / "clip.mp4", LONG, options={"movflags": "faststart"}), 0.6)
    script = (
        "import sys, threading\nfrom pipeline.errors import SourceError\nfrom pipeline.sources import open_source\n"
        "try: list(open_source(sys.argv[1]).frames(threading.Event()))\nexcept SourceError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(clip)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_importing_the_package_loads_no_decoder() -> None:
    script = "import sys, pipeline.sources; print([name for name in ('cv2', 'av') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
