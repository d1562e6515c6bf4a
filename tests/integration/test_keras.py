"""Networks made in Keras: exported as docs/adopting.md says, adopted, and held against Keras's own predictions.

Run as a script this file makes the networks, for Keras wants its backend chosen before it is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import parser

from export.cli import adopt
from pipeline.model import OnnxModel
from pipeline.types import Image

SIZE = 64
CLASSES = 5
FLAGS = {
    "application": "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5",
    "rescaling": "--range 0-255 --mean 0,0,0 --std 1,1,1",
    "caffe": "--colour bgr --range 0-255 --mean 123.68,116.779,103.939 --std 1,1,1",
}


def make_pictures() -> Image:
    """uint8 [8, H, W, 3], BGR, of different colours."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (8, SIZE, SIZE, 3))
    return (noise * random.uniform(0.2, 1, (8, 1, 1, 3))).astype(np.uint8)


def make_networks(folder: Path) -> None:
    """For each name in FLAGS the exported network and Keras's predictions for the pictures, float32 [8, C]."""
    import keras

    applications = keras.applications
    keras.utils.set_random_seed(0)
    application = applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    rescaling = own_network([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)])
    networks = {
        "application": (application, applications.mobilenet_v2.preprocess_input),
        "rescaling": (rescaling, lambda pictures: pictures),
        "caffe": (own_network([]), applications.resnet50.preprocess_input),
    }
    for name, (network, preprocess) in networks.items():
        pictures = preprocess(make_pictures()[..., ::-1].astype(np.float32))
        settle(network, pictures)
        np.save(folder / f"{name}.npy", network.predict(pictures, verbose=0))
        export_network(network, folder / f"{name}.onnx", open_batch=name == "application")


def own_network(first: list[Any]) -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            *first,
            layers.Conv2D(16, 3, strides=2, padding="same"),
            layers.ZeroPadding2D(1),
            layers.MaxPooling2D(3, strides=2),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("swish"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def settle(network: Any, pictures: np.ndarray) -> None:
    """Fits the statistics of a network without training to the pictures, so that it tells them apart."""
    for layer in network.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    network(pictures, training=True)
    network.layers[-1].kernel.assign(network.layers[-1].kernel * 5)


def export_network(network: Any, path: Path, open_batch: bool) -> None:
    import keras

    if open_batch:
        network.export(path, format="onnx", verbose=False)
        return
    frames = keras.Input((SIZE, SIZE, 3))
    inference = keras.Model(frames, network(frames, training=False))
    signature = [keras.InputSpec(shape=(1, SIZE, SIZE, 3), dtype="float32")]
    inference.export(path, format="onnx", verbose=False, input_signature=signature)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    chosen = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(folder), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, folder], env=os.environ | chosen, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def adopted(source: Path, classes: int, flags: str) -> OnnxModel:
    labels = source.with_name("labels.txt")
    labels.write_text("".join(f"class {i}\n" for i in range(classes)), encoding="utf-8")
    output = source.with_name(f"{source.stem}_adopted.onnx")
    arguments = [str(source), "--family", "classifier", "--labels", str(labels), "--output", str(output)]
    result = CliRunner().invoke(adopt, [*arguments, *flags.split()])
    assert result.exit_code == 0, result.output
    return OnnxModel(output, "cpu")


@pytest.mark.parametrize("name", FLAGS)
def test_predictions_are_those_of_keras(networks: Path, name: str) -> None:
    expected = np.load(networks / f"{name}.npy")
    assert np.ptp(expected, axis=0).max() > 0.1
    model = adopted(networks / f"{name}.onnx", CLASSES, FLAGS[name])
    assert model.contract.input.batch is None
    for count in (1, 3, 8):
        scores = model.infer(make_pictures()[:count])["scores"]
        np.testing.assert_allclose(scores, expected[:count], atol=1e-4)


PADDED = """<ir_version: 8, opset_import: ["": 17]>
net (float[B, 3, 8, 8] images) => (float[B, 3] logits)
<int64[8] pads = {{0, 0, 1, 1, 0, 0, 1, 1}}, float zero = {{0}}, float two = {{2}}> {{
    negative = Neg (images)
    padded = Pad (negative, pads{value})
    pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0]> (padded)
    logits = ReduceMean <axes = [2, 3], keepdims = 0> (pooled)
}}"""


@pytest.mark.parametrize(("value", "padding"), [("", 0), (", zero", 0), (", two", 2)])
def test_padding_before_a_pool_counts(tmp_path: Path, value: str, padding: int) -> None:
    onnx.save(parser.parse_model(PADDED.format(value=value)), tmp_path / "net.onnx")
    model = adopted(tmp_path / "net.onnx", 3, "--activation none --range 0-255 --mean 0,0,0 --std 1,1,1")
    pictures = np.random.default_rng(0).integers(1, 256, (2, 8, 8, 3), np.uint8)
    negative = -pictures[..., ::-1].astype(np.float32)
    padded = np.pad(negative, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=padding)
    pooled = padded.reshape(2, 5, 2, 5, 2, 3).max(axis=(2, 4))
    np.testing.assert_allclose(model.infer(pictures)["scores"], pooled.mean(axis=(1, 2)), rtol=1e-5)


SURE = """<ir_version: 8, opset_import: ["": 17]>
net (float[1, 3, 8, 8] images) => (float[1, 3] scores) <float[3] lead = {1000, 0, 0}> {
    colour = ReduceMean <axes = [2, 3], keepdims = 0> (images)
    logits = Add (colour, lead)
    scores = Softmax <axis = 1> (logits)
}"""


def test_a_network_too_sure_to_tell_frames_apart_takes_any_batch(tmp_path: Path) -> None:
    onnx.save(parser.parse_model(SURE), tmp_path / "net.onnx")
    assert adopted(tmp_path / "net.onnx", 3, "").contract.input.batch is None


if __name__ == "__main__":
    make_networks(Path(sys.argv[1]))
