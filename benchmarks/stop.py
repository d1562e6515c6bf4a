"""How long does `onsight serve` take to end, whatever its cameras and viewers do?

    uv run benchmarks/stop.py m.onnx                  # five rounds, about two minutes

Two cameras are well, two have gone silent, one never answers and one refuses; ten viewers watch over WebSocket and ten
as MJPEG, and half of them take nothing. Exit code 1 if it took more than five seconds once, or did not end cleanly.
"""

import argparse
import json
import socket
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from soak import ENDS, Server
from soak_cameras import TestCamera
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

CLIP = "synthetic:1280x720@15?frames=30"
VIEWERS = 10  # of each kind
SILENT = 7.0  # seconds until a camera that sends nothing counts as stalled


def wait_until_live(server, names):
    for _ in range(300):
        cameras = server.sample()["cameras"]
        if all(cameras[name]["state"] == "live" for name in names):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the cameras are not live:\n{server.log}")


def watch(stack, url, cameras):
    """Viewers of both kinds, every other one of whom takes what it is sent."""
    port = int(url.rstrip("/").rpartition(":")[2])
    for number in range(VIEWERS):
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stream.sendall(b"GET /api/cameras/well/mjpeg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        live = connect(url.replace("http", "ws") + "api/live", max_queue=1, close_timeout=0.1)
        viewer = stack.enter_context(live)
        viewer.send(json.dumps({"cameras": cameras}))
        if number % 2:
            for take in (lambda stream=stream: stream.recv(1 << 16), lambda viewer=viewer: answer(viewer)):
                threading.Thread(target=repeat, args=(take,), daemon=True).start()


def answer(viewer):
    message = viewer.recv()
    if isinstance(message, bytes):
        length = int.from_bytes(message[:2], "big")
        viewer.send(json.dumps({"seen": json.loads(message[2 : 2 + length])["camera"]}))
    return message


def repeat(take):
    with suppress(OSError, WebSocketException):
        while take():
            pass


def measure(model):
    """Exit code and seconds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cameras = {name: TestCamera(CLIP) for name in ("well", "also well", "silent", "also silent")}
        for camera in cameras.values():
            stack.callback(camera.close)
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        urls = {name: camera.url for name, camera in cameras.items()}
        urls |= {"mute": f"rtsp://127.0.0.1:{mute.getsockname()[1]}/", "dead": "rtsp://127.0.0.1:1/"}
        config = {"model": str(model), "cameras": urls, "store": {"folder": str(folder / "events")}, "web": {"port": 0}}
        server = Server(config, folder)
        stack.callback(server.close)
        wait_until_live(server, cameras)
        watch(stack, server.url, list(urls))
        for name in ("silent", "also silent"):
            cameras[name].turn("pause")
        time.sleep(SILENT)
        return server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ends = []
    for _ in range(arguments.rounds):
        code, seconds = measure(arguments.model)
        ends.append(seconds)
        print(f"  exit code {code} after {seconds:.1f} s", flush=True)
        if code != 0 or seconds > ENDS:
            raise SystemExit(1)
    print(f"median {statistics.median(ends):.1f} s, at most {max(ends):.1f} s")


if __name__ == "__main__":
    main()
