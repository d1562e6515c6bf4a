"""The web server on a real socket: pictures for curl, viewers that take nothing, and the end."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.serving import FakeCameras, FakeEvents, picture, shown
from websockets.sync.client import ClientConnection, connect

from pipeline.errors import ConfigError
from pipeline.serve.live import Live
from pipeline.serve.web.app import create_app
from pipeline.serve.web.server import WebServer
from pipeline.serve.web.settings import WebSettings

PATIENCE = 10.0


class Site:
    """A server with one camera, `gate`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.live = Live(rate=1e9)
        given = WebSettings(port=0, **settings)
        self.server = WebServer(create_app(given, self.live, FakeCameras("gate"), FakeEvents(folder)), given, self.live)
        self.port = self.server._socket.getsockname()[1]
        self.number = 0

    def publish(self) -> None:
        self.number += 1
        self.live.publish("gate", shown(picture(self.number)))

    def publish_until(self, done: Any) -> None:
        """Publishes as a pipeline would until `done()`."""
        deadline = threading.Event()
        threading.Timer(PATIENCE, deadline.set).start()
        while not done():
            assert not deadline.is_set(), "it never came"
            self.publish()
            deadline.wait(0.01)

    def watch(self, **options: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/api/live", **options)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.server:
        yield site
    assert [each.name for each in threading.enumerate() if each.name == "onsight web server"] == []


def in_background(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_mjpeg_for_curl(site: Site) -> None:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    connection.request("GET", "/api/cameras/gate/mjpeg")
    parts: list[bytes] = []

    def read() -> None:
        reply = connection.getresponse()
        assert reply.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=onsight"
        for _ in range(3):
            assert reply.readline() == b"--onsight\r\n"
            assert reply.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(reply.readline().removeprefix(b"Content-Length: "))
            assert reply.readline() == b"\r\n"
            parts.append(reply.read(length))
            assert reply.readline() == b"\r\n"

    reading = in_background(read)
    site.publish_until(lambda: not reading.is_alive())
    assert len(set(parts)) == 3
    assert all(part[:2] == b"\xff\xd8" and part[-2:] == b"\xff\xd9" for part in parts)
    connection.close()
    site.publish_until(lambda: not site.live.watching)


def test_a_snapshot(site: Site) -> None:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    connection.request("GET", "/api/cameras/gate/snapshot")
    replies: list[bytes] = []
    reading = in_background(lambda: replies.append(connection.getresponse().read()))
    site.publish_until(lambda: not reading.is_alive())
    assert replies[0][:2] == b"\xff\xd8"


def test_pictures_over_a_socket_come_one_at_a_time(site: Site) -> None:
    with site.watch() as viewer:
        assert json.loads(viewer.recv(PATIENCE))["cameras"][0]["name"] == "gate"
        viewer.send(json.dumps({"cameras": ["gate"]}))
        numbers: list[int] = []

        def read() -> None:
            while len(numbers) < 5:
                message = viewer.recv(PATIENCE)
                if isinstance(message, bytes):
                    length = int.from_bytes(message[:2], "big")
                    numbers.append(json.loads(message[2 : 2 + length])["number"])
                    viewer.send(json.dumps({"seen": "gate"}))

        reading = in_background(read)
        site.publish_until(lambda: not reading.is_alive())
    assert numbers == sorted(set(numbers))
    site.publish_until(lambda: not site.live.watching)


def test_the_end_does_not_wait_for_viewers_who_take_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(tmp_path)
    with ExitStack() as viewers, site.server:
        for _ in range(3):
            each = viewers.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            each.sendall(b"GET /api/cameras/gate/mjpeg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        awake = viewers.enter_context(site.watch())
        awake.send(json.dumps({"cameras": ["gate"]}))
        site.publish_until(lambda: site.live.watching["gate"] == 4)
        large = shown(np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8))
        for _ in range(60):
            site.live.publish("gate", large)
            time.sleep(0.02)
    site.server._worker.check()
    assert not site.server._worker._thread.is_alive()
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", site.port))


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = WebSettings(port=other.getsockname()[1])
        live = Live()
        app = create_app(settings, live, FakeCameras(), FakeEvents(tmp_path))
        with pytest.raises(ConfigError, match=r"cannot listen on 127.0.0.1:\d+: .*; choose another 'port'"):
            WebServer(app, settings, live)


def test_files_that_are_no_certificate_are_told(tmp_path: Path) -> None:
    nonsense = tmp_path / "x.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(ConfigError, match=r"cannot use .*x\.pem"):
        Site(tmp_path, certificate=nonsense, key=nonsense)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make, *names, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    site = Site(tmp_path, certificate=certificate, key=key)
    with site.server:
        assert site.server.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(certificate))
        connection = HTTPSConnection("localhost", site.port, timeout=PATIENCE, context=trusting)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"
        connection.close()
