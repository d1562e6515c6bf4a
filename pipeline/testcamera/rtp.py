"""H.264 in RTP packets (RFC 6184: single NAL units and FU-A)."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Sequence

PAYLOAD_TYPE = 96
CLOCK = 90_000
LARGEST = 1400
HEADER = 12

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_SPS, _PPS = 7, 8


def split_nals(annex_b: bytes) -> list[bytes]:
    """The NAL units of an access unit, without start codes."""
    return [nal for nal in _START_CODE.split(annex_b) if nal]


def packetise(nals: Sequence[bytes], seconds: float, sequence: int, source: int) -> Iterator[bytes]:
    """The RTP packets of an access unit to be shown at `seconds`; the first has the number `sequence`."""
    timestamp = round(seconds * CLOCK) & 0xFFFFFFFF
    payloads = [payload for nal in nals for payload in _fragments(nal)]
    for number, payload in enumerate(payloads):
        marker = 0x80 if number == len(payloads) - 1 else 0
        head = struct.pack(">BBHII", 0x80, marker | PAYLOAD_TYPE, (sequence + number) & 0xFFFF, timestamp, source)
        yield head + payload


def describe(nals: Sequence[bytes]) -> str:
    """The session description (SDP) of a stream whose first access unit is `nals`."""
    sets = [nal for nal in nals if nal[0] & 0x1F in (_SPS, _PPS)]
    sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
    profile = sets[0][1:4].hex()
    lines = (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=Onsight test camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK}",
        f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sprop}",
        "a=control:video",
    )
    return "".join(f"{line}\r\n" for line in lines)


def _fragments(nal: bytes) -> Iterator[bytes]:
    if len(nal) <= LARGEST:
        yield nal
        return
    indicator, kind = nal[0] & 0xE0 | 28, nal[0] & 0x1F
    for at in range(1, len(nal), LARGEST - 2):
        end = at + LARGEST - 2
        first, last = 0x80 if at == 1 else 0, 0x40 if end >= len(nal) else 0
        yield bytes((indicator, first | last | kind)) + nal[at:end]
