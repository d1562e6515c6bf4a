"""A small RTSP server: one video track, RTP over the same TCP connection (RFC 2326)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress

from pipeline.testcamera.clip import Reels, Unit, looped
from pipeline.testcamera.controls import Controls
from pipeline.testcamera.damage import damage_packets
from pipeline.testcamera.rtp import HEADER, describe, packetise

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
_INTERLEAVED = b"$"


class RtspServer:
    """Plays the clip to each client, from its first frame, round after round."""

    def __init__(self, reels: Reels[Unit], controls: Controls) -> None:
        self._reels = reels
        self._controls = controls
        self._chance = random.Random(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talks with one client until it leaves."""
        session = f"{random.getrandbits(32):08x}"
        playing: asyncio.Task[None] | None = None
        try:
            while (request := await _read_request(reader)) is not None:
                method, url, headers = request
                status, extra, body = self._answer(method, url, headers, session)
                writer.write(_response(status, headers.get("cseq", "0"), extra, body))
                await writer.drain()
                if method == "PLAY" and playing is None:
                    playing = asyncio.create_task(self._play(writer))
                if method == "TEARDOWN":
                    break
        finally:
            if playing is not None:
                playing.cancel()

    def _answer(self, method: str, url: str, headers: dict[str, str], session: str) -> tuple[str, dict[str, str], str]:
        """Status, headers and body of the answer to a request."""
        named = {"Session": f"{session};timeout=60"}
        if method == "OPTIONS":
            return "200 OK", {"Public": _METHODS}, ""
        if method == "DESCRIBE":
            kind = {"Content-Type": "application/sdp", "Content-Base": url.rstrip("/") + "/"}
            return "200 OK", kind, describe(self._reels.clip[0].nals)
        if method == "SETUP":
            if "TCP" not in headers.get("transport", ""):
                return "461 Unsupported Transport", {}, ""
            return "200 OK", {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", **named}, ""
        if method in ("PLAY", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"):
            return "200 OK", named, ""
        return "405 Method Not Allowed", {"Allow": _METHODS}, ""

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        sequence, source, zero = 0, random.getrandbits(32), random.uniform(1, 1000)
        with suppress(ConnectionError):
            async for began, unit in looped(self._reels, self._controls):
                packets = list(packetise(unit.nals, zero + began + unit.pts, sequence, source))
                sequence += len(packets)
                for packet in self._as_it_is(packets):
                    writer.write(_INTERLEAVED + b"\0" + len(packet).to_bytes(2, "big") + packet)
                await writer.drain()

    def _as_it_is(self, packets: Iterable[bytes]) -> Iterable[bytes]:
        return damage_packets(packets, self._chance, HEADER) if self._controls.mode == "corrupt" else packets


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """Method, URL and headers (names in lower case) of the next request; None when the client has left."""
    while (first := await reader.read(1)) == _INTERLEAVED:  # the client's RTCP reports
        _, size = await reader.readexactly(1), await reader.readexactly(2)
        await reader.readexactly(int.from_bytes(size, "big"))
    if not first:
        return None
    lines = (first + await reader.readuntil(b"\r\n\r\n")).decode(errors="replace").strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    await reader.readexactly(int(headers.get("content-length", 0)))
    method, url, *_ = [*lines[0].split(), "", ""]
    return method, url, headers


def _response(status: str, number: str, headers: dict[str, str], body: str) -> bytes:
    lines = {"CSeq": number, **headers, **({"Content-Length": str(len(body))} if body else {})}
    return "\r\n".join(
        [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in lines.items()), "", body]
    ).encode()
