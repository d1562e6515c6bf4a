"""Which part of a run's CPU time goes into each of its stages?

    uv run benchmarks/shares.py m.onnx clip.mp4              # a labelled video is written
    uv run benchmarks/shares.py m.onnx clip.mp4 --records    # records alone: nothing is drawn or encoded

Runs the clip in the mode throughput on the CPU, where each stage works on the thread that calls it, and takes the CPU
time of these threads. A short run comes first, so that nothing is loaded later. Prints JSON, in seconds: `cpu` of the
whole process from the first frame asked for to the last output closed, and `stages`. What is in none of them is the
runtime's own: queues, threads, and what a frame is wrapped in.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from pipeline.config import build_config
from pipeline.stream import execute

WARMING = "synthetic:640x360@30?frames=30"


class CpuWatch:
    """Seconds of CPU time in each stage, on whichever thread it runs."""

    def __init__(self):
        self.seconds = defaultdict(float)
        self._lock = threading.Lock()

    def __call__(self, stage, call):
        def watched(*args, **kwargs):
            began = time.thread_time()
            result = call(*args, **kwargs)
            self._note(stage, began)
            return self._each(stage, result) if stage == "decode" else result

        return watched

    def _each(self, stage, frames):
        while True:
            began = time.thread_time()
            frame = next(frames, None)
            self._note(stage, began)
            if frame is None:
                return
            yield frame

    def _note(self, stage, began):
        took = time.thread_time() - began
        with self._lock:
            self.seconds[stage] += took


class Began:
    """A sink that notes when all was open and nothing had been read."""

    draws = False

    def __call__(self, sources, model):
        self.cpu = time.process_time()
        return [self]

    def write(self, item):
        pass

    def close(self, whole=True):
        pass


def measure(model, clip, records):
    watch, began = CpuWatch(), Began()
    with tempfile.TemporaryDirectory() as folder:
        told = {"records": Path(folder) / "r.jsonl", "draw": False} if records else {"output": Path(folder) / "o.mp4"}
        wanted = {"sources": str(clip), "model": str(model), "device": "cpu", "mode": "throughput", **told}
        summary = execute(build_config(wanted), extra_sinks=began, watch=watch)
        cpu = time.process_time() - began.cpu
    stages = dict(watch.seconds)
    stages["resize, results"] = stages.pop("recognise") - stages["infer"]  # which is within
    return {"frames": summary.frames, "cpu": cpu, "stages": stages, "preset": summary.sources[0].preset}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--records", action="store_true")
    arguments = parser.parse_args()
    measure(arguments.model, WARMING, arguments.records)
    print(json.dumps(measure(arguments.model, arguments.clip, arguments.records)))


if __name__ == "__main__":
    main()
