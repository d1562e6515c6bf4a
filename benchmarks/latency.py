"""How old is a camera's frame when it is drawn, and does that or the memory grow?

    uv run benchmarks/latency.py m.onnx --output latency.json --write docs/speed.md      # ten minutes
    uv run benchmarks/latency.py --read latency.json --write docs/speed.md

A test camera in a process of its own sends a clip, which is coded as 720p at 30 fps once, over RTSP. The run is that of
`onsight run rtsp://… --show` without the window: in the mode latency unless `--mode` says another, on the newest frame.
Measured is the age of each frame when it has been drawn, since it came out of the decoder; the first second is left
out. An age is made of the time that the frame waited for its turn, its recognition (resizing, inference, results), and
the way to the screen (a change of threads, redaction, drawing). Inference and drawing alone are medians of one frame
after the other on the same clip, with all cores and nothing beside them. The marks: the 99th percentile of the ages is
at most one frame interval, one inference and one drawing; at least 99 % of the frames that are due are shown; and the
memory of the last minute is at most 5 % above that of the second (medians; in a run of less than three minutes, the
last and the second third). Exit code 1 if one is missed.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from pages import add_page_options, publish
from soak_cameras import HEIGHT, WIDTH, TestCamera, encode

from export.demo import find_clip
from pipeline import schedule
from pipeline.config import build_config
from pipeline.errors import StopStream
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.settings import settle
from pipeline.sources import open_source
from pipeline.stream import execute, open_model
from pipeline.trip import painter
from pipeline.watch import watch_model

MODE = "latency"
SETTLING = 1.0  # seconds
SHOWN = 0.99  # of the frames that a camera of this rate sends, at least
GROWTH = 0.05  # of the memory, at most
ALONE = 200  # frames
PARTS = ("waiting", "recognition", "drawing")  # of an age


class Timing:
    """Seconds that stages take: a watch for a few frames."""

    def __init__(self):
        self.seconds = defaultdict(list)

    def __call__(self, stage, call):
        def watched(*args):
            began = time.perf_counter()
            result = call(*args)
            self.seconds[stage].append(time.perf_counter() - began)
            return result

        return watched

    def median(self, stage):
        return float(np.median(self.seconds[stage]))


class Looks:
    """A watch that notes when the recognition of each frame began and ended."""

    def __init__(self):
        self._noted = {}

    def __call__(self, stage, call):
        def watched(frames):
            began = time.perf_counter()
            seen = call(frames)
            self._noted.update(dict.fromkeys((frame.index for frame in frames), (began, time.perf_counter())))
            return seen

        return watched if stage == "recognise" else call

    def split(self, frame, now):
        """Seconds of each of the PARTS of the age of a frame that is drawn `now`; asked once."""
        began, ended = self._noted.pop(frame.index)
        return began - frame.born, ended - began, now - ended


class Shown:
    """The last sink of a run: notes ages in room that is made before, and once a second the memory and the CPU time of
    the process; ends the run.
    """

    draws = True

    def __init__(self, seconds, rate):
        self.looks = Looks()
        self.parts_N3 = np.empty((round(2 * seconds * rate), len(PARTS)), np.float32)  # twice: so many cannot come
        self.parts_N3.fill(0)  # its memory is there from the start
        self.memory = []
        self.busy = []
        self.frames = 0
        self._seconds, self._process, self._first = seconds, psutil.Process(), None

    def write(self, item):
        now = time.perf_counter()
        self._first = self._first or now
        passed, parts = now - self._first, self.looks.split(item.frame, now)
        if passed >= SETTLING + self._seconds:
            raise StopStream
        if passed >= SETTLING:
            self.parts_N3[self.frames] = parts
            self.frames += 1
        if passed >= len(self.memory):
            self.memory.append(self._process.memory_info().rss)
            self.busy.append(time.process_time())

    def close(self, whole=True):
        pass


def time_alone(arguments, clip):
    """Median seconds of inference and of drawing, one frame after the other, and the device."""
    model = open_model(arguments.model, arguments.device)
    timing, plan = Timing(), schedule.plan(latency=True, gpu=model.device != "cpu", workers=1)
    recognise = Recogniser(watch_model(model, timing), settle(model.contract))
    redact, draw = Redactor(False), timing("draw", painter(True, False, frozenset()))
    with schedule.opencv_threads(plan.opencv):
        for frame in islice(open_source(str(clip)).frames(threading.Event()), ALONE):
            draw(redact(*recognise([frame])))
    return timing.median("infer"), timing.median("draw"), model.device


def time_live(arguments, url, seconds):
    """The sink that has seen a run of so many seconds, and the run's summary."""
    shown, model = Shown(seconds, arguments.rate), str(arguments.model)
    options = {"device": arguments.device, "mode": arguments.mode, "workers": arguments.workers}
    config = build_config({"sources": url, "model": model, **options})
    summary = execute(config, extra_sinks=lambda sources, model: [shown], watch=shown.looks)
    if summary.errors:
        raise summary.errors[0]
    return shown, summary


def judge(shown, dropped, inference, drawing, seconds, rate):
    parts_N3 = 1000 * shown.parts_N3[: shown.frames]
    ages_N = parts_N3.sum(1)
    mark = 1000 * (1 / rate + inference + drawing)
    share, memory = shown.frames / (seconds * rate), weigh(shown.memory)
    age = {f"p{part}": float(np.percentile(ages_N, part)) for part in (50, 95, 99)}
    return {
        "seconds": seconds,
        "rate": rate,
        "frames": shown.frames,
        "dropped": dropped,
        "shown": share,
        "age_ms": {**age, "max": float(ages_N.max())},
        "parts_ms": dict(zip(PARTS, map(float, np.median(parts_N3, 0)), strict=True)),
        "oldest_ms": dict(zip(PARTS, map(float, parts_N3[ages_N >= age["p99"]].mean(0)), strict=True)),
        "inference_ms": 1000 * inference,
        "drawing_ms": 1000 * drawing,
        "cpu_ms": 1000 * (shown.busy[-1] - shown.busy[1]) / max(1, len(shown.busy) - 2) / (shown.frames / seconds),
        "mark_ms": mark,
        "memory": memory,
        "reached": {"age": age["p99"] <= mark, "shown": share >= SHOWN, "memory": memory["growth"] <= GROWTH},
    }


def weigh(samples):
    """Memory, of one sample a second: the median of each minute, in a short run of each third."""
    span = max(min(60, len(samples) // 3), 1)
    medians = [float(np.median(samples[start : start + span])) for start in range(0, len(samples) - span + 1, span)]
    settled, last = medians[1], float(np.median(samples[-span:]))
    return {"settled": settled, "last": last, "growth": last / settled - 1, "span": span, "medians": medians}


def to_markdown(told):
    return "\n".join(_lines(told)) + "\n"


def _lines(told):
    machine, age, memory = told["machine"], told["age_ms"], told["memory"]
    words = {True: "reached", False: "missed"}
    how = "" if told.get("mode", MODE) == MODE else f", in the mode {told['mode']}"
    how += f", workers: {told['workers']}" if told.get("workers") else ""
    yield f"{told['made']}, {machine['cpu']}, {machine['cores']} cores, {told['device']}; `{told['model']}`{how}."
    seen = (
        f"{told['frames']} frames shown; {told['dropped']} given up for newer ones, those of the first second included"
    )
    yield f"{WIDTH}×{HEIGHT} at {told['rate']} fps over RTSP for {told['seconds'] / 60:g} minutes: {seen}."
    yield ""
    yield "| | measured | mark | |"
    yield "|---|---|---|---|"
    yield f"| age when drawn, median | {age['p50']:.1f} ms | | |"
    yield f"| age when drawn, p99 | {age['p99']:.1f} ms | {told['mark_ms']:.1f} ms | {words[told['reached']['age']]} |"
    yield f"| its parts, medians | {_list(told['parts_ms'])} | | |"
    yield f"| those of the oldest 1%, means | {_list(told['oldest_ms'])} | | |"
    yield f"| frames shown, of those due | {told['shown']:.2%} | {SHOWN:.0%} | {words[told['reached']['shown']]} |"
    yield f"| inference alone | {told['inference_ms']:.1f} ms | | |"
    yield f"| drawing alone | {told['drawing_ms']:.2f} ms | | |"
    if "cpu_ms" in told:
        yield f"| CPU time for a frame shown | {told['cpu_ms']:.1f} ms | | |"
    first, last = (memory[when] / 1e6 for when in ("settled", "last"))
    grown = f"{first:.0f} MB, at the end {last:.0f} MB: {memory['growth']:+.1%}"
    flat = words[told["reached"]["memory"]]
    yield f"| memory after {memory['span']} s, medians of as many | {grown} | {GROWTH:+.0%} | {flat} |"


def _list(parts):
    return ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in parts.items())


def measure(arguments):
    seconds = 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        encode(arguments.clip or find_clip(), clip, arguments.rate)
        inference, drawing, device = time_alone(arguments, clip)
        camera = TestCamera(clip)
        try:
            shown, summary = time_live(arguments, camera.url, seconds)
        finally:
            camera.close()
    told = judge(shown, summary.dropped, inference, drawing, seconds, arguments.rate)
    how = {"device": device, "mode": arguments.mode, "workers": arguments.workers}
    return {"model": arguments.model.name, **how, **told}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--clip", type=Path, help="what the camera shows; the demo's clip if not given")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=30, help="frames a second")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="auto")
    parser.add_argument("--mode", choices=(MODE, "throughput"), default=MODE)
    parser.add_argument("--workers", type=int, help="as for `onsight run`")
    add_page_options(parser)
    arguments = parser.parse_args()
    if (arguments.model is None) == (arguments.read is None):
        parser.error("give a model, or --read FILE.json")
    told = publish(arguments, "latency", measure, to_markdown)
    sys.exit(not all(told["reached"].values()))


if __name__ == "__main__":
    main()
