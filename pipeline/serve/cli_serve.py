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

from pipeline.cli import describe_device, stop_on_signals
from pipeline.errors import ConfigError, OnsightError
from pipeline.extras import needing

if TYPE_CHECKING:
    from pipeline.serve.config import ServeConfig
    from pipeline.serve.eye import Eye

_LOG = logging.getLogger(__name__)


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--demo", is_flag=True, help="Two cameras made of a clip, with a model that is at hand.")
def serve(config: Path | None, demo: bool) -> int:
    """Watch the cameras of the YAML file CONFIG: a page to see them, a memory of events, alerts.

    Ctrl-C or SIGTERM ends it. SIGHUP reads CONFIG again.
    """
    if (config is None) is not demo:
        raise ConfigError("give the YAML file of the cameras, or --demo to try it without one")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("alembic", "httpx", "httpcore"):  # and webhooks' addresses are nobody's business
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with needing("serve"):
        from pipeline.serve.config import read_config
        from pipeline.serve.demo import demo_config
        from pipeline.serve.service import serve as watch
    if config is None:
        with demo_config() as wanted, stop_on_signals() as stop:
            watch(wanted, stop.event, lambda: None, _tell)
    else:
        wanted = read_config(config)
        with stop_on_signals() as stop, _rereading(lambda: read_config(config)) as reread:
            watch(wanted, stop.event, reread, _tell)
    return 0


def _tell(url: str, eye: Eye) -> None:
    click.echo(f"device: {describe_device(eye.model)}", err=True)
    click.echo(f"watch at {url}", err=True)


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
