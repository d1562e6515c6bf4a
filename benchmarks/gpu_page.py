"""The GPU's tables of a page, from what `gpu.py` and `onsight bench --output` have written.

    uv run benchmarks/gpu_page.py FILE.json ... --write docs/platforms.md

Files of `gpu.py` with PyTorch beside the network (`--network`) are shown with all their figures. Of the networks of all
its files tables tell whether a whole run keeps up with bare ONNX Runtime, and what NHWC brings.
"""

import argparse
import json
from pathlib import Path

import gpu_networks
import gpu_rates
from pages import BESIDE, grouped, paragraphs, spread, table, write_between

from pipeline.bench.result import KIND as BENCH
from pipeline.bench.result import Bench


def to_parts(results):
    """What is written between which markers."""
    measured = [each for each in results if each["kind"] == gpu_rates.KIND]
    benches = [Bench.model_validate(each) for each in results if each["kind"] == BENCH]
    compared = [gpu_rates.to_markdown(each) for each in measured if gpu_rates.has_rival(each)]
    return {
        "gpu": "\n".join(compared),
        "gpu-networks": gpu_networks.to_markdown(measured),
        "gpu-video": to_video(benches),
    }


def to_video(benches):
    """Of runs that `onsight bench` has measured."""
    parts = []
    for line, group in grouped(benches, _describe_clip):
        rows = [_run(each) for each in group]
        columns = [name for name in rows[0] if any(row[name] for row in rows)]
        parts += [line, table(columns, ([row[name] for name in columns] for row in rows))]
    parts += ["\n".join(f"- {_title(each)}: {'; '.join(each.warnings)}" for each in benches if each.warnings)]
    return paragraphs(parts)


def _describe_clip(bench):
    clip, machine = bench.clip, bench.machine
    pace = f" at {clip.frames / clip.seconds:.3g} fps" if clip.seconds else ""
    picture = f"`{clip.name}`, {clip.width} × {clip.height}, {clip.frames} frames{pace}"
    versions = {name: version for name, version in machine.versions.items() if not name.startswith(BESIDE)}
    return f"{gpu_rates.describe(machine, versions)}\n{picture}; {bench.rounds} rounds."


def _run(bench):
    """The cells of a row by their columns; empty: it was not measured."""
    memory = bench.conditions.gpu_memory_bytes
    full = bench.whole.frames_per_inference
    alone = next(stage for stage in bench.alone if stage.name == "decode")
    within = next((stage.frame_ms.p50 for stage in bench.whole.stages if stage.name == "decode"), None)
    return {
        "run": _title(bench),
        "frames/s": spread(bench.whole.fps.rounds, ".0f"),
        "CPU ms a frame": spread(bench.whole.cpu_ms.rounds, ".1f"),
        "limit": bench.limit.resource,
        "efficiency": spread(bench.efficiency.rounds, ".2f"),
        "frames in an inference": spread(full.rounds, ".1f") if full else "",
        "decoder in the run, ms a frame: median": f"{within:.2f}" if within else "",
        "decoder alone, ms a frame: median": f"{alone.frame_ms.p50:.2f}",
        "decoder alone: mean": spread(alone.ms.rounds, ".2f"),
        "GPU memory in use, at most": f"{memory / 2**30:.1f} GiB" if memory else "",
    }


def _title(bench):
    parts = [f"`{bench.model.file}`", f"decoder {bench.decoder}"]
    preset = f" {bench.preset}" if bench.preset else ""
    parts += ["drawn", f"encoder {bench.encoder or 'x264'}{preset}"] if bench.encode else ["not drawn"]
    parts += [f"{bench.workers} in flight"] if bench.workers else []
    parts += ["CUDA graph"] if bench.cuda_graph else []
    parts += ["NHWC"] if bench.nhwc else []
    return ", ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    arguments = parser.parse_args()
    results = {path: json.loads(path.read_text(encoding="utf-8")) for path in arguments.results}
    for path, each in results.items():
        if each.get("kind") != gpu_rates.KIND and not (each.get("kind") == BENCH and each["whole"]):
            parser.error(f"{path} was made neither by gpu.py nor of a clip by onsight bench --output")
    parts = to_parts(results.values())
    if missing := [name for name, text in parts.items() if not text]:
        parser.error(f"nothing for {', '.join(missing)}: give files of onsight bench and of gpu.py, one with --network")
    for name, text in parts.items():
        print(text)
        if arguments.write:
            write_between(arguments.write, name, text)


if __name__ == "__main__":
    main()
