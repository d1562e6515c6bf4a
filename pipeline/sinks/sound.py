"""The sound of a written video: that of its source, moved to the time of the pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard

logger = logging.getLogger(__name__)

# What goes into an mp4 as it is; sound of every other kind becomes AAC. The codecs of the second set need a header,
# which broadcast streams (.ts) repeat in every packet instead.
_COPIED = frozenset({"ac3", "eac3", "mp3"})
_COPIED_WITH_HEADER = frozenset({"aac", "alac", "flac", "opus"})
_BIT_RATE = 128_000


class Sound:
    """Writes the first audio stream of `path` to `output`, as far as it is asked to.

    Sound that cannot be read is left out with a warning: it never ends a run.

    Args:
        path: time zero is the start time of its first video stream.
        output: an mp4 that has not been begun; it gets one more stream, if there is sound.
    """

    def __init__(self, path: Path, output: OutputContainer) -> None:
        self._path = path
        self._output = output
        self._input: InputContainer | None = None
        self._packets: Iterator[Packet[Any]] = iter(())
        try:
            self._input = av.open(str(path.absolute()))
            self._packets = _packets(self._input, output)
        except (OSError, ValueError, av.FFmpegError) as error:
            self._give_up(error)
        self._next = self._read()

    def write_until(self, seconds: float) -> None:
        """Writes what begins before `seconds`, on the clock of the pictures."""
        while self._next is not None and decode_time(self._next) < seconds:
            self._output.mux(self._next)
            self._next = self._read()

    def close(self) -> None:
        if self._input is not None:
            self._input.close()

    def _read(self) -> Packet[Any] | None:
        try:
            return next(self._packets, None)
        except IndexError:  # PyAV's, at the end of a file in which a stream begins on the way
            return None
        except (OSError, ValueError, av.FFmpegError) as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        logger.warning("the sound of %s is left out from here on: %s", self._path, error)


def decode_time(packet: Packet[Any]) -> float:
    """When `packet` is decoded, in seconds; 0 if it does not say."""
    return float((packet.dts or 0) * packet.time_base)


def _packets(container: InputContainer, output: OutputContainer) -> Iterator[Packet[Any]]:
    """The packets for a new stream of `output`, which is made at once."""
    if not container.streams.audio:
        return iter(())
    source = container.streams.audio[0]
    if source.codec_context is None:  # which PyAV does not have of an unknown codec
        raise ValueError("its codec is not known")
    for stream in container.streams:
        stream.discard = Discard.default if stream is source else Discard.all
    start = _start(container)
    name, header = source.codec_context.codec.canonical_name, source.codec_context.extradata
    if name in _COPIED or (name in _COPIED_WITH_HEADER and header):
        return _copied(container, source, output.add_stream_from_template(source), start)
    rates = av.Codec("aac", "w").audio_rates or ()
    target = output.add_stream("aac", rate=source.rate if source.rate in rates else 48000)
    target.codec_context.layout = AudioLayout("mono" if source.channels == 1 else "stereo")
    target.codec_context.bit_rate = _BIT_RATE
    return _transcoded(container, source, target, start)


def _start(container: InputContainer) -> Fraction:
    """The start time of the pictures, in seconds on the clock of the file."""
    video = next(iter(container.streams.video), None)
    if video is None or video.start_time is None or video.time_base is None:
        return Fraction(0)
    return video.start_time * video.time_base


def _copied(
    container: InputContainer, source: AudioStream, target: AudioStream, start: Fraction
) -> Iterator[Packet[Any]]:
    last = None
    for packet in container.demux(source):
        if packet.dts is None or packet.pts is None:
            continue
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        # One packet from before the first frame stays: a decoder warms up on it, and the edit list of the mp4 mutes it.
        early = packet.dts + 2 * (packet.duration or 0) <= 0
        if early or (last is not None and packet.dts <= last):
            continue
        last = packet.dts
        packet.stream = target
        yield packet


def _transcoded(
    container: InputContainer, source: AudioStream, target: AudioStream, start: Fraction
) -> Iterator[Packet[Any]]:
    for frame in container.decode(source):
        unit = frame.time_base or Fraction(1, frame.sample_rate)
        if frame.pts is None or frame.pts * unit < start:
            continue
        frame.pts -= round(start / unit)
        yield from target.encode(frame)
    yield from target.encode(None)
