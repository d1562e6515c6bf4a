"""Does Onsight reach its marks on two CPU cores? All of them in one run; the table in docs/speed.md.

    uv run benchmarks/marks.py FOLDER --output marks.json --write docs/speed.md
    taskset -c 0,1 uv run benchmarks/marks.py FOLDER …              # on two cores of a larger machine
    uv run benchmarks/marks.py --read marks.json --write docs/speed.md

FOLDER holds car-detection.mp4 (github.com/intel-iot-devkit/sample-videos) and yolox_nano.onnx (as YOLOX exports it).
What else is needed is made in it unless it is there: YOLOv8n with random weights, EfficientNet-Lite0, both as plain
networks and as models of Onsight, and the other clip, bikes.mp4. `--prepare` ends then.

In each round every contender takes its turn on every clip, another one first, and after them Onsight with records
alone: see `throughput.py` and `shares.py`. Turns on the clips as they are, not repeated, come first and warm the disk's
cache. Then `onsight bench` measures the efficiency for as many seconds a round, on the same clips, repeated so often
that it opens them once. Speeds are compared within a round.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import marks_networks
import throughput
from marks_page import to_markdown
from pages import add_page_options, publish

BENCH = [sys.executable, "-c", "from pipeline.cli_bench import bench; bench()"]
SHARES = Path(__file__).parent / "shares.py"
LONGER = 8  # times a round: no network here is so much faster than its clip, so that `onsight bench` opens it once


@dataclass(frozen=True)
class Case:
    """A network on a clip. `square`: the side of the square that a plain loop takes, beside the one of `size`."""

    title: str
    network: str
    clip: str
    kind: str
    size: tuple[int, int]
    rivals: tuple[str, ...]
    square: int | None = None


CASES = (
    Case(
        "YOLOv8n",
        "yolov8n",
        "car-detection.mp4",
        "yolov8",
        (384, 640),
        ("ultralytics", "plain loop, square", "plain loop", "staged"),
        640,
    ),
    Case("YOLOX-nano", "yolox_nano", "car-detection.mp4", "yolox", (416, 416), ("plain loop", "staged", "supervision")),
    Case("EfficientNet-Lite0", "efficientnet_lite0", "bikes.mp4", "classifier", (224, 224), ("plain loop", "staged")),
)


def model_of(folder, case):
    return folder / f"{case.network}-onsight.onnx"


def contenders_of(folder, case, python):
    network = folder / f"{case.network}.onnx"
    all_ = throughput.plan(model_of(folder, case), network, case.kind, case.size, case.square, python)
    return {name: all_[name] for name in ("onsight", *case.rivals)}


def shares(model, clip, *flags):
    command = [str(word) for word in (sys.executable, SHARES, model, clip, *flags)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def bench(model, clip, rounds, seconds):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "bench.json"
        wanted = ["--device", "cpu", "--rounds", rounds, "--seconds", seconds, "--batch", 1, "--output", output]
        command = [str(word) for word in (*BENCH, clip, "--model", model, *wanted)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return json.loads(output.read_text())


def take_turns(folder, case, clip, python, number):
    """One round of a case."""
    model = model_of(folder, case)
    return {
        "rounds": throughput.take_turns(contenders_of(folder, case, python), clip, number),
        "labelled": shares(model, clip),
        "records": shares(model, clip, "--records"),
    }


def measure(arguments):
    marks_networks.prepare(arguments.folder, arguments.peers_python)
    folder, rounds, seconds, python = arguments.folder, arguments.rounds, arguments.seconds, arguments.peers_python
    return {"count": rounds, "seconds": seconds, "cases": measure_cases(folder, rounds, seconds, python)}


def measure_cases(folder, rounds, seconds, python):
    """Everything that was measured of each case."""
    found = {case.title: {"clip": case.clip, "rounds": [], "labelled": [], "records": []} for case in CASES}
    with tempfile.TemporaryDirectory() as temporary:
        clips = {case.clip: Path(temporary) / case.clip for case in CASES}
        for case in CASES:
            throughput.repeat(folder / case.clip, clips[case.clip], seconds)
            tell(f"warm-up: {case.title}")
            take_turns(folder, case, folder / case.clip, python, 0)
        for number in range(rounds):
            for case in CASES:
                tell(f"round {number + 1} of {rounds}: {case.title}")
                for name, result in take_turns(folder, case, clips[case.clip], python, number).items():
                    found[case.title][name].append(result)
        for case in CASES:
            tell(f"onsight bench: {case.title}")
            throughput.repeat(folder / case.clip, clips[case.clip], LONGER * seconds)
            found[case.title]["bench"] = bench(model_of(folder, case), clips[case.clip], rounds, seconds)
    return found


def tell(what):
    print(f"{datetime.datetime.now():%H:%M:%S}  {what}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30, help="of each clip at least, by repeating it")
    parser.add_argument("--peers-python", metavar="PATH", help="an interpreter with the peers' packages; else uv")
    parser.add_argument("--prepare", action="store_true", help="make what is missing in FOLDER, and end")
    add_page_options(parser)
    arguments = parser.parse_args()
    if (arguments.folder is None) == (arguments.read is None):
        parser.error("give FOLDER, or --read FILE.json")
    if arguments.prepare and arguments.read:
        parser.error("--prepare needs FOLDER")
    if arguments.prepare:
        marks_networks.prepare(arguments.folder, arguments.peers_python)
    else:
        publish(arguments, "marks", measure, to_markdown)


if __name__ == "__main__":
    main()
