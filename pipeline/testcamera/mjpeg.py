"""A small HTTP server: every address is the same endless series of JPEG files."""

from __future__ import annotations

import asyncio
from random import Random

from pipeline.testcamera.clip import Jpeg, Reels, looped
from pipeline.testcamera.controls import Controls
from pipeline.testcamera.damage import damage

_HEAD = (
    b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\n"
    b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
)
_TABLES = 700  # bytes at the start of a JPEG file of OpenCV: without them it is no picture at all


class MjpegServer:
    """Plays the clip to each client, from its first frame, round after round."""

    def __init__(self, reels: Reels[Jpeg], controls: Controls) -> None:
        self._reels = reels
        self._controls = controls
        self._chance = Random(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends pictures to one client until it leaves."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD)
        async for _, jpeg in looped(self._reels, self._controls):
            data = jpeg.data
            if self._controls.mode == "corrupt":
                data = damage(data, self._chance, _TABLES)
            writer.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data))
            await writer.drain()
