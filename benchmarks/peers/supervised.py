"""supervision's `process_video` with the callback of the plain loop.

python benchmarks/peers/supervised.py NETWORK.onnx CLIP OUT.mp4 yolox|yolov8|classifier HEIGHT WIDTH
"""

import json
import sys
import time

import supervision
from plain import open_callback


def main(network, clip, output, kind, height, width):
    label = open_callback(network, kind, height, width)
    frames = supervision.VideoInfo.from_video_path(clip).total_frames
    started = time.perf_counter()
    supervision.process_video(clip, output, callback=lambda frame, _: label(frame))
    print(json.dumps({"frames": frames, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
