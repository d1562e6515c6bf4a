"""What is saved by not looking at every frame, and what does it cost?

    uv run benchmarks/savings.py CLIP.mp4 m.onnx --threshold 0.3 --output savings.json --write docs/speed.md
    uv run benchmarks/savings.py --read savings.json --write docs/speed.md

Runs the clip with `--track` and each of the ways to look less often, in turns, another one first in each round, after
a round that warms up. Each run writes its records; nothing is drawn or encoded. Speed and CPU time are those beside the
run that looks at every frame in the same round: their median over the rounds, with the lowest and the highest. The
boxes that a way shows are held against those that this run shows in the same frame: of one class, IoU >= 0.5, best
scores first. Recall is the part of these that is found, precision the part of the shown boxes that is right. `--write`
puts the table into a page, between its markers.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pages import add_page_options, list_versions, paragraphs, publish, spread, table

from pipeline.config import build_config
from pipeline.stream import execute
from training.matching import MATCH_IOU, overlaps

EVERY = "every frame"
WAYS = {
    EVERY: {},
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


def measure(arguments):
    """The laps of each way, in the order of the rounds."""
    laps, ways = {way: [] for way in WAYS}, list(WAYS)
    for number in range(-1, arguments.rounds):  # the first one warms up
        first = max(number, 0) % len(ways)
        for way in (*ways[first:], *ways[:first]):
            each = lap(arguments, way)
            if number >= 0:
                laps[way].append(each)
    return laps


def sum_up(laps):
    """What is kept of them: seconds of each round, and how right the first one was, as are the others."""
    truth = laps[EVERY][0].shown
    for way, each in laps.items():
        recall, precision = compare(each[0].shown, truth)
        times = {"seconds": [one.seconds for one in each], "cpu_seconds": [one.cpu for one in each]}
        yield way, {"looked": each[0].looked, "recall": recall, "precision": precision, **times}


def to_markdown(told):
    machine = told["machine"]
    rounds = f"{told['rounds']} rounds: medians, lowest and highest"
    where = f"{told['made']}, {machine['cpu']}, {machine['cores']} cores; {list_versions(machine['versions'])}."
    what = f"`{told['model']}` on `{told['clip']}`, {told['frames']} frames, threshold {told['threshold']}; {rounds}."
    header = ("", "looked at", "speed", "CPU time", "recall", "precision")
    return paragraphs((f"{where}\n{what}", table(header, _rows(told["ways"]))))


def _rows(ways):
    base = ways[EVERY]
    for way, each in ways.items():
        speed = [one / other for one, other in zip(base["seconds"], each["seconds"], strict=True)]
        cpu = [other / one for one, other in zip(base["cpu_seconds"], each["cpu_seconds"], strict=True)]
        right = f"{each['recall']:.3f}", f"{each['precision']:.3f}"
        yield way, f"{each['looked']:.0%}", spread(speed, ".2f", " ×"), spread(cpu, ".0%"), *right


def tell(arguments):
    laps = measure(arguments)
    told = {"clip": arguments.clip.name, "model": arguments.model.name, "threshold": arguments.threshold}
    return told | {"frames": len(laps[EVERY][0].shown), "rounds": arguments.rounds, "ways": dict(sum_up(laps))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--rounds", type=int, default=5)
    add_page_options(parser)
    arguments = parser.parse_args()
    asked = (arguments.clip, arguments.model, arguments.threshold)
    if any(each is None for each in asked) if arguments.read is None else any(each is not None for each in asked):
        parser.error("give a clip, a model and --threshold, or --read FILE.json")
    publish(arguments, "savings", tell, to_markdown)


if __name__ == "__main__":
    main()
