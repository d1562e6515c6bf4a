"""The command line of the test camera."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import click

from pipeline.errors import ConfigError, OnsightError
from pipeline.sources import open_source
from pipeline.testcamera.clip import check_loopable, coded_units, jpegs, make_reels
from pipeline.testcamera.controls import Controls
from pipeline.testcamera.door import HOST, Door
from pipeline.testcamera.mjpeg import MjpegServer
from pipeline.testcamera.rtsp import RtspServer


@click.command()
@click.argument("clip", default="synthetic:640x360@30?frames=300")
@click.option("--rtsp-port", type=click.IntRange(0, 65535), help="Serve RTSP there; 0 takes a free port.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Serve HTTP MJPEG there; 0 takes a free port.")
@click.option("--controls", is_flag=True, help="Do what is written to standard input, one word a line.")
@click.option("--until-eof", is_flag=True, help="End when standard input does, as when who started it is killed.")
def main(clip: str, rtsp_port: int | None, http_port: int | None, controls: bool, until_eof: bool) -> None:
    """Serves CLIP (a video, or a picture like synthetic:640x360?frames=300) over and over to clients on this machine.

    Prints `ready` and the address for each server, and ends with Ctrl-C or SIGTERM.

    With --controls, it takes these words from standard input: pause (connections stay, nothing is sent), kill (they are
    cut and refused), corrupt (what is sent is damaged), black, freeze (the picture is), well (all is as before), and
    `wait SECONDS` before the next one. When the input ends, it serves on, unless --until-eof is given.
    """
    if rtsp_port is None and http_port is None:
        raise click.UsageError("give --rtsp-port, --http-port or both")
    try:
        asyncio.run(_serve(clip, rtsp_port, http_port, controls, until_eof))
    except OnsightError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None


async def _serve(clip: str, rtsp_port: int | None, http_port: int | None, controlled: bool, until_eof: bool) -> None:
    source = open_source(clip)
    check_loopable(source)
    controls, doors = Controls(), {}
    if rtsp_port is not None:
        doors["rtsp"] = Door(rtsp_port, RtspServer(make_reels(source, coded_units), controls).serve)
    if http_port is not None:
        doors["http"] = Door(http_port, MjpegServer(make_reels(source, jpegs), controls).serve)
    stop = _stop_signal()
    lines = _standard_input() if controlled or until_eof else None
    for scheme, door in doors.items():
        await door.open()
        controls.heeded_by.append(door.heed)
        click.echo(f"ready {scheme}://{HOST}:{door.port}/")
    listening = asyncio.create_task(_listen(lines, controls if controlled else None)) if lines is not None else None
    if listening is not None and until_eof:
        listening.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if listening is not None:
        listening.cancel()


async def _listen(lines: asyncio.StreamReader, controls: Controls | None) -> None:
    """Until the input ends, which is heeded by `controls` alone."""
    if controls is not None:
        await controls.obey(lines, click.echo)
    while await lines.read(4096):
        pass


def _stop_signal() -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process
            break
    return stop


def _standard_input() -> asyncio.StreamReader:
    """Standard input, read without a thread, which could not be ended."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    if sys.stdin is None:  # it was closed from the beginning
        lines.feed_eof()
        return lines
    file = sys.stdin.fileno()

    def feed() -> None:
        if data := os.read(file, 4096):
            lines.feed_data(data)
        else:
            loop.remove_reader(file)
            lines.feed_eof()

    try:
        loop.add_reader(file, feed)
    except PermissionError:  # a file is always ready, and epoll does not take it
        lines.feed_data(sys.stdin.buffer.read())
        lines.feed_eof()
    except NotImplementedError:
        raise ConfigError("standard input cannot be read on Windows: turn the camera's Controls in Python") from None
    return lines


if __name__ == "__main__":
    main()
