# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy", "onnxruntime", "opencv-python-headless", "pycocotools"]
# ///
"""Does `onsight evaluate` say what an evaluation without any of Onsight says of the same network?

    uv run benchmarks/parity_map.py yolox_nano.onnx coco128/

The network is a YOLOX as it comes, its grid not decoded; the folder holds `images/` and, in the format of COCO with its
80 categories, `instances.json`. One mAP is that of `onsight adopt` and `onsight evaluate`, run as commands; the other
is made here, of the raw outputs of ONNX Runtime: decoding and suppression in NumPy, the rest by pycocotools. Both take
scores >= 0.001, suppression at IoU 0.65, 300 boxes an image, every class of a box. Ends with 1 if they differ by more
than 0.002.

uv makes an environment for what is here; `onsight` is the one on the PATH or, failing that, that of this repository.
"""

import argparse
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SCORE, IOU, BOXES, ALLOWED = 0.001, 0.65, 300, 0.002
ROOT = Path(__file__).parent.parent


def ask_onsight(network, data):
    onsight = [found] if (found := shutil.which("onsight")) else ["uv", "run", "--project", ROOT, "onsight"]
    with tempfile.TemporaryDirectory() as folder:
        model, report = Path(folder) / "m.onnx", Path(folder) / "report"
        adopt = [*onsight, "adopt", network, "--family", "yolox", "--labels", "coco", "--output", model]
        evaluate = [*onsight, "evaluate", model, "--data", data, "--output", report, "--device", "cpu"]
        for command in (adopt, evaluate):
            subprocess.run([str(part) for part in command], check=True)
        metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    return metrics["map"], metrics["map50"]


def run_network(session, image):
    """Boxes xyxy in pixels of the picture [N, 4], and the score of each in each class [N, C]."""
    (wanted,) = session.get_inputs()
    height, width = wanted.shape[2:]
    ratio = min(height / image.shape[0], width / image.shape[1])
    small = cv2.resize(image, (int(image.shape[1] * ratio), int(image.shape[0] * ratio)))
    padded = np.full((height, width, 3), 114, np.uint8)
    padded[: small.shape[0], : small.shape[1]] = small
    (raw,) = session.run(None, {wanted.name: np.float32(padded.transpose(2, 0, 1)[None])})[0]
    cells = [(x, y, stride) for stride in (8, 16, 32) for y in range(height // stride) for x in range(width // stride)]
    x, y, stride = np.array(cells, np.float32).T
    centre = (raw[:, :2] + np.column_stack([x, y])) * stride[:, None]
    half = np.exp(raw[:, 2:4]) * stride[:, None] / 2
    boxes = np.hstack([centre - half, centre + half]) / ratio
    return boxes.clip(0, [image.shape[1], image.shape[0]] * 2), raw[:, 4:5] * raw[:, 5:]


def suppress(boxes, scores):
    """The places of the boxes that stay, best first."""
    kept, rest = [], np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        corners = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (corners[1] - corners[0]).clip(0).prod(1)
        rest = rest[shared <= IOU * (areas[best] + areas[rest] - shared)]
    return kept


def detect(session, truth, folder):
    """What the network finds, as rows of image id, x, y, width, height, score, category id."""
    categories = sorted(truth.getCatIds())
    rows = []
    for image_id, about in truth.imgs.items():
        boxes, scores = run_network(session, cv2.imread(str(folder / "images" / about["file_name"])))
        found = []
        for label, category in enumerate(categories):
            good = np.flatnonzero(scores[:, label] >= SCORE)
            for place in good[suppress(boxes[good], scores[good, label])]:
                x1, y1, x2, y2 = boxes[place]
                found.append((image_id, x1, y1, x2 - x1, y2 - y1, scores[place, label], category))
        rows += sorted(found, key=lambda row: -row[5])[:BOXES]
    return np.array(rows)


def evaluate_plainly(network, folder):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(folder / "instances.json")
        session = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])
        evaluation = COCOeval(truth, truth.loadRes(detect(session, truth, folder)), "bbox")
        evaluation.params.maxDets = [BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    return tuple(part[part > -1].mean() for part in (precision, precision[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    ours = ask_onsight(arguments.network, arguments.folder)
    theirs = evaluate_plainly(arguments.network, arguments.folder)
    print(f"onsight evaluate:  mAP {ours[0]:.5f}, mAP50 {ours[1]:.5f}")
    print(f"without Onsight:   mAP {theirs[0]:.5f}, mAP50 {theirs[1]:.5f}")
    print(f"difference of mAP: {ours[0] - theirs[0]:+.5f}, allowed {ALLOWED}")
    sys.exit(0 if abs(ours[0] - theirs[0]) <= ALLOWED else 1)


if __name__ == "__main__":
    main()
