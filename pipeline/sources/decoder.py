"""The decoder of a camera's stream, which damage does not make late for good."""

from __future__ import annotations

from typing import Any

import av

from pipeline.sources.memory import give_back
from pipeline.sources.pyav import DAMAGED

_DEEPEST = 4  # pictures held back to bring them into order; more than cameras need, and less than damage asks for


class Decoder:
    """Decodes the packets of one connection, on one thread: each further one delays the picture by a frame.

    FFmpeg's decoder of H.264 holds pictures back to bring them into order, as many as the stream has ever asked for.
    One flipped bit can ask for sixteen, and the camera would be shown that much later, and keep as much memory, for as
    long as its connection lasts. So where it holds back more than when the connection began, a new decoder takes over
    at the next key frame; where that one comes to hold back as many, it was no damage, and stays so. FFmpeg's decoder
    of HEVC goes by each key frame anew.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        self._codec = stream.codec_context
        self._own = self._codec.name == "h264"
        self._depth = self._deeper = min(self._codec.reorder_depth, _DEEPEST)
        self._begin()

    def decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """The pictures that come of a packet; none if it is damaged too much."""
        if self._own and packet.is_keyframe:
            self._keep_up()
        try:
            return self._codec.decode(packet)
        except DAMAGED:
            return []

    def _keep_up(self) -> None:
        before, self._deeper = self._deeper, self._codec.reorder_depth
        if before == self._deeper <= _DEEPEST:
            self._depth = self._deeper
        elif self._deeper > self._depth:
            self._begin()
            give_back()

    def _begin(self) -> None:
        """The stream's own decoder would keep its memory until the connection is closed."""
        if self._own:
            self._codec = av.CodecContext.create("h264", "r")
            self._codec.extradata = self._stream.codec_context.extradata
            self._codec.reorder_depth = self._depth
        self._codec.thread_count = 1
