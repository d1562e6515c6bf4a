"""What is saved by not looking at every frame, and what does it cost?

    uv run benchmarks/savings.py CLIP.mp4 m.onnx --threshold 0.3 --rounds 5 --write docs/speed.md

Runs the clip with `--track` and each of the ways to look less often, in turns, after a round that warms up. Each run
writes its records; nothing is drawn or encoded. Speed and CPU time are those beside the run that looks at every frame
in the same round: their median over the rounds, with the lowest and the highest. The boxes that a way shows are held
against those that this run shows in the same frame: of one class, IoU >= 0.5, best scores first. Recall is the part of
these that is found, precision the part of the shown boxes that is right. `--write` puts the table into a page, between
its markers.
"""

import argparse
import datetime
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pages import spread, write_between

from pipeline.bench.machine import describe_machine
from pipeline.config import build_config
from pipeline.stream import execute
from training.matching import MATCH_IOU, overlaps

WAYS = {
    "every frame": {},
    "`--every 2`": {"every": 2},
    "`--every 3`": {"every": 3},
    "`--every 5`": {"every": 5},
    "`--motion-gate`": {"motion_gate": True},
    "`--motion-gate --every 3`": {"motion_gate": True, "every": 3},
}


class Shown:
    """A sink that keeps the boxes, and no pictures."""

    draws = False

    def __init__(self):
        self.results = []

    def write(self, item):
        self.results.append(item.results)

    def close(self, whole=True):
        pass


@dataclass
class Lap:
    seconds: float
    cpu: float  # seconds
    looked: float  # share of the frames
    shown: list  # Detections of each frame


def lap(arguments, way):
    shown = Shown()
    with tempfile.TemporaryDirectory() as folder:
        asked = {"sources": arguments.clip, "model": arguments.model, "records": Path(folder) / "records.jsonl"}
        config = build_config({**asked, "threshold": arguments.threshold, "track": True, "draw": False, **WAYS[way]})
        before = time.process_time()
        summary = execute(config, extra_sinks=lambda sources, model: [shown])
        cpu = time.process_time() - before
    return Lap(summary.seconds, cpu, summary.looked / summary.frames, shown.results)


def count_matches(found, truth):
    """How many boxes of `found`, best first, overlap with a free one of `truth` of their class."""
    overlap_NM = overlaps(found.boxes_N4, truth.boxes_N4, np.zeros(len(truth), bool))
    overlap_NM[found.labels_N[:, None] != truth.labels_N] = 0
    matches = 0
    for row_M in overlap_NM:
        if len(row_M) and row_M.max() >= MATCH_IOU:
            overlap_NM[:, row_M.argmax()] = 0
            matches += 1
    return matches


def compare(shown, truth):
    """Recall and precision of the boxes in all frames."""
    matches = sum(count_matches(*pair) for pair in zip(shown, truth, strict=True))
    return matches / sum(map(len, truth)), matches / sum(map(len, shown))


def tabulate(laps):
    yield "| | looked at | speed | CPU time | recall | precision |"
    yield "|---|---|---|---|---|---|"
    base = laps["every frame"]
    for way, each in laps.items():
        rounds = list(zip(base, each, strict=True))
        speed = spread([one.seconds / other.seconds for one, other in rounds], ".2f", " ×")
        cpu = spread([other.cpu / one.cpu for one, other in rounds], ".0%")
        recall, precision = compare(each[0].shown, base[0].shown)
        yield f"| {way} | {each[0].looked:.0%} | {speed} | {cpu} | {recall:.3f} | {precision:.3f} |"


def describe(arguments, frames):
    machine = describe_machine(None)
    command = f"uv run benchmarks/savings.py {arguments.clip.name} {arguments.model.name}"
    yield f"    {command} --threshold {arguments.threshold} --rounds {arguments.rounds}"
    yield ""
    where = f"{machine.cpu}, {machine.cores} cores; ONNX Runtime {machine.versions['onnxruntime']}"
    rounds = f"{arguments.rounds} rounds: medians, lowest and highest"
    yield f"{datetime.date.today()}, {where}. `{arguments.clip.name}`, {frames} frames, {rounds}."
    yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threshold", type=float, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    arguments = parser.parse_args()
    laps = {way: [] for way in WAYS}
    for round_ in range(-1, arguments.rounds):  # the first one warms up
        for way in WAYS:
            each = lap(arguments, way)
            if round_ >= 0:
                laps[way].append(each)
    frames = len(laps["every frame"][0].shown)
    text = "\n".join((*describe(arguments, frames), *tabulate(laps))) + "\n"
    print(text)
    if arguments.write:
        write_between(arguments.write, "savings", text)


if __name__ == "__main__":
    main()
