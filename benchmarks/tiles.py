"""What do tiles find, and what do they cost?

    uv run benchmarks/tiles.py m.onnx coco128/instances.json

Takes a detector and annotated pictures as `onsight evaluate` does. Prints for each number of tiles the mAP, also of
small objects (score >= 0.01), how many of the boxes with a score of 0.3 and more are right (IoU >= 0.5) and how many
are wrong, and how many times longer a picture takes than without tiles: one thread, the median over the pictures, each
with and without tiles in turn.
"""

import argparse
import statistics
import time
from pathlib import Path

import cv2

from pipeline import open_model
from pipeline.recogniser import Recogniser
from pipeline.settings import settle
from pipeline.types import Frame
from training.annotated import read_annotated
from training.coco import average_precision
from training.matching import NOTHING, match

TILES = ((1, 1), (2, 2), (3, 3))
LOWEST, SHOWN = 0.01, 0.3


def recognise(model, truth):
    """For each number of tiles what was found in each picture, and the seconds that it took."""
    recognisers = [Recogniser(model, settle(model.contract, threshold=LOWEST, tiles=tiles)) for tiles in TILES]
    found, seconds = [[] for _ in TILES], [[] for _ in TILES]
    for image in truth:
        frame = Frame(cv2.imread(str(image.path)), "", 0, None)
        for i, recogniser in enumerate(recognisers):
            start = time.perf_counter()
            (recognised,) = recogniser([frame])
            seconds[i].append(time.perf_counter() - start)
            found[i].append(recognised.results)
    return found, seconds


def count(truth, found):
    """How many of the boxes that are shown are right, and how many are wrong."""
    shown = [each.where(each.scores_N >= SHOWN) for each in found]
    matched = [match(image, each) for image, each in zip(truth, shown, strict=True)]
    return sum(int((each >= 0).sum()) for each in matched), sum(int((each == NOTHING).sum()) for each in matched)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    model = open_model(arguments.model, "cpu", threads=1)
    truth = read_annotated(arguments.data, model.contract.labels).images
    print("| tiles | mAP | of small objects | right | wrong | time |\n|---|---|---|---|---|---|")
    found, seconds = recognise(model, truth)
    for (columns, rows), boxes, took in zip(TILES, found, seconds, strict=True):
        average = average_precision(truth, boxes, model.contract.labels)
        right, wrong = count(truth, boxes)
        times = statistics.median(one / whole for one, whole in zip(took, seconds[0], strict=True))
        small = average.by_size["small"]
        print(f"| {columns}x{rows} | {average.map:.3f} | {small:.3f} | {right} | {wrong} | {times:.1f} |")


if __name__ == "__main__":
    main()
