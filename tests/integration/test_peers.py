"""The contenders of the benchmarks that are written by hand, as far as the project's own packages run them."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

import pipeline

PEERS = Path(pipeline.__file__).parent.parent / "benchmarks" / "peers"


def write_network(path):
    """Scores of three classes: the means of the channels."""
    node = helper.make_node("GlobalAveragePool", ["image"], ["means"])
    flat = helper.make_node("Flatten", ["means"], ["logits"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([node, flat], "means", [image], [logits])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_clip(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
    for number in range(frames):
        writer.write(np.full((240, 320, 3), 5 * number, np.uint8))
    writer.release()


def test_the_loops_functions_in_threads_make_the_video_of_the_loop(tmp_path):
    network, clip, made = tmp_path / "network.onnx", tmp_path / "clip.mp4", {}
    write_network(network)
    write_clip(clip, 40)
    for name in ("plain", "staged"):
        output = tmp_path / f"{name}.mp4"
        command = [sys.executable, PEERS / f"{name}.py", network, clip, output, "classifier", "32", "32"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
        assert json.loads(done.stdout)["frames"] == 40
        made[name] = output.read_bytes()
    assert made["staged"] == made["plain"]
