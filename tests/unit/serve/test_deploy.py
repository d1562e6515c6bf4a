"""What the image asks to know whether Onsight is well."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

DOCKERFILE = Path(__file__).parents[3] / "docs" / "deploy" / "Dockerfile"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def asked(url: str) -> int:
    """The exit code of the image's health check."""
    (command,) = re.findall(r"^HEALTHCHECK(?:.|\\\n)*?CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    environment = {**os.environ, "ONSIGHT_HEALTH": url}
    return subprocess.run([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL).returncode


def test_the_health_check_asks_the_page(page: str) -> None:
    assert asked(f"{page}/healthz") == 0
    assert asked(f"{page}/elsewhere") != 0
    assert asked("http://127.0.0.1:9/healthz") != 0
