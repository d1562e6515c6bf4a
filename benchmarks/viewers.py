"""Do viewers slow the pipeline down, stalled ones above all?

    uv run benchmarks/viewers.py                      # 50 viewers, 45 of them stalled; two minutes

A synthetic pipeline works on one 720p camera as fast as it can: what a frame costs it is a fixed piece of work. It is
timed alone and with viewers, in turn and three times over, so that a busy machine is seen. The viewers live in another
process. Of the stalled ones, half have opened a WebSocket and half an MJPEG stream, and none takes what it is sent.
Exit code 1 if the pipeline loses more than 5 % of its rate (of the medians).
"""

import argparse
import json
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

import cv2
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipeline.serve.live import Live
from pipeline.serve.types import CameraStatus
from pipeline.serve.web.app import create_app
from pipeline.serve.web.server import WebServer
from pipeline.serve.web.settings import WebSettings
from pipeline.types import Annotated, Classification, Frame, Redacted

LOST = 0.05  # of the pipeline's rate, at most
NOTHING = Classification(np.zeros(0, np.int64), np.zeros(0, np.float32), ())


class Cameras:
    def status(self):
        return [CameraStatus("camera", "live", datetime.now(UTC))]


class Events:
    def search(self, **_):
        return []

    def gaps(self, **_):
        return []

    def audit(self, *_):
        pass


def work(frame, milliseconds):
    """What a frame costs the pipeline: resizing it again and again, as a model's stand-in that OpenCV threads not."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        cv2.resize(frame, (640, 360), interpolation=cv2.INTER_AREA)


def run_pipeline(live, seconds, milliseconds, paced):
    """Frames a second."""
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 255, (90, 160, 3), np.uint8), (1280, 720)) for _ in range(8)]
    start, frames = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < seconds:
        image = images[frames % len(images)]
        work(image, milliseconds)
        live.publish("camera", Annotated(Redacted(Frame(image, "camera", frames, now), NOTHING), image))
        frames += 1
        if paced and (wait := start + frames / paced - time.perf_counter()) > 0:
            time.sleep(wait)
    return frames / (time.perf_counter() - start)


def view(port, stalled, awake, ready, done, counts):
    """The viewers; a process of its own."""
    sockets, streams = [], []
    for number in range(stalled):
        if number % 2:
            stream = socket.socket()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.connect(("127.0.0.1", port))
            stream.sendall(b"GET /api/cameras/camera/mjpeg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            streams.append(stream)
        else:
            sockets.append(open_socket(port))
    threads = [threading.Thread(target=take, args=(port, counts, n), daemon=True) for n in range(awake)]
    for thread in threads:
        thread.start()
    ready.set()
    done.wait()


def open_socket(port):
    viewer = connect(f"ws://127.0.0.1:{port}/api/live", max_queue=1).__enter__()
    viewer.send(json.dumps({"cameras": ["camera"]}))
    return viewer


def take(port, counts, number):
    viewer = open_socket(port)
    with suppress(ConnectionClosed):
        while True:
            if isinstance(viewer.recv(10), bytes):
                counts[number] += 1
                viewer.send(json.dumps({"seen": "camera"}))


def measure(arguments, viewers):
    """Frames a second of the pipeline, and pictures a second of each viewer that is awake."""
    live = Live()
    settings = WebSettings(port=0)
    context = multiprocessing.get_context("spawn")
    awake = max(viewers - arguments.stalled, 0)
    ready, done, counts = context.Event(), context.Event(), context.Array("i", awake)
    with WebServer(create_app(settings, live, Cameras(), Events()), settings, live) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        process = context.Process(target=view, args=(port, viewers - awake, awake, ready, done, counts))
        process.start()
        ready.wait(60)
        while live.watching["camera"] < viewers:
            time.sleep(0.1)
        run_pipeline(live, 2.0, arguments.work, arguments.fps)  # the buffers of the stalled ones are full now
        before = list(counts)
        fps = run_pipeline(live, arguments.seconds, arguments.work, arguments.fps)
        taken = [(after - start) / arguments.seconds for start, after in zip(before, counts, strict=True)]
        began = time.perf_counter()
    stopped = time.perf_counter() - began
    done.set()
    process.join(10)
    return fps, taken, stopped


def judge(alone, watched):
    """The part of its rate that the pipeline keeps, of the medians, and whether it is enough."""
    kept = statistics.median(watched) / statistics.median(alone)
    return kept, kept >= 1 - LOST


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--stalled", type=int, default=45)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=float, default=10.0, help="milliseconds of CPU a frame costs the pipeline")
    parser.add_argument("--fps", type=float, default=0.0, help="frames a second of the camera; 0: as fast as it goes")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    alone, watched, taken = [], [], []
    for _ in range(arguments.rounds):
        alone.append(measure(arguments, 0)[0])
        fps, each, stopped = measure(arguments, arguments.viewers)
        watched.append(fps)
        taken += each
        print(f"  alone {alone[-1]:.2f} fps, watched {fps:.2f} fps, then stopped in {stopped:.1f} s", flush=True)
    kept, reached = judge(alone, watched)
    print(f"alone {statistics.median(alone):.2f} fps, watched {statistics.median(watched):.2f} fps: {kept:.1%}")
    print(f"who takes them gets {min(taken):.1f} to {max(taken):.1f} pictures a second")
    sys.exit(not reached)


if __name__ == "__main__":
    main()
