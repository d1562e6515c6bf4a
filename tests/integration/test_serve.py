"""`onsight serve` and `onsight events` as they are run, with cameras of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from support.clips import Camera, camera, write_clip
from support.models import tiny_detector
from support.served import PASSWORD, PATIENCE, ROOT, Served, serving, until
from websockets.sync.client import connect

from pipeline.serve.cli_events import events

MASKS = {"masks": {"door": {"points": [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]}}}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Camera]]:
    """Two cameras, which show something red and something green."""
    clip = write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", [number / 10 for number in range(20)])
    with ExitStack() as stack:
        yield {name: stack.enter_context(camera(clip, rtsp=0)) for name in ("yard", "door")}


def with_password(each: Camera) -> str:
    return each.urls[0].replace("rtsp://", f"rtsp://anna:{PASSWORD}@")


def configuration(doors: dict[str, Camera], **changes: Any) -> str:
    """Two cameras that work, one of them masked, and one that does not."""
    cameras = {
        "yard": {"source": {"env": "YARD"}},
        "door": {"source": with_password(doors["door"]), "masks": "masks.yaml"},
        "dead": f"rtsp://anna:{PASSWORD}@127.0.0.1:1/",
    }
    values = {"model": "m.onnx", "cameras": cameras, "store": {"clips": {"before": "1s", "after": "1s"}}}
    return yaml.safe_dump({**values, **changes})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, doors: dict[str, Camera]) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    tiny_detector(folder / "m.onnx")
    (folder / "masks.yaml").write_text(yaml.safe_dump(MASKS))
    (folder / "live.yaml").write_text(configuration(doors))
    with serving(folder, "live.yaml", YARD=with_password(doors["yard"])) as served:
        yield served


@pytest.mark.parametrize(("name", "other"), [("yard", "door"), ("door", "yard")], ids=["copied", "encoded"])
def test_a_camera_that_is_lost(served: Served, doors: dict[str, Camera], name: str, other: str) -> None:
    """What was seen has an end and a clip; the others go on; it comes back."""
    served.wait_for(name, "live")
    served.wait_for(other, "live")
    seen = until(lambda: [each for each in served.events(camera=name, label="red") if each["end"] is None])[0]
    until(lambda: served.cameras()[name]["frames"] > 20)  # some that a clip can be made of
    doors[name].turn("kill")
    served.wait_for(name, "waiting")
    event = f"/api/events/{seen['id']}"
    until(lambda: served.ask(event).json()["end"] and served.ask(event).json()["clip"])
    picture = served.ask(f"{event}/thumbnail").content
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None
    clip = served.folder / f"{name}.mp4"
    clip.write_bytes(served.ask(f"{event}/clip").content)
    with av.open(str(clip)) as video:
        assert sum(1 for _ in video.decode(video=0)) > 5
    frames = served.cameras()[other]["frames"]
    until(lambda: served.cameras()[other]["frames"] > frames + 5)
    doors[name].turn("well")
    served.wait_for(name, "live")
    assert served.cameras()[name]["gaps"] == 1
    (gap,) = until(lambda: [each for each in served.gaps(name) if each["end"]])
    assert seen["start"] < gap["start"] < gap["end"]
    assert gap["reason"]
    until(lambda: [each for each in served.events(camera=name) if each["end"] is None])


def test_a_camera_that_was_never_there(served: Served) -> None:
    served.wait_for("dead", "waiting")
    assert served.cameras()["dead"]["reason"] == "Connection refused"


def test_a_configuration_is_read_again(served: Served, doors: dict[str, Camera]) -> None:
    before = served.cameras().keys()
    for broken, why in (
        ("model: [", "stays as it was: the configuration live.yaml is not valid YAML"),
        (
            configuration(doors, rules=[{"nam": "x"}]),
            "stays as it was: live.yaml: unknown key 'rules.0.nam'; did you mean 'name'?",
        ),
        (
            configuration(doors, cameras={"new": {"source": "rtsp://127.0.0.1:1/", "masks": "no.yaml"}}),
            "all stays as it was: the masks",
        ),
    ):
        served.configure(broken)
        until(lambda why=why: any(why in message for message in served.logged("the ")))
        assert served.cameras().keys() == before
    served.configure(configuration(doors, rules=[{"name": "something red", "labels": ["red"]}], redact=["green"]))
    until(lambda: served.logged("the configuration was read again, but a restart is needed for: redact"))
    until(lambda: served.events(rule="something red", camera="yard"))
    served.configure(configuration(doors))
    until(lambda: "the configuration was read again" in served.logged("the configuration was read again"))
    served.wait_for("yard", "live")
    gaps = until(lambda: [each for each in served.gaps("yard") if each["reason"] == "it was opened anew"])
    assert all(each["end"] for each in gaps[1:])  # the newest may last until somebody looks


def test_what_was_seen_is_listed(served: Served) -> None:
    until(lambda: served.events(label="green", camera="yard"))
    found = CliRunner().invoke(
        events, ["--store", str(served.folder / "events"), "--since", "1h", "--label", "green", "--json"]
    )
    assert found.exit_code == 0, found.output
    assert {json.loads(line)["label"] for line in found.stdout.splitlines()} == {"green"}


def test_cameras_of_the_page_outlive_it_and_so_does_its_end(served: Served, doors: dict[str, Camera]) -> None:
    """The last one: it ends `served`."""
    spec = {"source": with_password(doors["door"])}
    served.ask("/api/cameras", "POST", json={"name": "back-door", "spec": spec})
    served.wait_for("back-door", "live")
    served.ask("/api/cameras/dead", "DELETE")
    changed = served.folder / "events" / "cameras.yaml"
    assert changed.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(changed.read_text()) == {"cameras": {"back-door": spec, "dead": None}}
    socket = served.url.replace("http", "ws") + "api/live"
    with connect(socket, origin=served.url.rstrip("/")) as viewer:
        viewer.send(json.dumps({"cameras": ["yard"]}))
        until(lambda: isinstance(viewer.recv(PATIENCE), bytes))  # a picture
        served.process.send_signal(signal.SIGTERM)
        for _ in viewer:
            pass
        assert viewer.close_code == 1001
    assert served.process.wait(PATIENCE) == 0
    assert PASSWORD not in served.log
    ended = datetime.now(UTC).isoformat()
    with serving(served.folder, "live.yaml", YARD=with_password(doors["yard"])) as again:
        assert again.cameras().keys() == {"yard", "door", "back-door"}
        again.wait_for("back-door", "live")
        for name in ("yard", "back-door"):
            assert "Onsight did not run" in [each["reason"] for each in until(lambda name=name: again.gaps(name))]
        assert all(each["end"] for each in again.events(until=ended))


def test_it_ends_with_dead_cameras_and_whoever_watches(tmp_path: Path, doors: dict[str, Camera]) -> None:
    """One camera is well, one was and has gone silent, one never answers, one refuses; of two viewers of each kind one
    takes nothing."""
    tiny_detector(tmp_path / "m.onnx")
    with ExitStack() as stack:
        silent = stack.enter_context(camera("synthetic:64x36@10?frames=10", rtsp=0))
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        cameras = {
            "well": doors["yard"].urls[0],
            "silent": silent.urls[0],
            "mute": f"rtsp://127.0.0.1:{mute.getsockname()[1]}/",
            "dead": "rtsp://127.0.0.1:1/",
        }
        (tmp_path / "live.yaml").write_text(yaml.safe_dump({"model": "m.onnx", "cameras": cameras}))
        served = stack.enter_context(serving(tmp_path, "live.yaml"))
        for name in ("well", "silent"):
            served.wait_for(name, "live")
        served.wait_for("dead", "waiting")
        silent.turn("pause")
        port = httpx.URL(served.url).port
        streams = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2)]
        for stream in streams:
            stream.sendall(b"GET /api/cameras/well/mjpeg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        sockets = [stack.enter_context(connect(served.url.replace("http", "ws") + "api/live")) for _ in range(2)]
        for viewer in sockets:
            viewer.send(json.dumps({"cameras": list(cameras)}))
        streams[0].recv(100)
        until(lambda: isinstance(sockets[0].recv(PATIENCE), bytes))
        served.wait_for("silent", "stalled")
        served.process.send_signal(signal.SIGTERM)
        while streams[0].recv(1 << 16):
            pass
        assert served.process.wait(PATIENCE) == 0
        assert "Traceback" not in served.log


@pytest.mark.skipif(not entry_points(group="onsight.demo"), reason="the demo is not installed: uv sync")
def test_the_demo(tmp_path: Path) -> None:
    with serving(tmp_path, "--demo", XDG_CACHE_HOME=str(tmp_path / "cache")) as served:
        for name in ("street", "crossing"):
            served.wait_for(name, "live")
        assert len(served.cameras()) == 2
        until(lambda: all(each["frames"] for each in served.cameras().values()))
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "log.jsonl"]


@pytest.mark.skipif(os.name != "posix", reason="the test camera cannot read its input on Windows")
def test_the_cameras_of_a_demo_that_is_killed_end_with_it() -> None:
    clip = "synthetic:64x36@10?frames=10"
    script = (
        "import time; from pipeline.serve.demo import _camera\n"
        f"with _camera({clip!r}) as url: print(url, flush=True); time.sleep({PATIENCE})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        port = int(demo.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        assert listens(port)
        demo.kill()
    until(lambda: not listens(port))


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
