"""Does the memory of events survive `kill -9`?

    uv run benchmarks/kill_events.py                  # 50 rounds, about three minutes

Each round lets a process watch a busy synthetic camera, writing events, thumbnails and clips, kills it at a random
moment and looks at what is left. Exit code 1 if the database is not clean, an event or an end told more than half a
second before is missing, or a finished clip or thumbnail cannot be read.
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.serve.clips import Cut, Recorder
from pipeline.serve.encoding import FrameFeed
from pipeline.serve.episodes import Episodes
from pipeline.serve.memory import Memory
from pipeline.serve.recovery import recover
from pipeline.serve.store import EventStore
from pipeline.serve.tables import to_microseconds
from pipeline.types import Annotated, Detections, Frame, Redacted

LOST_AT_MOST = 0.5  # seconds
NAMES = tuple(f"thing {number}" for number in range(10))
FPS = 30


def watch(folder):
    """Tells on standard output what the memory says, with the time, until it is killed."""
    store = EventStore(folder)
    recover(store)
    recorder = Recorder("yard", store, Cut(before=0.5, after=0.1, reserve=0))
    feed, memory = FrameFeed(recorder), Memory("yard", (), store, recorder, Episodes(patience=0.1))
    began = time.perf_counter()
    for index in count():
        time.sleep(max(0.0, index / FPS - (time.perf_counter() - began)))
        item = picture(index)
        feed.add(item.image, item.frame.pts)
        for event in memory(item, datetime.now(UTC)):
            end = None if event.end is None else to_microseconds(event.end)
            print(json.dumps({"at": time.time(), "id": event.id, "end": end}), flush=True)


def picture(index):
    """Each thing is seen for 0.4 of every second, one after the other."""
    image = np.full((120, 160, 3), 40, np.uint8)
    seen = [number for number in range(len(NAMES)) if (index / FPS + number / len(NAMES)) % 1 < 0.4]
    boxes = np.array([(12 * number, 10, 12 * number + 20 + index % 7, 90) for number in seen], np.float32)
    for left, top, right, bottom in boxes.reshape(-1, 4).astype(int):
        image[top:bottom, left:right] = 200
    scores = np.linspace(0.9, 0.6, len(seen), dtype=np.float32)
    frame = Frame(image, "yard", index, index / FPS)
    found = Detections(boxes.reshape(-1, 4), np.array(seen, np.int64), scores, NAMES)
    return Annotated(Redacted(frame, found), image)


def kill(folder, seconds):
    """Runs and kills a watcher. Returns what it had told by then, and when it was killed."""
    command = [sys.executable, __file__, "--watch", folder]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as watcher:
        first = watcher.stdout.readline()
        time.sleep(seconds)
        at = time.time()
        watcher.kill()
        lines = [first, *watcher.stdout.read().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")], at


def faults(folder, told, killed_at, known):
    """What is wrong with the store; `known` are the files that have been looked at."""
    with closing(sqlite3.connect(folder / "events.db")) as database:
        if (found := database.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            yield f"the database is not clean: {found}"
        ends = dict(database.execute("SELECT id, ended FROM events"))
    for each in told:
        if each["at"] > killed_at - LOST_AT_MOST:
            continue
        if each["id"] not in ends:
            yield f"event {each['id']}, told {killed_at - each['at']:.2f} s before, is missing"
        elif each["end"] is not None and ends[each["id"]] != each["end"]:
            yield f"the end of event {each['id']}, told {killed_at - each['at']:.2f} s before, is missing"
    yield from file_faults(folder, known)


def file_faults(folder, known):
    with closing(EventStore(folder, create=False)) as store:
        recover(store)
        store.flush()
        if left := list(folder.rglob("*.partial.*")):
            yield f"unfinished files are left: {left}"
        for event in store.search(limit=1_000_000):
            for path in {store.clip_path(event), store.thumbnail_path(event)} - known - {None}:
                known.add(path)
                if not (plays(path) if path.suffix == ".mp4" else cv2.imread(str(path)) is not None):
                    yield f"{path.name} cannot be read"
        if strays := {name for _, _, name in store.files.all()} - names(store):
            yield f"files without an event: {strays}"


def names(store):
    return {name for event in store.search(limit=1_000_000) for name in (event.thumbnail, event.clip)}


def plays(path):
    try:
        with av.open(str(path)) as clip:
            frames = sum(1 for _ in clip.decode(video=0))
            return frames == clip.streams.video[0].frames > 0
    except av.FFmpegError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds until a watcher is killed")
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        watch(arguments.watch)
    told_in_all, known, found = 0, set(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(arguments.rounds):
            told, killed_at = kill(folder, random.uniform(0.5, arguments.longest))
            told_in_all += len(told)
            found += [f"round {number}: {fault}" for fault in faults(folder, told, killed_at, known)]
    for fault in found:
        print(fault)
    clips = sum(path.suffix == ".mp4" for path in known)
    results = {"rounds": arguments.rounds, "told": told_in_all, "clips": clips, "faults": len(found)}
    print(json.dumps(results))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
