"""`onsight serve` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import pipeline

ROOT = Path(pipeline.__file__).parent.parent
SERVE = "import sys; from pipeline.serve.cli_serve import serve; sys.exit(serve.main(standalone_mode=False))"
PATIENCE = 240.0
PASSWORD = "s3cret"
"""Of cameras: no answer of the page may have it."""


def until(found: Callable[[], Any]) -> Any:
    """What `found` returns, as soon as that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return result


class Served:
    """`onsight serve` as a process, its page and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, folder: Path) -> None:
        self.process, self._log, self.folder = process, log, folder
        self.url = until(lambda: self.logged("watch at "))[0].removeprefix("watch at ")
        self._page = httpx.Client(base_url=self.url, headers={"Origin": self.url.rstrip("/")}, timeout=PATIENCE)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def logged(self, start: str) -> list[str]:
        """The messages of the log that begin so."""
        assert self.process.poll() is None, self.log
        whole = [line for line in self.log.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        messages = [json.loads(line)["message"] for line in whole]
        return [message for message in messages if message.startswith(start)]

    def ask(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        answer = self._page.request(method, path, **options)
        assert answer.is_success, answer.text
        assert PASSWORD not in answer.text
        return answer

    def cameras(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.ask("/api/cameras").json()}

    def wait_for(self, name: str, state: str) -> None:
        until(lambda: self.cameras().get(name, {}).get("state") == state)

    def events(self, **question: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/api/events", params=question).json()["events"]
        return found

    def gaps(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/api/gaps", params={"camera": name}).json()["gaps"]
        return found

    def configure(self, config: str) -> None:
        (self.folder / "live.yaml").write_text(config, encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def serving(folder: Path, *flags: str, **environment: str) -> Iterator[Served]:
    """`onsight serve FLAGS` with this working folder; ended by force if it is still there."""
    command = [sys.executable, "-c", SERVE, *flags, "--port", "0", "--log-format", "json"]
    log = folder / "log.jsonl"
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, cwd=folder, env={**os.environ, **path, **environment}, stderr=stream) as process,
    ):
        try:
            yield Served(process, log, folder)
        finally:
            process.kill()
