"""The way in: takes connections on a port, unless the camera is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from pipeline.errors import SourceError
from pipeline.testcamera.controls import Mode

HOST = "127.0.0.1"

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """Takes connections on `port` of this machine and has `talk` serve each.

    Args:
        port: 0 takes a free one.

    Attributes:
        port: known when it is open.
    """

    def __init__(self, port: int, talk: Talk) -> None:
        self.port = port
        self._talk = talk
        self._inside: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Takes connections from now on.

        Raises:
            SourceError: the port cannot be used.
        """
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
        except OSError as error:
            problem = f"port {self.port} cannot be used: {error.strerror}"
            raise SourceError(f"{problem}; give another, or 0 for a free one") from None
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Cuts all connections and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._inside:
            writer.transport.abort()

    async def heed(self, mode: Mode) -> None:
        """Is closed while the camera is killed."""
        if mode == "kill":
            self.close()
        elif self._server is None:
            await self.open()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._inside.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            await self._talk(reader, writer)
        self._inside.discard(writer)
        writer.close()
