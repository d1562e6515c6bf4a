"""Does `onsight serve` run on and on? Four cameras, half an hour, and each is killed, paused and corrupted in turn.

    uv run benchmarks/soak.py m.onnx --output soak.json     # a detector; 30 minutes

Four test cameras loop a clip, which is coded as 720p once. Every second the server is asked how its cameras are, and
the system what memory, threads and files it holds. Exit code 1 if its memory has grown by more than 5 % since the first
sixth of the run, the p99 of the latency is in the last sixth more than 1.5 times that in the first (medians, all
cameras), a frame was withheld, a camera had a gap that its own disturbance does not explain or did not come back within
20 seconds, the others showed less than nine tenths of their frames meanwhile, or the server did not end cleanly. A run
shorter than ten minutes has fewer disturbances. (Linux)
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import yaml
from soak_cameras import TestCamera, disturb, encode, plan
from soak_results import CAMERAS, find_faults, measure, show

from export.demo import find_clip
from pipeline.bench.machine import describe_machine
from pipeline.serve.store import EventStore

ENDS = 5.0  # seconds in which the server promises to end
SERVE = [sys.executable, "-c", "from pipeline.serve.cli_serve import serve; serve()"]


class Server:
    """`onsight serve` in a process of its own."""

    def __init__(self, config, folder):
        file, self._log = folder / "serve.yaml", folder / "serve.log"
        file.write_text(yaml.safe_dump(config))
        with self._log.open("w") as log:
            self._process = subprocess.Popen([*SERVE, str(file)], stderr=log)
        self._seen = psutil.Process(self._process.pid)
        self.url = self._find_url()

    def _find_url(self):
        for _ in range(600):
            if found := re.search(r"watch at (\S+)", self.log):
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{self.log}")

    @property
    def log(self):
        return self._log.read_text()

    def sample(self):
        with urllib.request.urlopen(f"{self.url}api/cameras", timeout=10) as answer:
            cameras = {each["name"]: each for each in json.load(answer)}
        with self._seen.oneshot():
            times = self._seen.cpu_times()
            return {
                "memory": self._seen.memory_info().rss,
                "threads": self._seen.num_threads(),
                "files": self._seen.num_fds(),
                "cpu": times.user + times.system,
                "busy": psutil.cpu_percent() / 100,
                "cameras": cameras,
            }

    def stop(self):
        """Exit code and seconds until then; one that does not end is killed."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS)
        self.close()
        return self._process.returncode, time.monotonic() - began

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def configure(model, urls, folder, every):
    """The configuration; the room for files is so small that old ones have to go."""
    return {
        "model": str(model),
        "cameras": urls,
        "track": True,
        "every": every,
        "rules": [{"name": "seen", "cooldown": 15}],
        "store": {"folder": str(folder / "events"), "max_size": "200MB"},
        "web": {"port": 0},
    }


def watch(server, cameras, disturbances, seconds):
    """Disturbs the cameras and takes a sample a second."""
    samples, began = [], time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        samples.append({"at": now, **server.sample()})
        disturb(disturbances, cameras, now, samples[-1]["cameras"])
        if len(samples) % 60 == 0:
            states = ", ".join(f"{name} {each['state']}" for name, each in samples[-1]["cameras"].items())
            print(f"{now / 60:5.1f} min  {samples[-1]['memory'] / 1e6:6.1f} MB  {states}", flush=True)
        time.sleep(max(0.0, len(samples) + began - time.monotonic()))
    return samples


@contextmanager
def running(arguments):
    """The server and its cameras by name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = folder / "clip.mp4"
        encode(arguments.clip or find_clip(), clip, arguments.rate)
        cameras = {name: TestCamera(clip) for name in CAMERAS}
        for camera in cameras.values():
            stack.callback(camera.close)
        urls = {name: camera.url for name, camera in cameras.items()}
        server = Server(configure(arguments.model, urls, folder, arguments.every), folder)
        stack.callback(server.close)
        yield server, cameras, folder / "events"


def count_kept(folder):
    """Events and clips that have not been swept away."""
    with closing(EventStore(folder, create=False)) as store:
        events = store.search(limit=1_000_000)
    return {"events": len(events), "clips": sum(event.clip is not None for event in events)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clip", type=Path, help="what the cameras show; the demo's clip if not given")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=15, help="frames a second of each camera")
    parser.add_argument("--every", type=int, default=5, help="the model looks at every n-th frame")
    parser.add_argument("--output", type=Path, help="file for the results, JSON")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    settled = seconds / 6
    minute = settled / 5
    disturbances = plan(seconds, settled, minute)
    machine = describe_machine(None).model_dump()
    with running(arguments) as (server, cameras, folder):
        samples = watch(server, cameras, disturbances, seconds)
        code, ended = server.stop()
        results = measure(samples, disturbances, seconds, settled, minute, arguments.rate)
        results |= {"end": {"code": code, "seconds": round(ended, 2)}, **count_kept(folder)}
        log = server.log
    results |= {"seconds": seconds, "rate": arguments.rate, "every": arguments.every, "machine": machine}
    results["faults"] = list(find_faults(results))
    show(results)
    print(f"\n{log}", file=sys.stderr)
    for fault in results["faults"]:
        print(fault)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    return 1 if results["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
