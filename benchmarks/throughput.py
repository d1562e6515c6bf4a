"""Frames per second of a labelled video: Onsight beside what a user would write or use instead, on the same CPU.

    uv run benchmarks/throughput.py CLIP.mp4 --model ADOPTED.onnx --network RAW.onnx --kind yolox 416 416
    uv run benchmarks/throughput.py CLIP.mp4 --model ADOPTED.onnx --network RAW.onnx --kind yolov8 384 640 --square 640
    uv run benchmarks/throughput.py CLIP.mp4 --model EXPORTED.onnx --network RAW.onnx --kind classifier 224 224

RAW.onnx is the network as its makers export it; ADOPTED.onnx is what `onsight adopt` makes of it. `peers/` has the
contenders: the plain loop, supervision's `process_video` and, with `yolov8`, Ultralytics' `predict(save=True)` in an
environment of its own. The clip is repeated until it lasts `--seconds`; contenders take turns, each in a fresh process;
their times hold everything but the loading of the model. Prints a table of medians and spreads; `--output` keeps all.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import av

from pipeline.bench.machine import describe_machine

PEERS = Path(__file__).parent / "peers"


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


def plan(arguments):
    """The command of each contender, without the clip's and the output's names."""
    size = [arguments.kind, *map(str, arguments.size)]
    here, model, network = [sys.executable], [str(arguments.model)], [str(arguments.network)]
    contenders = {
        "onsight": ([*here, PEERS / "onsight.py", *model], []),
        "plain loop": ([*here, PEERS / "plain.py", *network], size),
        "supervision": ([*here, PEERS / "supervised.py", *network], size),
    }
    if arguments.square:
        square = [arguments.kind, *[str(arguments.square)] * 2]
        contenders["plain loop, square"] = ([*here, PEERS / "plain.py", *network], square)
    if arguments.kind == "yolov8":
        alone = ["uv", "run", "-q", "--no-project", PEERS / "ultralytics_predict.py"]
        contenders["ultralytics"] = ([*alone, *network], [])
    return contenders


def measure(command, tail, clip, folder):
    words = [str(word) for word in (*command, clip, folder / "out.mp4", *tail)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    contenders = plan(arguments)
    raw = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"clip{arguments.clip.suffix}"
        repeat(arguments.clip, clip, arguments.seconds)
        for round_ in range(-1, arguments.rounds):  # the first one warms the disk's cache
            for name, (command, tail) in contenders.items():
                result = measure(command, tail, clip, Path(folder))
                if round_ >= 0:
                    raw[name].append(result)
    rates = {name: [each["frames"] / each["seconds"] for each in results] for name, results in raw.items()}
    show(rates)
    if arguments.output:
        named = {"clip": arguments.clip.name, "model": arguments.model.name}
        told = {"machine": describe_machine(None).model_dump(), **named, "rounds": raw}
        arguments.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
