"""Onsight itself, as `onsight run CLIP --model MODEL --output OUT.mp4` works.

python benchmarks/peers/onsight.py MODEL.onnx CLIP OUT.mp4
"""

import json
import sys

from pipeline import run

if __name__ == "__main__":
    model, clip, output, *_ = sys.argv[1:]
    summary = run(clip, model, output=output, device="cpu")
    print(json.dumps({"frames": summary.frames, "seconds": summary.seconds}))
