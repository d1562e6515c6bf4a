"""Ultralytics' `predict(save=True)` on the same network and clip, in an environment of its own.

uv run --no-project benchmarks/peers/ultralytics_predict.py NETWORK.onnx CLIP OUT.mp4
"""
# /// script
# dependencies = ["ultralytics==8.4.*", "onnxruntime>=1.31", "onnx", "onnxslim"]
# ///

import json
import os
import sys
import time
from pathlib import Path

os.environ["YOLO_AUTOINSTALL"] = "False"

from ultralytics import YOLO, settings


def main(network, clip, output, *_):
    settings.update({"sync": False})
    model = YOLO(network, task="detect")
    folder = Path(output).parent
    wanted = {"device": "cpu", "verbose": False, "save": True, "project": str(folder), "name": "u", "exist_ok": True}
    first = next(iter(model.predict(clip, stream=True, **{**wanted, "save": False})))
    started = time.perf_counter()
    frames = sum(1 for _ in model.predict(clip, stream=True, **wanted))
    seconds = time.perf_counter() - started
    print(json.dumps({"frames": frames, "seconds": seconds, "inference_ms": first.speed["inference"]}))


def make(path):
    """The network with random weights, its batch and size free."""
    Path(YOLO("yolov8n.yaml").export(format="onnx", dynamic=True)).rename(path)


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else main(*sys.argv[1:])
