"""What a detector finds in pictures, through the runtime, and what that is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.boxes import truth
from support.models import COLOURS, constant_detector, tiny_detector

from pipeline.contract import ModelContract
from pipeline.errors import ConfigError, ModelError
from pipeline.model import OnnxModel
from pipeline.types import Image
from training.annotated import AnnotatedImage
from training.coco import average_precision
from training.predict_boxes import check_sizes, detect

Box = tuple[int, int, int, int]


def paint(path: Path, *things: tuple[Box, int, int], size: tuple[int, int] = (64, 64)) -> Path:
    """A black picture, height x width, with boxes, each of one channel and a brightness of it."""
    image = np.zeros((*size, 3), np.uint8)
    for (x1, y1, x2, y2), channel, value in things:
        image[y1:y2, x1:x2, channel] = value
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def model(detector_path: Path) -> OnnxModel:
    return OnnxModel(detector_path, "cpu", threads=1)


def test_boxes_are_in_pixels_of_each_picture_and_in_order(model: OnnxModel, tmp_path: Path) -> None:
    things: list[tuple[Box, int, int]] = [((8, 12, 40, 52), i % 3, 255 - 5 * i) for i in range(7)]
    paths = [paint(tmp_path / f"{i}.png", thing, size=(64, 64 + 32 * i)) for i, thing in enumerate(things)]
    ticks: list[int] = []
    predicted = detect(model, paths, batch=3, tick=lambda: ticks.append(1))
    assert (len(predicted.found), len(ticks), predicted.unread) == (7, 7, {})
    assert predicted.sizes == tuple((64, 64 + 32 * i) for i in range(7))
    for (box, channel, value), found in zip(things, predicted.found, strict=True):
        np.testing.assert_array_equal(found.labels_N, [channel])
        np.testing.assert_allclose(found.scores_N, [value / 255], atol=0.1)
        np.testing.assert_allclose(found.boxes_N4, [box], atol=5)
        assert found.names == COLOURS


def test_low_scores_are_kept_unless_told(tmp_path: Path) -> None:
    rows = [((10, 10, 50, 50), 0.002, 0), ((20, 20, 60, 60), 0.0005, 1)]
    model = OnnxModel(constant_detector(tmp_path / "m.onnx", rows), "cpu")
    paths = [paint(tmp_path / "a.png")]
    for arguments, expected in (({}, [0]), ({"threshold": 0.0}, [0, 1]), ({"threshold": 0.5}, [])):
        assert detect(model, paths, **arguments).found[0].labels_N.tolist() == expected


def test_the_overlap_is_the_contracts_unless_told(tmp_path: Path) -> None:
    rows = [((0, 0, 100, 100), 0.9, 0), ((0, 0, 60, 100), 0.8, 0)]  # 0.6, and the contract says 0.45
    model = OnnxModel(constant_detector(tmp_path / "m.onnx", rows), "cpu")
    paths = [paint(tmp_path / "a.png", size=(100, 100))]
    assert len(detect(model, paths).found[0]) == 1
    assert len(detect(model, paths, iou=0.65).found[0]) == 2


class Halves:
    """Sees a car in the whole frame, 200 x 200, and takes its part in the first of four tiles for a person."""

    device = "cpu"

    def __init__(self, contract: ModelContract) -> None:
        self.contract = contract

    def infer(self, frames_BHW3: Image) -> dict[str, NDArray[Any]]:
        whole = frames_BHW3.shape[1] == 200
        scores_B1 = np.array([[0.3 if whole else 0.5 * (frame[0, 0, 0] > 0)] for frame in frames_BHW3], np.float32)
        box = (20, 20, 150, 60) if whole else (20, 20, frames_BHW3.shape[2], 60)
        boxes_B14 = np.tile(np.array(box, np.float32), (len(frames_BHW3), 1, 1))
        return {"boxes": boxes_B14, "scores": scores_B1, "labels": np.full((len(frames_BHW3), 1), int(whole))}


def test_in_tiles_what_would_be_shown_decides_what_becomes_of_pieces(tmp_path: Path) -> None:
    model = Halves(OnnxModel(constant_detector(tmp_path / "m.onnx", [((0, 0, 1, 1), 0.5, 0)]), "cpu").contract)
    paths = [paint(tmp_path / "a.png", ((0, 0, 1, 1), 0, 255), size=(200, 200))]
    assert detect(model, paths).found[0].labels_N.tolist() == [1]
    for shown, labels in ((None, [1]), (0.29, [1]), (0.31, [0, 1])):
        assert detect(model, paths, tiles=(2, 2), shown=shown).found[0].labels_N.tolist() == labels


def test_pictures_that_cannot_be_read_are_counted_and_named(model: OnnxModel, tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{i}.png", ((8, 12, 40, 52), i, 255)) for i in range(3)]
    paths[1].write_bytes(b"no picture")
    paths.append(tmp_path / "gone.png")
    predicted = detect(model, paths)
    assert sorted(predicted.unread) == [1, 3]
    assert "1.png is not an image" in predicted.unread[1]
    assert "gone.png cannot be read" in predicted.unread[3]
    assert [len(found) for found in predicted.found] == [1, 0, 1, 0]
    assert predicted.found[1].boxes_N4.shape == (0, 4)
    assert predicted.sizes == ((64, 64), (0, 0), (64, 64), (0, 0))


def test_no_pictures(model: OnnxModel) -> None:
    predicted = detect(model, [])
    assert (predicted.found, predicted.sizes, predicted.unread) == ((), (), {})


def test_models_that_do_not_fit(classifier_path: Path, model: OnnxModel, tmp_path: Path) -> None:
    paths = [paint(tmp_path / "a.png")]
    with pytest.raises(ModelError, match="is a classifier: it finds no boxes"):
        detect(OnnxModel(classifier_path, "cpu"), paths)
    with pytest.raises(ConfigError, match="'iou' has no effect on this model"):
        detect(model, paths, iou=0.5)


def test_a_picture_has_the_size_of_its_annotation(model: OnnxModel, tmp_path: Path) -> None:
    paths = [paint(tmp_path / "a.png"), paint(tmp_path / "b.png", size=(64, 96)), tmp_path / "gone.png"]
    images = [
        replace(truth(), path=path, width=width, height=64) for path, width in zip(paths, (64, 96, 5), strict=True)
    ]
    seen = detect(model, paths)
    check_sizes(images, seen)
    with pytest.raises(ConfigError, match=r"b.png has 96 x 64 pixels upright, and 64 x 96 by its annotation"):
        check_sizes([images[0], replace(images[1], width=64, height=96), images[2]], seen)


def test_what_a_model_file_is_worth(tmp_path: Path) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", doubles=True), "cpu")
    boxes: list[Box] = [(8, 12, 40, 52), (0, 0, 10, 10), (30, 30, 64, 64)]
    paths = [paint(tmp_path / f"{i}.png", (box, i, 255 - i)) for i, box in enumerate(boxes)]
    truth = [
        AnnotatedImage(
            path=path,
            width=64,
            height=64,
            boxes_N4=np.array([box], np.float32),
            labels_N=np.array([i]),
            crowd_N=np.array([False]),
            area_N=np.array([1.0]),
        )
        for i, (path, box) in enumerate(zip(paths, boxes, strict=True))
    ]
    found = detect(model, paths).found
    metrics = average_precision(truth, found, model.contract.labels)
    assert metrics.map == pytest.approx(1)
    assert metrics.per_class == dict.fromkeys(COLOURS, pytest.approx(1))
    turned = average_precision(truth, found[::-1], model.contract.labels)
    assert turned.map == pytest.approx(1 / 3)  # green in the middle
