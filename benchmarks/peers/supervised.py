"""supervision's `process_video` with the callback of the plain loop.

uv run --no-project benchmarks/peers/supervised.py NETWORK.onnx CLIP OUT.mp4 yolox|yolov8|classifier HEIGHT WIDTH
"""
# /// script
# dependencies = ["numpy>=2.1", "onnxruntime>=1.31", "opencv-python>=5.0", "supervision>=0.28"]
# ///

import json
import sys
import time

import onnxruntime
import supervision
from plain import open_callback


def main(network, clip, output, kind, height, width):
    label = open_callback(network, kind, height, width)
    frames = supervision.VideoInfo.from_video_path(clip).total_frames
    started = time.perf_counter()
    supervision.process_video(clip, output, callback=lambda frame, _: label(frame))
    seconds = time.perf_counter() - started
    versions = {"supervision": supervision.__version__, "onnxruntime": onnxruntime.__version__}
    print(json.dumps({"frames": frames, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
