"""`onsight serve --demo`: two cameras that are none, to try it with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import ConfigError
from pipeline.serve.config import ServeConfig

_CAMERAS = ("street", "crossing")


@contextmanager
def demo_config() -> Iterator[ServeConfig]:
    """The configuration of the demo; its cameras run, and its store is there, while the context lasts.

    Raises:
        ConfigError: the packages that the demo is made of are not installed.
    """
    model, clip = _find("model"), _find("clip")
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="onsight-demo-"))
        urls = {name: stack.enter_context(_camera(clip)) for name in _CAMERAS}
        yield ServeConfig.model_validate({"model": model, "cameras": urls, "store": {"folder": Path(folder)}})


def _find(what: str) -> Path:
    """The demo's model or clip, from the package that has one: the runtime knows no network."""
    for entry in entry_points(group="onsight.demo", name=what):
        try:
            found: Path = entry.load()()
        except ModuleNotFoundError:
            break
        return found
    raise ConfigError("the demo needs packages that are not installed: pip install 'onsight[demo,serve]'")


@contextmanager
def _camera(clip: Path) -> Iterator[str]:
    """The URL of an RTSP camera on this machine that shows the clip over and over.

    It is a process that ends with this one, however that ends: the pipe to it is closed then.
    """
    command = [sys.executable, "-m", "pipeline.testcamera", str(clip), "--rtsp-port", "0"]
    if os.name == "posix":
        command.append("--until-eof")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, _, url = process.stdout.readline().strip().partition(" ")
            if ready != "ready":
                raise ConfigError("the camera of the demo does not start: see above")
            yield url
        finally:
            process.terminate()
