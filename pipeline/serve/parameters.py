"""What a stream says about its pictures, such as their size, which a camera may change on the way."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import av
from av.bitstream import BitStreamFilterContext
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet, PacketSideData
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_SETS: Final = "new_extradata"


class ParameterSets:
    """The parameter sets of a stream: first those that it was opened with, then those that came with a key frame.

    Args:
        stream: H.264, HEVC or AV1.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._extract = BitStreamFilterContext("extract_extradata", stream)
        self._newest: bytes | None = None  # none has come yet
        self._size = stream.codec_context.width, stream.codec_context.height

    def changed(self, packet: Packet[Any]) -> bool:
        """Whether the pictures from this packet on need a new file: they have another size than those before, or than
        the stream was said to have. Other sets alone, some of which change all the time, are read from the packets.
        Damaged parameter sets are no change.
        """
        if not packet.is_keyframe or not (found := self._find(packet)) or found == self._newest:
            return False
        if (size := self._measure(packet)) is None:
            return False
        before, self._newest, self._size = self._size, found, size
        return size != before

    def add_stream(self, output: OutputContainer) -> VideoStream:
        """Makes the stream in a new file that the packets from now on go into."""
        stream = output.add_stream_from_template(self._stream, True)
        if self._newest is not None:
            context = stream.codec_context
            context.extradata, (context.width, context.height) = self._newest, self._size
        return stream

    def _find(self, packet: Packet[Any]) -> bytes | None:
        with suppress(av.FFmpegError):
            for each in self._extract.filter(Packet(bytes(packet))):  # which takes away what it is given
                if each.has_sidedata(_SETS):
                    return bytes(PacketSideData.from_packet(each, _SETS))
        return None

    def _measure(self, packet: Packet[Any]) -> tuple[int, int] | None:
        """Width and height of a key frame; None: it cannot be decoded."""
        decoder = CodecContext.create(self._stream.codec_context.name, "r")
        assert isinstance(decoder, VideoCodecContext)
        with suppress(av.FFmpegError):
            for picture in (*decoder.decode(Packet(bytes(packet))), *decoder.decode(None)):
                return picture.width, picture.height
        return None
