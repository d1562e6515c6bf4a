"""Pictures come in order and in time, whatever a bad line has done to the packets before."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TypeAlias

import av
import pytest
from support.clips import number_in, picture

from pipeline.sources import decoder
from pipeline.sources.decoder import Decoder

GROUP, COUNT = 10, 50
Decode: TypeAlias = Callable[[av.Packet], list[av.VideoFrame]]
SPS, PPS = b"\x00\x00\x00\x01\x67", b"\x00\x00\x00\x01\x68"


def coded(**options: str) -> list[bytes]:
    """Numbered pictures as H.264, a key frame in each ten, each with its parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 160, 120, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "veryfast", "g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0", **options}
    packets = []
    for number in range(COUNT):
        frame = av.VideoFrame.from_ndarray(picture(number), "bgr24")
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in (*packets, *encoder.encode(None))]


def shown(
    packets: list[bytes], start: Callable[[av.VideoStream], Callable[[av.Packet], list[av.VideoFrame]]]
) -> list[int]:
    """The numbers of the pictures that come before the stream ends."""
    with av.open(io.BytesIO(b"".join(packets)), format="h264") as container:
        stream = container.streams.video[0]
        decode = start(stream)
        pictures = [each for packet in container.demux(stream) if packet.size for each in decode(packet)]
        return [number_in(each.to_ndarray(format="bgr24")) for each in pictures]


def flipped(packets: list[bytes]) -> Iterator[list[bytes]]:
    """The same with one flipped bit in the parameter set of the second group, from its last bit backwards."""
    damaged = packets[GROUP]
    first, end = damaged.index(SPS) + len(SPS), damaged.index(PPS)
    for place in reversed(range(first, end)):
        for bit in range(8):
            data = bytearray(damaged)
            data[place] ^= 1 << bit
            yield [*packets[:GROUP], bytes(data), *packets[GROUP + 1 :]]


def plain(stream: av.VideoStream) -> Decode:
    """FFmpeg's decoder as it is."""

    def decode(packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return stream.codec_context.decode(packet)
        except av.InvalidDataError:
            return []

    return decode


def renewed(stream: av.VideoStream) -> Decode:
    return Decoder(stream).decode


@pytest.mark.parametrize(
    ("options", "held"), [({"tune": "zerolatency"}, 0), ({"bf": "2", "b_strategy": "0"}, 2)], ids=["plain", "reordered"]
)
def test_a_flipped_bit_does_not_make_a_camera_late_for_good(
    options: dict[str, str], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = coded(**options)
    assert shown(packets, plain) == shown(packets, renewed) == list(range(COUNT - held))
    late = next(each for each in flipped(packets) if shown(each, plain)[-1] < COUNT - 2 - held)
    given_back: list[None] = []
    monkeypatch.setattr(decoder, "give_back", lambda: given_back.append(None))
    assert shown(late, renewed)[held - 2 * GROUP :] == list(range(COUNT - 2 * GROUP, COUNT - held))
    assert given_back == [None]


def test_a_camera_whose_pictures_have_an_order_of_their_own_keeps_it() -> None:
    """Even where its parameter sets do not tell, and FFmpeg has found out when it opened the stream."""

    def told(stream: av.VideoStream) -> Decode:
        stream.codec_context.reorder_depth = 2
        return renewed(stream)

    packets = coded(tune="zerolatency")
    assert shown(packets, told) == list(range(COUNT - 2))


def test_a_camera_that_begins_to_reorder_its_pictures_is_shown_whole_after_one_key_frame() -> None:
    packets = [*coded(tune="zerolatency")[: 2 * GROUP], *coded(bf="2", b_strategy="0")[2 * GROUP :]]
    numbers = shown(packets, renewed)
    assert numbers[: 2 * GROUP] == list(range(2 * GROUP))
    assert numbers[numbers.index(3 * GROUP) :] == list(range(3 * GROUP, COUNT - 2))
