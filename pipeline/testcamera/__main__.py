"""The command line of the test camera."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import click

from pipeline.errors import OnsightError, SourceError
from pipeline.sources import open_source
from pipeline.testcamera.clip import check_loopable, coded_units
from pipeline.testcamera.mjpeg import MjpegServer
from pipeline.testcamera.rtsp import RtspServer

HOST = "127.0.0.1"

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@click.command()
@click.argument("clip", default="synthetic:640x360@30?frames=300")
@click.option("--rtsp-port", type=click.IntRange(0, 65535), help="Serve RTSP there; 0 takes a free port.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Serve HTTP MJPEG there; 0 takes a free port.")
def main(clip: str, rtsp_port: int | None, http_port: int | None) -> None:
    """Serves CLIP (a video, or a picture like synthetic:640x360?frames=300) over and over to clients on this machine.

    Prints `ready` and the address for each server, and ends with Ctrl-C or SIGTERM.
    """
    if rtsp_port is None and http_port is None:
        raise click.UsageError("give --rtsp-port, --http-port or both")
    try:
        asyncio.run(_serve(clip, rtsp_port, http_port))
    except OnsightError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None


async def _serve(clip: str, rtsp_port: int | None, http_port: int | None) -> None:
    source = open_source(clip)
    check_loopable(source)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process
            break
    if rtsp_port is not None:
        await _listen("rtsp", RtspServer(coded_units(source)).serve, rtsp_port)
    if http_port is not None:
        await _listen("http", MjpegServer(source).serve, http_port)
    await stop.wait()


async def _listen(scheme: str, serve: Talk, port: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    try:
        server = await asyncio.start_server(talk, HOST, port)
    except OSError as error:
        raise SourceError(f"port {port} cannot be used: {error.strerror}; give another, or 0 for a free one") from None
    click.echo(f"ready {scheme}://{HOST}:{server.sockets[0].getsockname()[1]}/")


if __name__ == "__main__":
    main()
