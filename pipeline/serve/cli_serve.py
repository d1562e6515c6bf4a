"""The command `onsight serve`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

import click

from pipeline.cli import FAULT, OK, describe_device, stop_on_signals
from pipeline.errors import ConfigError, OnsightError
from pipeline.extras import needing

if TYPE_CHECKING:
    from pipeline.serve.config import ServeConfig
    from pipeline.serve.eye import Eye
    from pipeline.serve.logs import LogFormat

_LOG = logging.getLogger(__name__)


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--demo", is_flag=True, help="Two cameras made of a clip, with a model that is at hand.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the page, whatever CONFIG says; 0: a free one.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def serve(config: Path | None, demo: bool, port: int | None, log_format: LogFormat) -> int:
    """Watch the cameras of the YAML file CONFIG: a page to see them, a memory of events, alerts.

    Ctrl-C or SIGTERM ends it. SIGHUP reads CONFIG again.
    """
    if (config is None) is not demo:
        raise ConfigError("give the YAML file of the cameras, or --demo to try it without one")
    from pipeline.serve.logs import set_up

    set_up(log_format)
    try:
        _demonstrate(port) if config is None else _watch(config, port)
    except OnsightError:
        raise
    except Exception:
        _LOG.critical("Onsight ends: this is a fault of its own", exc_info=True)
        return FAULT
    return OK


def _watch(file: Path, port: int | None) -> None:
    with needing("serve"):
        from pipeline.serve.config import read_config
        from pipeline.serve.service import serve as watch
    wanted = read_config(file).on_port(port)
    with stop_on_signals() as stop, _rereading(lambda: read_config(file).on_port(port)) as reread:
        watch(wanted, stop.event, reread, _tell)


def _demonstrate(port: int | None) -> None:
    with needing("serve"):
        from pipeline.serve.demo import demo_config
        from pipeline.serve.service import serve as watch
    with stop_on_signals() as stop, demo_config() as wanted:
        watch(wanted.on_port(port), stop.event, lambda: None, _tell)


def _tell(url: str, eye: Eye) -> None:
    _LOG.info("device: %s", describe_device(eye.model))
    _LOG.info("watch at %s", url)


@contextmanager
def _rereading(read: Callable[[], ServeConfig]) -> Iterator[Callable[[], ServeConfig | None]]:
    """A function that reads the configuration if SIGHUP has come since its last call, and returns None otherwise."""
    asked = Event()

    def reread() -> ServeConfig | None:
        if not asked.is_set():
            return None
        asked.clear()
        try:
            return read()
        except OnsightError as error:
            _LOG.error("the configuration stays as it was: %s", error)
            return None

    def ask(_: int, __: FrameType | None) -> None:
        asked.set()

    if not hasattr(signal, "SIGHUP"):  # Windows
        yield reread
        return
    before = signal.signal(signal.SIGHUP, ask)
    try:
        yield reread
    finally:
        signal.signal(signal.SIGHUP, before)
