"""How many candidates does a YOLOX head need, and what do they cost?

    uv run --with pycocotools benchmarks/candidates.py yolox_nano.onnx coco128/

The folder holds `images/` and, in the format of COCO, `instances.json` with 80 categories. The network is adopted once
for each K. Prints for each K the mAP (score >= 0.001, suppression at IoU 0.65, 300 boxes an image, every class of a
box), what is lost against all (box, class) pairs, and the milliseconds that the adopted graph takes longer than the raw
network: one thread, one picture at a time; every run has one of the raw network next to it, and the median of the
differences counts.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from export.adopt import adopt
from export.options import Options
from pipeline import open_model
from pipeline.postprocess import find_objects
from pipeline.preprocess import plan_geometry, write_input

KS = (100, 300, 500, 1000, 2000, 3000, 10000)
ALL = 2**31
SCORE, IOU, BOXES = 0.001, 0.65, 300
ROUNDS = 256


def adopt_each(network, folder):
    models = []
    for k in (*KS, ALL):
        output = Path(folder) / f"{k}.onnx"
        adopt(network, output, Options(family="yolox", labels="coco", candidates=k))
        models.append(open_model(output, "cpu", threads=1))
    return models


def read_pictures(truth, folder, contract):
    """The id, the geometry and the input (uint8 [1, H, W, 3]) of each picture."""
    pictures = []
    for image_id in truth.getImgIds():
        image = cv2.imread(str(folder / "images" / truth.imgs[image_id]["file_name"]))
        geometry = plan_geometry(*image.shape[:2], contract.input, contract.resize)
        frames_BHW3 = np.empty((1, geometry.height, geometry.width, 3), np.uint8)
        write_input(image, geometry, frames_BHW3[0])
        pictures.append((image_id, geometry, frames_BHW3))
    return pictures


def detect(model, pictures, categories):
    """What the model finds, as rows of image id, x, y, width, height, score, category id."""
    rows = []
    for image_id, geometry, frames_BHW3 in pictures:
        outputs = model.infer(frames_BHW3).values()
        (found,) = find_objects(*outputs, [geometry], model.contract.labels, SCORE, IOU)
        xy, sizes = found.boxes_N4[:, :2], found.boxes_N4[:, 2:] - found.boxes_N4[:, :2]
        columns = [np.full(len(found), image_id), xy, sizes, found.scores_N, categories[found.labels_N]]
        rows.append(np.column_stack(columns)[:BOXES])
    return np.concatenate(rows)


def mean_average_precision(truth, rows):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.maxDets = [BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    return precision[precision > -1].mean()


def time_each(network, models, pictures):
    """Median milliseconds of the raw network, and for each model of what it adds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    raw = ort.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    name = raw.get_inputs()[0].name
    raw_times, added = [], [[] for _ in models]
    for i in range(ROUNDS):
        frames_BHW3 = pictures[i % len(pictures)][2]
        images = np.ascontiguousarray(frames_BHW3.transpose(0, 3, 1, 2), np.float32)
        for model, differences in zip(models, added, strict=True):
            start = time.perf_counter()
            raw.run(None, {name: images})
            middle = time.perf_counter()
            model.infer(frames_BHW3)
            end = time.perf_counter()
            raw_times.append(middle - start)
            differences.append((end - middle) - (middle - start))
    return 1000 * statistics.median(raw_times), [1000 * statistics.median(differences) for differences in added]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(arguments.folder / "instances.json")
    with tempfile.TemporaryDirectory() as folder:
        models = adopt_each(arguments.network, folder)
    pictures = read_pictures(truth, arguments.folder, models[0].contract)
    categories = np.array(sorted(truth.getCatIds()))
    precisions = [mean_average_precision(truth, detect(model, pictures, categories)) for model in models]
    network_ms, added_ms = time_each(arguments.network, models, pictures)

    print(f"{len(pictures)} pictures; the network alone takes {network_ms:.1f} ms; ONNX Runtime {ort.__version__}\n")
    print("| K | mAP | lost | adds |\n|---|---|---|---|")
    for model, precision, milliseconds in zip(models, precisions, added_ms, strict=True):
        k, lost = model.contract.detector.candidates, f"{precisions[-1] - precision:.5f}"
        if model is models[-1]:
            k, lost = f"all {k:,}", ""
        print(f"| {k} | {precision:.4f} | {lost} | {milliseconds:.2f} ms |")


if __name__ == "__main__":
    main()
