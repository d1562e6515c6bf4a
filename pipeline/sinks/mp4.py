"""An mp4 that grows: pictures of any time stamps, encoded as H.264, beside the sound of their source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from pipeline.sinks.encoder import CODECS, encoder_options, open_encoder, set_up_encoder
from pipeline.sinks.picture import Picture
from pipeline.sinks.sound import Sound, decode_time
from pipeline.types import Image, Media

# Fragments, written at once, keep the file playable when the process is killed; closing it makes an ordinary mp4 of it.
# The header waits for the first fragment (delay_moov): only then are the edit lists known that keep the time stamps
# exact beside B-frames and sound. Pictures do not wait long for sound that has ended (max_interleave_delta). In µs.
_MUXER = {
    "movflags": "frag_keyframe+hybrid_fragmented+delay_moov",
    "frag_duration": "500000",
    "flush_packets": "1",
    "max_interleave_delta": "500000",
}
_KEY_FRAME_SECONDS = 1
_NEAR_THE_END = 1  # seconds: a run that came this close to the end of its source was not cut short
_TIME_BASE = Fraction(1, 90000)
_RATE = Fraction(30)


class Mp4Writer:
    """Encodes and writes frames one behind: how long a frame is shown is known with the next one.

    Args:
        path: the file to write.
        media: what the source said about itself; `seconds` is when its last picture ends.
        height, width: of the first frame, in pixels.
        encoder: `x264` or `nvenc`.
        preset, threads: of the encoder.

    Raises:
        NvencError: NVENC does not open; there is no file yet.
    """

    def __init__(
        self, path: Path, media: Media, height: int, width: int, encoder: str, preset: str, threads: int
    ) -> None:
        self._media = media
        self._time_base = media.time_base or _TIME_BASE
        self._picture = Picture(height, width)
        self._output = av.open(str(path.absolute()), "w", format="mp4", container_options=_MUXER)
        self._stream = self._add_stream(encoder, preset, threads)
        self._sound = Sound(media.audio, self._output) if media.audio else None
        self._frames = 0
        self._ticks = 0
        self._gap = round(1 / (self._rate() * self._time_base)) or 1
        self._key_frame_due = -math.inf

    def add(self, image: Image, pts: float) -> None:
        """Takes the next frame.

        Args:
            image: uint8 [H, W, 3], BGR; done with on return.
            pts: in seconds; a time that is not after the one before is moved a tick behind it.
        """
        ticks = round(pts * self._time_base.denominator / self._time_base.numerator)
        if self._frames:
            ticks = max(ticks, self._ticks + 1)
            self._gap = ticks - self._ticks
            self._encode(self._gap)
        self._picture.fill(image)
        self._ticks = ticks
        self._frames += 1

    def close(self) -> None:
        """Writes what is left and the end of the file; closes it in any case."""
        try:
            self._finish()
        finally:
            if self._sound:
                self._sound.close()
            self._output.close()

    def _rate(self) -> Fraction:
        if self._media.frames and self._media.seconds:
            return Fraction(self._media.frames / self._media.seconds).limit_denominator(1001) or _RATE
        return _RATE

    def _add_stream(self, encoder: str, preset: str, threads: int) -> VideoStream:
        options, rate = encoder_options(encoder, preset), self._rate()
        stream = self._output.add_stream(CODECS[encoder], rate=rate, options=options, time_base=self._time_base)
        assert isinstance(stream, VideoStream)
        set_up_encoder(stream.codec_context, self._picture, threads)
        open_encoder(stream.codec_context, encoder)
        return stream

    def _encode(self, duration: int) -> None:
        frame = self._picture.frame
        frame.time_base, frame.pts, frame.duration = self._time_base, self._ticks, duration
        seconds = float(self._ticks * self._time_base)
        frame.pict_type = PictureType.I if seconds >= self._key_frame_due else PictureType.NONE
        if frame.pict_type == PictureType.I:
            self._key_frame_due = seconds + _KEY_FRAME_SECONDS
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            if self._sound:
                self._sound.write_until(decode_time(packet))
            self._output.mux(packet)

    def _finish(self) -> None:
        if not self._frames:
            return
        duration, covered = self._last_frame()
        self._encode(duration)
        self._mux(self._stream.encode(None))
        if self._sound:
            self._sound.write_until(math.inf if covered else float((self._ticks + duration) * self._time_base))

    def _last_frame(self) -> tuple[int, bool]:
        """How many ticks the last frame is shown, and whether it is the last one of the source, too."""
        counted = self._frames == self._media.frames
        if self._media.seconds is None:
            return self._gap, counted
        left = round(self._media.seconds / self._time_base) - self._ticks
        fits = left > 0 and (counted or left <= 1.5 * self._gap)
        return (left if fits else self._gap), counted or left * self._time_base <= _NEAR_THE_END
