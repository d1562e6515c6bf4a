"""Privacy masks through the command line: neither the model nor an output sees what lies under one."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.models import constant_detector, tiny_classifier, tiny_detector

from pipeline import cli

LEFT_HALF = "masks: {neighbours: {points: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}}"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A red thing on the left, a green one on the right."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:64, 20:44] = (0, 0, 220)
    image[40:64, 110:134] = (0, 220, 0)
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), image)
    return path


def labels(records: Path) -> set[str]:
    return {found["label"] for line in records.read_text().splitlines() for found in json.loads(line)["results"]}


def test_the_model_and_the_outputs_see_no_more_than_the_mask_leaves(tmp_path, picture):
    model, masks, records, output = (tmp_path / name for name in ("m.onnx", "masks.yaml", "seen.jsonl", "out.png"))
    tiny_detector(model)
    masks.write_text(LEFT_HALF)
    words = ["run", str(picture), "--model", str(model), "--records", str(records)]
    assert cli.main(words) == 0
    assert labels(records) == {"red", "green"}
    assert cli.main([*words, "--masks", str(masks), "--output", str(output)]) == 0
    assert labels(records) == {"green"}
    assert not cv2.imread(str(output))[:, :80].any()


def test_masks_that_cannot_be_read_end_the_run_before_it_begins(tmp_path, picture, capsys):
    model = tiny_detector(tmp_path / "m.onnx")
    records = tmp_path / "seen.jsonl"
    words = ["run", str(picture), "--model", str(model), "--records", str(records)]
    assert cli.main([*words, "--masks", str(tmp_path / "no.yaml")]) == 2
    assert "the masks file" in capsys.readouterr().err
    assert not records.exists()


def test_a_model_of_its_own_says_what_to_hide(tmp_path, picture, capsys):
    model, faces, output = tiny_detector(tmp_path / "m.onnx"), tmp_path / "faces.onnx", tmp_path / "out.png"
    constant_detector(faces, [((100, 30, 140, 70), 0.9, 0)], labels=("face",))
    words = ["run", str(picture), "--model", str(model), "--output", str(output), "--no-draw"]
    assert cli.main([*words, "--redact-model", str(faces), "--redact-style", "fill"]) == 0
    assert not cv2.imread(str(output))[30:70, 100:140].any()
    output.unlink()
    assert cli.main([*words, "--redact-model", str(tiny_classifier(tmp_path / "c.onnx"))]) == 2
    assert "'redact_model' needs a detector" in capsys.readouterr().err
    assert not output.exists()
