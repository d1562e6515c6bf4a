"""A small HTTP server: every address is the same endless series of JPEG files."""

from __future__ import annotations

import asyncio

from pipeline.sources import Source
from pipeline.testcamera.clip import jpegs, looped

_HEAD = (
    b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\n"
    b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
)


class MjpegServer:
    """Plays the source to each client, from its first frame, round after round."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends pictures to one client until it leaves."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD)
        async for _, jpeg in looped(lambda: jpegs(self._source)):
            writer.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg))
            await writer.drain()
