"""The decoder of a camera's stream, which damage does not make late for good."""

from __future__ import annotations

from typing import Any

import av

from pipeline.sources.memory import give_back

_REORDERING = frozenset({"h264", "hevc"})
_MOST_HELD = 4  # pictures that a decoder holds back to bring them into order; more than cameras need


class Decoder:
    """Decodes the packets of one connection, on one thread: each further one delays the picture by a frame.

    FFmpeg's decoders of H.264 and HEVC hold pictures back to bring them into order, as many as the stream has ever
    asked for. One flipped bit can ask for sixteen, and the camera would be shown that much later, and keep as much
    memory, for as long as its connection lasts. So where more are held back than when it began, a new decoder takes
    over at the next key frame.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        self._codec: Any = stream.codec_context
        self._reorders = self._codec.has_b_frames
        self._own = self._codec.name in _REORDERING
        self._begin()

    def decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """The pictures that come of a packet; none if it is damaged too much."""
        if self._own and packet.is_keyframe and self._late:
            self._begin()
            give_back()
        try:
            pictures: list[av.VideoFrame] = self._codec.decode(packet)
        except av.InvalidDataError:
            return []
        self._held += 1 - len(pictures)
        return pictures

    @property
    def _late(self) -> bool:
        return bool(self._codec.has_b_frames) and (not self._reorders or self._held > _MOST_HELD)

    def _begin(self) -> None:
        """The stream's own decoder would keep its memory until the connection is closed."""
        if self._own:
            template = self._stream.codec_context
            self._codec = av.CodecContext.create(template.name, "r")
            self._codec.extradata = template.extradata
        self._codec.thread_count = 1
        self._held = 0
