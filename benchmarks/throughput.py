"""Frames per second of a labelled video: Onsight beside what a user would write or use instead, on the same CPU.

    uv run benchmarks/throughput.py CLIP.mp4 --model ADOPTED.onnx --network RAW.onnx --kind yolox 416 416
    uv run benchmarks/throughput.py CLIP.mp4 --model ADOPTED.onnx --network RAW.onnx --kind yolov8 384 640 --square 640
    uv run benchmarks/throughput.py CLIP.mp4 --model EXPORTED.onnx --network RAW.onnx --kind classifier 224 224

RAW.onnx is the network as its makers export it; ADOPTED.onnx is what `onsight adopt` makes of it. `peers/` has the
contenders: the plain loop, its functions in threads, supervision's `process_video` and, with `yolov8`, Ultralytics'
`predict(save=True)`. Each has an environment of its own, which uv makes, with the same ONNX Runtime, OpenCV and NumPy
as here. Where there is no uv or no network, `--peers-python` names an interpreter with the packages that the files in
`peers/` name. The clip is repeated until it lasts `--seconds`; contenders take turns, each in a fresh process; their
times hold everything but the loading of the model. Where `taskset` leaves some cores alone to them, all keep to these.
Prints a table of medians and spreads; `--output` keeps all. `marks.py` does so with the networks of the marks.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import av

from pipeline.bench.machine import describe_machine
from pipeline.probes import runtime_version

PEERS = Path(__file__).parent / "peers"
SHARED = ("numpy", "opencv-python")  # packages that the peers have in the same version


def repeat(clip, output, seconds):
    """The video packets of `clip`, so often that they last `seconds`."""
    with av.open(str(output), "w") as target:
        stream, offset = None, 0
        while stream is None or offset * stream.time_base < seconds:
            with av.open(str(clip)) as source:
                origin = source.streams.video[0]
                stream = stream or target.add_stream_from_template(origin)
                length = 0
                for packet in source.demux(origin):
                    if packet.dts is None:
                        continue
                    length = max(length, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    target.mux(packet)
                offset += length


def peer(script, python):
    """The command of a peer; `python` has its packages, None: uv makes an environment for it, with these as here."""
    if python is not None:
        return [python, PEERS / script]
    same = [word for package in SHARED for word in ("--with", f"{package}=={version(package)}")]
    same += ["--with", f"onnxruntime=={runtime_version()}"]
    return ["uv", "run", "-q", "--no-project", "--python", sys.executable, *same, PEERS / script]


def plan(model, network, kind, size, square=None, python=None):
    """The command of each contender, without the clip's and the output's names, and what comes after these."""
    shape = [kind, *size]
    contenders = {
        "onsight": ([sys.executable, PEERS / "onsight.py", model], []),
        "plain loop": ([*peer("plain.py", python), network], shape),
        "staged": ([*peer("staged.py", python), network], shape),
        "supervision": ([*peer("supervised.py", python), network], shape),
    }
    if square:
        contenders["plain loop, square"] = ([*peer("plain.py", python), network], [kind, square, square])
    if kind == "yolov8":
        contenders["ultralytics"] = ([*peer("ultralytics_predict.py", python), network], [])
    return contenders


def measure(contender, clip):
    """What one of them prints: `frames`, `seconds` and more."""
    command, tail = contender
    with tempfile.TemporaryDirectory() as folder:
        words = [str(word) for word in (*command, clip, Path(folder) / "out.mp4", *tail)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(contenders, clip, number):
    """What each contender prints, one after the other; another begins in each round."""
    names = [*contenders]
    first = number % len(names)
    results = {name: measure(contenders[name], clip) for name in (*names[first:], *names[:first])}
    counts = {name: result["frames"] for name, result in results.items()}
    if len(set(counts.values())) > 1:
        sys.exit(f"not all have read the same number of frames: {counts}")
    return {name: results[name] for name in names}


def to_rates(rounds):
    """Frames a second of each contender in each round."""
    return {name: [each[name]["frames"] / each[name]["seconds"] for each in rounds] for name in rounds[0]}


def show(rates):
    ours = statistics.median(rates["onsight"])
    print("| | fps, median | spread | Onsight is faster by |\n|---|---|---|---|")
    for name, values in rates.items():
        median = statistics.median(values)
        times = f"{ours / median:.2f} ×" if name != "onsight" else ""
        print(f"| {name} | {median:.1f} | {min(values):.1f} – {max(values):.1f} | {times} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--kind", choices=("yolox", "yolov8", "classifier"), required=True)
    parser.add_argument("size", type=int, nargs=2)
    parser.add_argument("--square", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--peers-python", metavar="PATH")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    model, network, python = arguments.model, arguments.network, arguments.peers_python
    contenders = plan(model, network, arguments.kind, arguments.size, arguments.square, python)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"clip{arguments.clip.suffix}"
        repeat(arguments.clip, clip, arguments.seconds)
        warmed = range(arguments.rounds + 1)  # the first of them warms the disk's cache
        rounds = [take_turns(contenders, clip, number) for number in warmed][1:]
    show(to_rates(rounds))
    if arguments.output:
        named = {"clip": arguments.clip.name, "model": arguments.model.name}
        told = {"machine": describe_machine(None).model_dump(), **named, "rounds": rounds}
        arguments.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
