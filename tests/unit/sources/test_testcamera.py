"""The test camera: its packets, and its manners as a program."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import av
import cv2
import numpy as np
import pytest
from support import clips

from pipeline.errors import ConfigError
from pipeline.sources import open_source
from pipeline.testcamera.clip import Jpeg, Reels, coded_units, looped
from pipeline.testcamera.controls import MODES, Controls
from pipeline.testcamera.damage import damage, damage_packets
from pipeline.testcamera.rtp import HEADER, LARGEST, describe, packetise, split_nals


def unpack(payloads: list[bytes]) -> list[bytes]:
    """The NAL units in RTP payloads, after RFC 6184."""
    nals: list[bytes] = []
    for payload in payloads:
        if payload[0] & 0x1F != 28:
            nals.append(payload)
        elif payload[1] & 0x80:
            nals.append(bytes([payload[0] & 0xE0 | payload[1] & 0x1F]) + payload[2:])
        else:
            nals[-1] += payload[2:]
    return nals


@pytest.mark.parametrize("size", [1, 2, LARGEST, LARGEST + 1, 2 * LARGEST - 3, 2 * LARGEST - 2, 10_000])
def test_packets_carry_the_nal_units_whole(size: int) -> None:
    nals = [b"\x67\x42\x00\x1f", b"\x65" + bytes(number % 251 for number in range(size - 1))]
    packets = list(packetise(nals, 2.0, 65_535, 7))
    assert unpack([packet[12:] for packet in packets]) == nals
    assert max(map(len, packets)) <= LARGEST + 12
    assert [int.from_bytes(packet[2:4], "big") for packet in packets] == [
        (65_535 + n) % 65_536 for n in range(len(packets))
    ]
    assert {int.from_bytes(packet[4:8], "big") for packet in packets} == {180_000}
    assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]


def test_start_codes_of_both_lengths() -> None:
    assert split_nals(b"\0\0\0\1\x67ab\0\0\1\x65\0\0\2") == [b"\x67ab", b"\x65\0\0\2"]


@pytest.mark.parametrize("spec", ["clip.mp4", "clip.ts", "synthetic:160x120@25?frames=20"])
def test_every_clip_becomes_h264_that_starts_with_its_parameters(tmp_path: Path, spec: str) -> None:
    if not spec.startswith("synthetic"):
        spec = str(clips.write_clip(tmp_path / spec))
    units = coded_units(open_source(spec))
    assert len(units) == 20
    assert {7, 8, 5} <= {nal[0] & 0x1F for nal in units[0].nals}
    assert sorted(unit.pts - units[0].pts for unit in units) == pytest.approx(
        [number / 25 for number in range(20)], abs=1e-4
    )
    assert "sprop-parameter-sets=Z" in describe(units[0].nals)


def test_two_clients_at_once(tmp_path: Path) -> None:
    with clips.camera(clips.write_clip(tmp_path / "clip.mp4"), rtsp=0) as camera:
        captures = [cv2.VideoCapture(camera.urls[0], cv2.CAP_FFMPEG) for _ in range(2)]
        numbers = [[clips.number_in(capture.read()[1]) for capture in captures] for _ in range(12)]
        for capture in captures:
            capture.release()
    assert [pair[0] for pair in numbers] == [pair[1] for pair in numbers] == list(range(12))


# What can be the matter with it


def pictures(url: str) -> Iterator[np.ndarray]:
    options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
    with av.open(url, timeout=5, options=options) as container:
        for picture in container.decode(video=0):
            yield picture.to_ndarray(format="bgr24")


@pytest.fixture(params=["rtsp", "http"])
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[clips.Camera]:
    clip = clips.write_clip(tmp_path / "clip.mp4", tuple(number / 100 for number in range(20)))
    with clips.camera(clip, **{request.param: 0}) as camera:
        yield camera


def test_killed_it_cuts_and_refuses_until_it_is_well(camera: clips.Camera) -> None:
    before = pictures(camera.urls[0])
    next(before)
    camera.turn("kill")
    with suppress(av.FFmpegError):  # RTSP just ends
        assert len(list(before)) < 100  # what was on its way
    with pytest.raises(av.error.ConnectionRefusedError):
        av.open(camera.urls[0], timeout=5)
    camera.turn("well")
    assert clips.is_upright(next(pictures(camera.urls[0])))


def test_paused_it_stays_connected_and_goes_on_where_it_was(camera: clips.Camera) -> None:
    shown = pictures(camera.urls[0])
    first = clips.number_in(next(shown))
    for mode in ("pause", "well"):
        camera.turn(mode)
    numbers = [clips.number_in(image) for image in islice(shown, 12)]
    assert numbers == [(first + 1 + number) % 20 for number in range(12)]


@pytest.mark.parametrize("mode", ["black", "freeze"])
def test_the_picture_alone_is_wrong(camera: clips.Camera, mode: str) -> None:
    shown = pictures(camera.urls[0])
    next(shown)
    camera.turn(mode)
    if mode == "black":
        assert any(image.max() < 8 for image in islice(shown, 200))
    else:
        assert any((later, earlier) == (0, 0) for earlier, later in pairwise(map(clips.number_in, islice(shown, 200))))
    camera.turn("well")
    assert any(clips.number_in(image) == 7 and clips.is_upright(image) for image in islice(shown, 100))


def test_corrupt_it_goes_on_with_damaged_pictures(camera: clips.Camera) -> None:
    whole = {image.tobytes() for image in islice(pictures(camera.urls[0]), 40)}
    camera.turn("corrupt")
    with av.open(camera.urls[0], timeout=5) as container:
        damaged = 0
        for packet in container.demux(video=0):
            try:
                damaged += sum(each.to_ndarray(format="bgr24").tobytes() not in whole for each in packet.decode())
            except av.InvalidDataError:
                damaged += 1
            if damaged == 3:
                break
    assert damaged == 3


def test_damage_spares_the_headers_and_is_the_same_each_time() -> None:
    packets = list(packetise([bytes([0x65]) + bytes(500)] * 2000, 2.0, 0, 7))
    damaged = list(damage_packets(packets, Random(1), HEADER))
    assert damaged == list(damage_packets(packets, Random(1), HEADER))
    headers = {packet[:HEADER] for packet in packets}
    assert all(packet[:HEADER] in headers for packet in damaged)
    assert 10 < len(packets) - len(damaged) < 100
    assert 100 < len(set(damaged) - set(packets)) < 400
    assert damage(b"short", Random(1), 12) == b"short"


def test_a_reel_begins_anew_and_a_pause_moves_what_follows() -> None:
    reels = Reels(*([Jpeg(number / 100, name) for number in range(3)] for name in (b"clip", b"still", b"black")))
    controls = Controls()

    async def watch() -> list[tuple[bytes, float]]:
        seen = []
        async for began, item in looped(reels, controls):
            seen.append((item.data, round(began + item.due, 3)))
            if len(seen) == 2:
                await controls.turn("black")
            if len(seen) == 4:
                await controls.turn("pause")
                asyncio.get_running_loop().call_later(0.3, lambda: asyncio.create_task(controls.turn("well")))
            if len(seen) == 8:
                return seen
        raise AssertionError

    seen = asyncio.run(watch())
    assert [name for name, _ in seen] == [b"clip"] * 2 + [b"black"] * 2 + [b"clip"] * 4
    times = [time for _, time in seen]
    assert times == sorted(times)
    assert times[4] - times[3] > 0.2


def test_words_from_a_file_are_heeded_and_its_end_ends_nothing() -> None:
    controls, told = Controls(), []

    async def obey() -> None:
        lines = asyncio.StreamReader()
        lines.feed_data(b"pause\n\nWAIT 0.01\nnonsense\nwait long\n Black \nwell\nkill")
        lines.feed_eof()
        await controls.obey(lines, told.append)

        assert controls.mode == "kill"
        for mode in MODES:
            await controls.turn(mode)
        with pytest.raises(ConfigError, match="write one of"):
            await controls.turn("ill")

    asyncio.run(obey())
    assert [line.partition(" ")[0] for line in told] == ["now", "error:", "error:", "now", "now", "now"]
    assert "pause" in told[1]


@pytest.mark.parametrize("written", ["", "pause\nblack\n"])
def test_it_serves_on_when_its_input_ends(tmp_path: Path, written: str) -> None:
    (tmp_path / "words").write_text(written)
    command = [sys.executable, "-m", "pipeline.testcamera", "synthetic:64x48?frames=9", "--http-port", "0"]
    with (
        (tmp_path / "words").open() as words,
        subprocess.Popen([*command, "--controls"], stdin=words, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert [process.stdout.readline() for _ in written.split()] == [f"now {mode}\n" for mode in written.split()]
        assert (next(pictures(url)).max() < 8) == bool(written)
        process.terminate()


def test_it_ends_quietly_when_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.testcamera", "synthetic:64x48?frames=9", "--http-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
        assert capture.read()[0]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        capture.release()
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["missing.mp4", "--http-port", "0"], ["synthetic:?live=1", "--rtsp-port", "0"], []]
)
def test_what_it_cannot_serve_it_refuses(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.testcamera", *arguments], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
