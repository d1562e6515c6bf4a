"""How long a user waits: `onsight --help`, and `onsight run` until its first labelled frame is encoded and recorded.

uv run benchmarks/startup.py m.onnx clip.mp4
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROUNDS = 7


def time_help():
    start = time.perf_counter()
    subprocess.run(["onsight", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def time_first_frame(model, clip):
    """Seconds until the first record arrives; the sink of the video has the frame by then."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["onsight", "run", clip, "--model", model, "--output", Path(folder) / "out.mp4", "--records", "-"]
        start = time.perf_counter()
        with subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as run:
            run.stdout.readline()
            seconds = time.perf_counter() - start
            run.terminate()
        return seconds


def spread(values):
    return {"min": round(min(values), 3), "median": round(statistics.median(values), 3), "max": round(max(values), 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    arguments = parser.parse_args()
    time_help(), time_first_frame(arguments.model, arguments.clip)  # fills the disk cache
    results = {
        "help_seconds": spread([time_help() for _ in range(ROUNDS)]),
        "first_frame_seconds": spread([time_first_frame(arguments.model, arguments.clip) for _ in range(ROUNDS)]),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
