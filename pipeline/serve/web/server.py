"""Serving the app on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from pipeline.channel import Worker
from pipeline.errors import ConfigError
from pipeline.serve.live import Live
from pipeline.serve.web.settings import WebSettings

_GRACE = 3  # seconds that open connections get to end
_LARGEST_MESSAGE = 64 * 1024  # bytes, from the page
_BACKLOG = 128


class WebServer:
    """Listens from the start, serves in a `with` block, and has sent everybody away within five seconds of its end.

    Attributes:
        url: of the page.

    Raises:
        ConfigError: it cannot listen there, or the TLS files cannot be used.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, live: Live) -> None:
        self._live = live
        self._server = uvicorn.Server(_configure(app, settings))
        self._socket = _listen(settings.host, settings.port)
        scheme = "https" if settings.certificate else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{scheme}://{host}:{self._socket.getsockname()[1]}/"

    def __enter__(self) -> Self:
        self._worker = Worker(self._serve, "web server")
        while not self._server.started:
            self._worker.check()
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Raises why it serves no more, if it does not."""
        self._worker.check()

    def end(self) -> None:
        """Begins to send the viewers away, and does not wait."""
        self._live.end()
        self._server.should_exit = True

    def close(self) -> None:
        """Sends the viewers away and ends. What was said before is sent; who does not take it is cut off."""
        self.end()
        try:
            self._worker.close()
        finally:
            self._socket.close()

    def _serve(self, stop: threading.Event) -> None:
        log = logging.getLogger("uvicorn.error")
        log.addFilter(_is_a_fault)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            log.removeFilter(_is_a_fault)
        if not self._live.ended:
            raise RuntimeError("the web server ended, and nobody had told it to")


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Not so is cutting off at the end who takes nothing, which uvicorn tells with a traceback for each."""
    kind = record.exc_info[0] if record.exc_info else None
    cut_off = kind is not None and issubclass(kind, asyncio.CancelledError)
    return not cut_off and not record.getMessage().startswith("Cancel ")


def _configure(app: ASGIApp, settings: WebSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {settings.certificate} with {settings.key}: {error}") from error
    return config


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let another program listen there, too
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another 'port'") from error
    return listener
