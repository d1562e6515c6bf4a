"""Clips and a camera for tests. Each picture shows its number as bright and dark blocks that survive lossy coding."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.errors import SourceError
from pipeline.sources import Source
from pipeline.types import Frame

BITS = 8
VARIABLE = (0.0, 0.02, 0.053, 0.173, 0.178, 0.578, 0.618, 0.638, 0.671, 0.791, 0.796, 1.196, 1.236, 1.256, 1.289)
"""Times of a clip with a variable frame rate, in whole milliseconds."""

RED = (0, 0, 220)
GREEN = (0, 200, 0)


def picture(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """Number in the upper quarter, below it red on the left and green on the right."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = RED, GREEN
    block = width // BITS
    for bit in range(BITS):
        image[: height // 4, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 16
    return image


def number_in(image: np.ndarray) -> int:
    """The number that an upright picture shows."""
    block, row = image.shape[1] // BITS, image.shape[0] // 8
    return sum(int(image[row, bit * block + block // 2].mean() > 128) << bit for bit in range(BITS))


def is_upright(image: np.ndarray) -> bool:
    """Whether red is in the lower left corner and green in the lower right one."""
    left, right = image[-8, 8].astype(int), image[-8, -8].astype(int)
    return bool(left[2] > left[1] + 80 and right[1] > right[2] + 80)


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """SVT-AV1 turns a thread of root that opens it into a real-time one (SCHED_FIFO, 99), for good. The threads that it
    starts later are such, too: two that wait for others by spinning then hold both cores, and the others never run.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_clip(
    path: Path,
    times: Sequence[float] = tuple(number / 25 for number in range(20)),
    *,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    rotation: int = 0,
    sound: bool = False,
    last: float = 0.04,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes one picture per time.

    `rotation`: by how many degrees, counter-clockwise, a player has to turn them; `last`: how long the last one stands.
    """
    with scheduling_kept(), av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        upright = picture(0, *size)
        stream.height, stream.width = np.rot90(upright, -rotation // 90).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2", "g": "10"}
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            write_sound(container, times[-1] + 0.5)
        for number, seconds in enumerate(times):
            stored = np.ascontiguousarray(np.rot90(picture(number, *size), -rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="bgr24")
            frame.pts, frame.time_base = round(seconds * 90_000), stream.codec_context.time_base
            container.mux(stream.encode(frame))
        for packet in stream.encode():
            packet.duration = round(last * 90_000)
            container.mux(packet)
    return path


def write_sound(container: av.container.OutputContainer, seconds: float) -> None:
    stream = container.add_stream("aac", rate=48_000, layout="mono")
    silence = av.AudioFrame.from_ndarray(np.zeros((1, int(seconds * 48_000)), np.float32), format="fltp", layout="mono")
    silence.sample_rate, silence.pts = 48_000, 0
    container.mux(stream.encode(silence))
    container.mux(stream.encode())


def write_growing_clip(path: Path) -> Path:
    """An MPEG transport stream of ten pictures of 160×120 and then ten of 320×240."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for part, (width, height) in enumerate(((160, 120), (320, 240))):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.options = Fraction(1, 90_000), {"preset": "ultrafast", "tune": "zerolatency"}
            for number in range(part * 10, part * 10 + 10):
                frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="bgr24")
                frame.pts, frame.time_base = number * 3600, encoder.time_base
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
    return path


def read_all(source: Source) -> tuple[list[Frame], str]:
    """The frames of a source, and the message with which it failed after them (empty: it did not)."""
    frames: list[Frame] = []
    try:
        for frame in source.frames(threading.Event()):
            frames.append(frame)  # noqa: PERF402 - what was yielded before the error counts
    except SourceError as error:
        return frames, str(error)
    return frames, ""


@dataclass
class Camera:
    process: subprocess.Popen[str]
    urls: list[str]

    def turn(self, mode: str) -> None:
        """Does the camera a wrong (`pause`, `kill`, `corrupt`, `black`, `freeze`), or makes it `well`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(mode, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().split() == ["now", mode]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def camera(clip: Path | str, **ports: int) -> Iterator[Camera]:
    """The test camera as a process of its own, ready. `ports`: `rtsp=0`, `http=0`."""
    flags = [text for scheme, port in ports.items() for text in (f"--{scheme}-port", str(port))]
    command = [sys.executable, "-m", "pipeline.testcamera", str(clip), "--controls", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Camera(process, [process.stdout.readline().split()[-1] for _ in ports])
        finally:
            process.kill()
