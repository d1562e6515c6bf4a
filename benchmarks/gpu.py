"""Inference on a GPU: bare ONNX Runtime, Onsight's own way, the whole pipeline, and PyTorch, in turns.

    uv run benchmarks/gpu.py MODEL32.onnx MODEL16.onnx --network torchvision:resnet50 --output gpu.json

`--network` is the network that the models were exported from: its speed in PyTorch is compared, its weights are random.
Frames a second; medians of rounds in which all contenders of a batch size take turns, with the lowest and the highest.
Each part stands for itself: what fails is told in the JSON, which is written after every part, and nothing begins after
`--budget` seconds. `gpu_page.py` writes the tables of a page from the JSONs.

- bare, on the GPU: ONNX Runtime with I/O binding, input and outputs stay in the memory of the GPU
- bare, copied: the same, with the input from pinned memory and the outputs to the host, one after the other
- plain: `session.run` with numpy arrays
- slot, so many in flight: what the pipeline does with a batch that is ready, on so many threads
- pipeline: frames from memory through all of `onsight run` but drawing and encoding; some that need not be resized, and
  some of 1280 x 720
"""

import argparse
import json
import logging
import os
import statistics
import sys
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from gpu_contenders import (
    CAMERA,
    EXHAUSTIVE,
    HEURISTIC,
    NHWC,
    bare,
    open_model,
    pipeline,
    plain,
    slot,
    torch_contenders,
    untouched,
)
from gpu_rates import KIND, to_markdown

from pipeline import session
from pipeline.bench.gpu import watch_gpu
from pipeline.bench.machine import MachineWatch, describe_machine
from pipeline.model import OnnxModel


def repeat(call, frames, seconds):
    """Frames a second of `call`, which takes `frames` of them each time."""
    calls, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or calls < 3:
        call()
        calls += 1
    return calls * frames / spent


def side_by_side(make, threads, frames, seconds):
    """The same of `threads` calls at once; each thread calls what `make` gives it."""
    counts, barrier, end, failures = [0] * threads, threading.Barrier(threads + 1), threading.Event(), []

    def work(number):
        try:
            call = make()
            call()
            barrier.wait(60)
            while not end.is_set():
                call()
                counts[number] += 1
        except Exception as error:
            failures.append(error)
            barrier.abort()

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        barrier.wait(60)
        before, began = sum(counts), time.perf_counter()
        time.sleep(seconds)
        done, spent = sum(counts) - before, time.perf_counter() - began
    finally:
        end.set()
        for worker in workers:
            worker.join(60)
        if failures:
            raise failures[0]
    return done * frames / spent


def alternate(contenders, rounds, seconds, watch, found):
    """Measures all in turns, into `found`. One that fails is told and left out from then on."""
    rates = {name: [] for name in contenders}
    for round_ in range(-1, rounds):  # the first one warms up
        for name, measure in contenders.items():
            if name in found["failed"]:
                continue
            try:
                rate = measure(seconds if round_ >= 0 else min(seconds, 0.1))
            except Exception as error:
                found["failed"][name] = tell(error)
                continue
            if round_ >= 0:
                rates[name].append(rate)
        watch.sample()
    for name, values in rates.items():
        if values:
            found["fps"][name] = {"median": statistics.median(values), "rounds": values}


def tell(error):
    return "".join(traceback.format_exception(error)[-4:])


class Report:
    """The JSON, written after every part; parts that fail are told in it."""

    def __init__(self, path, budget):
        self.path, self.began, self.budget = path, time.perf_counter(), budget
        self.found = {"kind": KIND, "version": 1, "failed": {}, "skipped": []}

    def in_time(self):
        return time.perf_counter() - self.began < self.budget

    def part(self, name, make):
        if not self.in_time():
            self.found["skipped"].append(name)
            return
        print(f"[{time.perf_counter() - self.began:5.0f} s] {name}", file=sys.stderr, flush=True)
        try:
            found = make()
        except Exception as error:
            self.found["failed"][name] = tell(error)
            print(self.found["failed"][name], file=sys.stderr, flush=True)
        else:
            self.found[name] = found
        self.found["seconds"] = time.perf_counter() - self.began
        self.write()

    def write(self):
        partial_path = self.path.with_suffix(".part")
        partial_path.write_text(json.dumps(self.found, indent=1) + "\n")
        os.replace(partial_path, self.path)


def describe(path):
    """What the file is, where its nodes run, and how far CUDA's answers are from the CPU's."""
    model = open_model(path)
    size = model.contract.input
    nodes = {provider: sum(operators.values()) for provider, operators in model.nodes.items()}
    told = {
        "file": path.name,
        "precision": model.contract.provenance.get("precision"),
        "input": [size.height, size.width],
        "providers": model.providers,
        "nodes": nodes,
        "on_the_cpu": dict(model.nodes.get("CPUExecutionProvider", {})),
    }
    frames = np.random.default_rng(1).integers(0, 256, (4, size.height, size.width, 3), dtype=np.uint8)
    expected = OnnxModel(path, "cpu").infer(frames)
    model.prepare(8)  # a short batch is made up
    for name, got in model.infer(frames).items():
        told[f"largest difference of {name}"] = float(np.abs(got - expected[name]).max())
    return told


def of_batch(path, batch, arguments, watch, in_time):
    """All contenders of one model and batch size."""
    found = {"fps": {}, "failed": {}}
    contenders = {}

    def enter(name, make):
        try:
            contenders[name] = make()
        except Exception as error:
            found["failed"][name] = tell(error)

    def calling(make):
        return lambda: partial(repeat, make(), batch)

    model, channels_last = open_model(path), open_model(path, nhwc=True)
    enter("bare, on the GPU", calling(lambda: bare(path, batch, HEURISTIC)))
    enter("bare, on the GPU, EXHAUSTIVE", calling(lambda: bare(path, batch, EXHAUSTIVE)))
    enter("bare, on the GPU, NHWC", calling(lambda: bare(path, batch, HEURISTIC | NHWC)))
    graph = HEURISTIC | {"enable_cuda_graph": "1"}
    fused = HEURISTIC | NHWC | {"fuse_conv_bias": "1"}
    enter("bare, on the GPU, NHWC, biases fused", calling(lambda: bare(path, batch, fused)))
    enter("bare, on the GPU, CUDA graph", calling(lambda: bare(path, batch, graph, number=batch)))
    enter("bare, on the GPU, CUDA graph, NHWC", calling(lambda: bare(path, batch, graph | NHWC, number=batch)))
    enter("bare, copied", calling(lambda: bare(path, batch, HEURISTIC, copied=True)))
    enter("plain", calling(lambda: plain(path, batch)))
    for layout, opened in (("", model), (", NHWC", channels_last)):
        for threads in (1, 2, 4, 8):
            enter(f"slot, {threads} in flight{layout}", partial(aside, opened, threads, batch))
        recording = partial(open_model, path, cuda_graph=True, nhwc=bool(layout))
        enter(f"slot, 1 in flight, CUDA graph{layout}", calling(lambda recording=recording: slot(recording(), batch)()))
        for name, frames in (("nothing to resize", untouched(model.contract)), ("1280 x 720", CAMERA)):
            for workers in (2, 4, 8):
                made = partial(partial, pipeline, opened, batch, frames, workers)
                enter(f"pipeline, {name}, {workers} in flight{layout}", made)
    size = (model.contract.input.height, model.contract.input.width)
    half = model.contract.provenance.get("precision") == "fp16"
    if arguments.network and half and batch in arguments.torch_batches:
        for name, make in torch_contenders(arguments.network, size, batch, arguments.modes):
            if in_time():
                enter(name, calling(make))
            else:
                found["failed"][name] = "no time was left"
    alternate(contenders, arguments.rounds, arguments.seconds, watch, found)
    return found


def aside(model, threads, batch):
    return partial(side_by_side, slot(model, batch), threads, batch)


def parse():
    def numbers(text):
        return tuple(int(part) for part in text.split(",") if part)

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--network", help="torchvision:NAME or timm:NAME")
    parser.add_argument("--batches", type=numbers, default=(8, 1, 32, 16), help="in this order")
    parser.add_argument("--torch-batches", type=numbers, default=(8, 1), help="those that PyTorch compiles for, too")
    parser.add_argument(
        "--modes",
        type=lambda text: text.split(","),
        default=["reduce-overhead", "max-autotune-no-cudagraphs"],
        help="of torch.compile",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.15, help="of each contender in each round")
    parser.add_argument("--budget", type=float, default=270, help="seconds after which no part begins")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    return parser.parse_args()


def main():
    arguments = parse()
    logging.basicConfig(level=logging.WARNING)
    with suppress(ImportError):
        import_module("torch")  # brings CUDA's libraries, wherever they are
    report = Report(arguments.output, arguments.budget)
    if reason := session.check_device("cuda"):
        sys.exit(f"there is no GPU to measure: {reason}")
    gpu = watch_gpu()
    watch = MachineWatch(gpu)
    report.part("machine", lambda: describe_machine(gpu).model_dump())
    report.part("versions", versions)
    for path in arguments.models:
        report.part(f"{path.stem}: file", partial(describe, path))
    for batch in arguments.batches:
        for path in arguments.models:
            report.part(f"{path.stem}, batch {batch}", partial(of_batch, path, batch, arguments, watch, report.in_time))
    report.part("conditions", lambda: watch.conditions().model_dump())
    print(to_markdown(report.found))


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("onnxruntime-gpu", "torch", "torchvision", "triton", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    main()
