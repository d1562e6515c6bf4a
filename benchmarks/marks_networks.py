"""The networks and clips of `marks.py`, made in a folder unless they are there."""

import shutil
import subprocess
import sys

import throughput

ADOPT = [sys.executable, "-c", "from export.cli import adopt; adopt()"]


def prepare(folder, python):
    for name in ("car-detection.mp4", "yolox_nano.onnx"):
        if not (folder / name).is_file():
            sys.exit(f"{folder} needs {name}; --help says where it comes from")
    make(folder / "bikes.mp4", copy_clip)
    make(folder / "yolov8n.onnx", lambda path: run(*throughput.peer("ultralytics_predict.py", python), "make", path))
    make(folder / "efficientnet_lite0.onnx", export_efficientnet)
    make(folder / "efficientnet_lite0-onsight.onnx", copy_efficientnet)
    for network, family, *more in (("yolov8n", "yolov8", "--size", 640), ("yolox_nano", "yolox")):
        words = [folder / f"{network}.onnx", "--family", family, "--labels", "coco", *more]
        make(folder / f"{network}-onsight.onnx", lambda path, words=words: run(*ADOPT, *words, "--output", path))


def make(path, how):
    if not path.exists():
        how(path)


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=sys.stderr)


def copy_clip(path):
    from export.demo import find_clip

    shutil.copy(find_clip(), path)


def copy_efficientnet(path):
    from export.demo import demo_model

    shutil.copy(demo_model(), path)


def export_efficientnet(path):
    """As PyTorch exports it: float32 [B, 3, 224, 224] in, logits out."""
    import torch

    from training.models import efficientnet_lite0

    network, batch = efficientnet_lite0().eval(), torch.export.Dim("batch")
    pictures = (torch.zeros(2, 3, 224, 224),)
    program = torch.onnx.export(network, pictures, dynamo=True, opset_version=18, dynamic_shapes=({0: batch},))
    program.save(path, external_data=False)
