"""What the memory of events costs: room and time in the database, and the CPU that clips take.

    uv run benchmarks/events.py                       # SQLite, 100,000 events, and 20 s of a 720p camera at 30 fps

`copied` is the second connection to a camera that sends H.264; `encoded` the encoder behind a mask or redaction.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from pipeline.serve.clips import Recorder
from pipeline.serve.encoding import FrameEncoder
from pipeline.serve.ids import new_id
from pipeline.serve.packets import PacketReader
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.sources import open_source

CLIP = "synthetic:1280x720@30?frames=300"
SECONDS = 20


def database(folder, count):
    """Events of 20 points on their way, one every ten seconds."""
    store = EventStore(folder)
    began = datetime.now(UTC) - timedelta(seconds=10 * count)
    points = np.random.default_rng(0).random((20, 2)).round(4).tolist()
    path = tuple((step / 2, x, y) for step, (x, y) in enumerate(points))
    start = time.perf_counter()
    for number in range(count):
        at = began + timedelta(seconds=10 * number)
        event = Event(new_id(at), f"camera {number % 8}", "seen", ("person", "car")[number % 2], 0.8, at, at)
        store.add(replace(event, end=at + timedelta(seconds=10), box=(0.1, 0.2, 0.3, 0.4), path=path, track=number))
        if number % 5000 == 0:
            store.flush()
    store.flush()
    seconds = time.perf_counter() - start
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    searches = {
        "newest": {},
        "hour": {"since": hour_ago},
        "text": {"text": "camera 3"},
        "nothing": {"labels": ["dog"]},
    }
    results = {
        "events_per_second": round(count / seconds),
        "search_ms": {name: timed(lambda search=search: store.search(**search)) for name, search in searches.items()},
    }
    store.close()
    results["bytes_per_event"] = round((folder / "events.db").stat().st_size / count)
    return results


def timed(work, rounds=5):
    """The fastest of some rounds, in ms."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(1000 * min(seconds), 1)


def copied(folder):
    """Per cent of a core that reading the packets takes."""
    store = EventStore(folder)
    command = [sys.executable, "-m", "pipeline.testcamera", CLIP, "--rtsp-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as camera:
        reader = PacketReader(camera.stdout.readline().split()[1], Recorder("yard", store))
        time.sleep(2)
        start, cpu = time.perf_counter(), time.process_time()
        time.sleep(SECONDS)
        share = (time.process_time() - cpu) / (time.perf_counter() - start)
        reader.close()
        camera.terminate()
    store.close()
    return {"cpu_percent": round(100 * share, 1)}


def encoded(folder):
    """ms of a core that a frame takes."""
    store = EventStore(folder)
    encoder = FrameEncoder(Recorder("yard", store))
    frames = list(open_source("synthetic:1280x720@30?frames=90").frames(threading.Event()))
    cpu = time.process_time()
    for frame in frames:
        encoder.add(frame.image, frame.pts, time.time())
    spent = time.process_time() - cpu
    store.close()
    return {"cpu_ms_per_frame": round(1000 * spent / len(frames), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "database": database(folder / "a", arguments.events),
            "copied": copied(folder / "b"),
            "encoded": encoded(folder / "c"),
        }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
