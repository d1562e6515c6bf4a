"""Ultralytics' `predict(save=True)` on the same network and clip, in an environment of its own.

uv run --no-project benchmarks/peers/ultralytics_predict.py NETWORK.onnx CLIP OUT.mp4
uv run --no-project benchmarks/peers/ultralytics_predict.py make NETWORK.onnx       # YOLOv8n with random weights
"""
# /// script
# dependencies = ["ultralytics==8.4.*", "onnxruntime>=1.31", "onnx", "onnxslim"]
# ///

import json
import os
import shutil
import sys
import time
from pathlib import Path

os.environ["YOLO_AUTOINSTALL"] = "False"

import onnxruntime
from bound import session_options
from ultralytics import YOLO, __version__, settings


def main(network, clip, output, *_):
    settings.update({"sync": False})
    open_session = onnxruntime.InferenceSession
    onnxruntime.InferenceSession = lambda path, options=None, **more: open_session(
        path, options or session_options(), **more
    )
    model = YOLO(network, task="detect")
    folder = Path(output).parent
    wanted = {"device": "cpu", "verbose": False, "save": True, "project": str(folder), "name": "u", "exist_ok": True}
    next(iter(model.predict(clip, stream=True, **{**wanted, "save": False})))
    started = time.perf_counter()
    frames = sum(1 for _ in model.predict(clip, stream=True, **wanted))
    seconds = time.perf_counter() - started
    versions = {"ultralytics": __version__, "onnxruntime": onnxruntime.__version__}
    print(json.dumps({"frames": frames, "seconds": seconds, "versions": versions}))


def make(path):
    """The network with random weights, its batch and size free."""
    shutil.move(YOLO("yolov8n.yaml").export(format="onnx", dynamic=True), path)


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else main(*sys.argv[1:])
