"""The test camera: its packets, and its manners as a program."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support import clips

from pipeline.sources import open_source
from pipeline.testcamera.clip import coded_units
from pipeline.testcamera.rtp import LARGEST, describe, packetise, split_nals


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
