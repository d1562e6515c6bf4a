"""Does memory grow with the length of the video? (Linux)

    uv run benchmarks/memory.py m.onnx                # ten minutes of synthetic 1080p at 30 fps, mp4 and records

Prints the resident memory of the process after ten seconds and then through the run, and its peak.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path


def resident_mb(pid, field="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--size", default="1920x1080")
    arguments = parser.parse_args()
    source = f"synthetic:{arguments.size}@30?frames={round(arguments.minutes * 60 * 30)}"
    samples, peak = [], None
    with tempfile.TemporaryDirectory() as folder:
        out, records = Path(folder) / "out.mp4", Path(folder) / "out.jsonl"
        command = [
            "onsight",
            "run",
            source,
            "--model",
            arguments.model,
            "--output",
            out,
            "--records",
            records,
            "--json",
        ]
        start = time.monotonic()
        run = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        while run.poll() is None:
            time.sleep(1.0)
            if (now := resident_mb(run.pid)) is not None:
                samples.append((time.monotonic() - start, now))
                peak = resident_mb(run.pid, "VmHWM") or peak
        summary = json.loads(run.communicate()[0].splitlines()[-1])
    settled = [megabytes for seconds, megabytes in samples if seconds >= 10]
    quarter = max(len(settled) // 4, 1)
    results = {
        "frames": summary["frames"],
        "seconds": summary["seconds"],
        "fps": summary["fps"],
        "mb_at_10_s": round(settled[0]),
        "mb_first_quarter": round(sum(settled[:quarter]) / quarter),
        "mb_last_quarter": round(sum(settled[-quarter:]) / quarter),
        "mb_peak": round(peak),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
