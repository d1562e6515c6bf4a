"""What encodes a video, and how hard it works: slow presets make better or smaller files, but must not slow the run."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import takewhile
from time import perf_counter, process_time, thread_time

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from pipeline.errors import SinkError
from pipeline.sinks.picture import BT601, LIMITED, Picture
from pipeline.types import Image

CODECS = {"x264": "libx264", "nvenc": "h264_nvenc"}
"""FFmpeg's names of the encoders."""

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")
"""Of x264, from the fastest to the slowest."""

NVENC_PRESET = "p4"
"""Of p1, the fastest, to p7; all of them are faster than a run."""

_WORTHWHILE = PRESETS[:3]  # a slower one than veryfast costs half as much again, and its files are no smaller
_SHARE = 0.1  # of the rest of a frame's CPU time, on trial: beside a run it costs more, and may take a fifth of all
_FRAMES = 12
_TRIED = 8  # of them, the last ones: a video may begin in black
_LEAST = 4  # frames; workers that end together make the times of fewer say nothing
_SECONDS = 1.0  # a killed process loses what has not been begun
_BYTES = 100 << 20


def encoder_options(encoder: str, preset: str) -> dict[str, str]:
    """They look a little ahead only: what an encoder still holds is lost when the process is killed."""
    if encoder == "nvenc":
        return {"preset": preset, "rc": "vbr", "cq": "23", "b": "0", "bf": "0", "delay": "0", "forced-idr": "1"}
    return {"preset": preset, "crf": "23", "rc-lookahead": "3"}


def set_up_encoder(context: VideoCodecContext, picture: Picture, threads: int) -> None:
    """Makes `context` one for `picture.frame`."""
    context.thread_count = threads
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.colorspace = context.color_primaries = context.color_trc = BT601
    context.color_range = LIMITED
    context.flags |= Flags.frame_duration


def trial_encoder(encoder: str, preset: str, picture: Picture) -> VideoCodecContext:
    """An encoder whose packets go nowhere, on the thread of the caller."""
    context = av.CodecContext.create(CODECS[encoder], "w")
    assert isinstance(context, VideoCodecContext)
    context.options, context.time_base = encoder_options(encoder, preset), Fraction(1, 25)
    set_up_encoder(context, picture, threads=1)
    return context


class NvencError(SinkError):
    """NVENC, which has encoded a picture on trial, does not open for a video."""


def open_encoder(context: VideoCodecContext, encoder: str) -> None:
    """Opens what would open with the first frame.

    Raises:
        NvencError: it is NVENC, and does not open.
    """
    try:
        context.open()
    except av.FFmpegError as error:
        if encoder != "nvenc":
            raise
        raise NvencError(
            f"NVENC does not open for {context.width} x {context.height} pixels ({error.strerror}): "
            "it takes no such size, or no more videos at a time"
        ) from error


class Start:
    """The first frames of a video, kept until its preset is known, and the CPU time that the process took for them."""

    def __init__(self) -> None:
        self.frames: list[tuple[Image, float]] = []
        self._began = self._cpu_began = self._cpu_ended = 0.0

    def keep(self, image: Image, pts: float) -> None:
        """Takes a copy of the next frame."""
        self._cpu_ended = process_time()
        if not self.frames:
            self._began, self._cpu_began = perf_counter(), self._cpu_ended
        self.frames.append((image.copy(), pts))

    @property
    def enough(self) -> bool:
        """Whether there are enough frames, or too many to wait or to hold more."""
        count = len(self.frames)
        late = perf_counter() - self._began >= _SECONDS or count * self.frames[0][0].nbytes >= _BYTES
        return count >= (_LEAST if late else _FRAMES)

    @property
    def cpu_seconds(self) -> float:
        """Of a frame on its way through the run, without its encoding; 0 of too few to tell."""
        count = len(self.frames)
        return (self._cpu_ended - self._cpu_began) / (count - 1) if count >= _LEAST else 0.0


class Effort:
    """Chooses the presets of a run's videos.

    Args:
        preset: of x264, for all of them. `auto`: the slowest up to `veryfast` that adds a tenth to the CPU time of a
            frame at most, tried in memory with the first frames of a video; once for each size of picture.
        encoder: `x264`, or `nvenc`, which has one preset and takes no CPU time.
        otherwise: of x264, for videos that NVENC does not open for; None: there is nothing else.
    """

    def __init__(self, preset: str = "auto", encoder: str = "x264", otherwise: Effort | None = None) -> None:
        self.encoder = encoder
        self.otherwise = otherwise
        self._given = NVENC_PRESET if encoder == "nvenc" else None if preset == "auto" else preset
        self._found: dict[tuple[int, ...], str] = {}

    def known(self, image: Image) -> str | None:
        """The preset for pictures like `image`; None: it has to be found."""
        return self._given or self._found.get(image.shape)

    def find(self, start: Start) -> str:
        """The preset for the video that begins so."""
        images = [image for image, _ in start.frames[-_TRIED:]]
        allowed = len(images) * start.cpu_seconds * _SHARE
        if not allowed:
            return PRESETS[0]
        slower = takewhile(lambda preset: _takes_at_most(allowed, preset, images), _WORTHWHILE[1:])
        found = [PRESETS[0], *slower][-1]
        self._found[images[0].shape] = found
        return found


def _takes_at_most(cpu_seconds: float, preset: str, images: Sequence[Image]) -> bool:
    """Whether `images` are encoded in so much CPU time; gives up when they are not."""
    picture = Picture(*images[0].shape[:2])
    context = trial_encoder("x264", preset, picture)
    began = thread_time()
    for index, image in enumerate(images):
        picture.fill(image)
        picture.frame.pts, picture.frame.time_base = index, context.time_base
        context.encode(picture.frame)
        if thread_time() - began > cpu_seconds:
            return False
    context.encode(None)
    return thread_time() - began <= cpu_seconds
