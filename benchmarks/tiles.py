"""What do tiles find, and what do they cost?

    uv run benchmarks/tiles.py m.onnx coco128/instances.json

Judges a detector by annotated pictures as `onsight evaluate` does. Prints for each number of tiles the mAP, also of
small objects, how many of the boxes with a score of 0.3 and more are right (IoU >= 0.5) and how many are wrong, and how
many times longer a picture takes than without tiles: one thread, the median over the pictures, each with and without
tiles in turn.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2

from pipeline import open_model
from pipeline.recogniser import Recogniser
from pipeline.settings import settle
from pipeline.types import Frame
from training.evaluate import Options, evaluate

TILES = ((1, 1), (2, 2), (3, 3))
SHOWN = 0.3


def judge(model, data, tiles):
    with tempfile.TemporaryDirectory() as folder:
        options = Options(tiles=tiles, threshold=SHOWN, device="cpu")
        return evaluate([model], data, Path(folder) / "report", options)


def time_each(model, paths):
    """For each number of tiles the seconds that each picture took."""
    recognisers = [Recogniser(model, settle(model.contract, threshold=SHOWN, tiles=tiles)) for tiles in TILES]
    seconds = [[] for _ in TILES]
    for path in paths:
        frame = Frame(cv2.imread(str(path)), "", 0, None)
        for recogniser, took in zip(recognisers, seconds, strict=True):
            start = time.perf_counter()
            recogniser([frame])
            took.append(time.perf_counter() - start)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    evaluations = [judge(arguments.model, arguments.data, tiles) for tiles in TILES]
    model = open_model(arguments.model, "cpu", threads=1)
    seconds = time_each(model, [image.path for image in evaluations[0].images])
    print("| tiles | mAP | of small objects | right | wrong | time |\n|---|---|---|---|---|---|")
    for (columns, rows), evaluation, took in zip(TILES, evaluations, seconds, strict=True):
        metrics = evaluation.models[0].metrics
        average, (shown, right, _) = metrics.average, metrics.counts_N3.sum(0)
        times = statistics.median(one / whole for one, whole in zip(took, seconds[0], strict=True))
        values = f"{average.map:.3f} | {average.by_size['small']:.3f} | {right} | {shown - right} | {times:.1f}"
        print(f"| {columns}x{rows} | {values} |")


if __name__ == "__main__":
    main()
