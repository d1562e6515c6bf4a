from pathlib import Path

import numpy as np
import pytest
from support.models import constant_detector, tiny_classifier, tiny_detector

from pipeline.errors import ConfigError
from pipeline.hide import Hider, hiding
from pipeline.model import OnnxModel
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.settings import Settings, settle
from pipeline.types import Frame, Recognised

RED, GREEN = (0, 0, 255), (0, 255, 0)


@pytest.fixture
def main(tmp_path: Path) -> OnnxModel:
    return OnnxModel(tiny_detector(tmp_path / "main.onnx"), "cpu")


@pytest.fixture
def faces(tmp_path: Path) -> OnnxModel:
    path = constant_detector(tmp_path / "faces.onnx", [((40, 10, 60, 30), 0.4, 0)], labels=("face",))
    return OnnxModel(path, "cpu")


def picture() -> Frame:
    """A red thing on the left, noise on the right, where the face is."""
    image = np.random.default_rng(3).integers(0, 100, (64, 64, 3), np.uint8)
    image[10:30, 5:25] = RED
    return Frame(image, "camera", 0, 0.0)


def recogniser(model: OnnxModel, **choices: object) -> tuple[Recogniser, Settings]:
    settings = settle(model.contract, **choices)  # type: ignore[arg-type]
    return Recogniser(model, settings), settings


def test_what_either_model_finds_is_hidden(main, faces):
    work, settings = recogniser(main, redact=["red"])
    (seen,) = hiding(work, faces, settings)([picture()])
    assert [list(map(round, box)) for box in seen.hide_N4.tolist()] == [[40, 10, 60, 30], [5, 10, 25, 30]]
    redacted = Redactor(True, "fill")(seen)
    assert redacted is not None
    assert not redacted.frame.image[10:30, 40:60].any()
    assert not redacted.frame.image[10:30, 5:25].any()
    assert redacted.frame.image[40:].any()


def test_it_may_hide_alone_and_beside_a_classifier(tmp_path, faces):
    work, settings = recogniser(OnnxModel(tiny_classifier(tmp_path / "c.onnx"), "cpu"))
    (seen,) = hiding(work, faces, settings)([picture()])
    assert seen.hide_N4.shape == (1, 4)


def test_without_a_model_nothing_changes(main):
    work, settings = recogniser(main)
    assert hiding(work, None, settings) is work


class Failing:
    """A model that fails whenever `fails` says so."""

    def __init__(self, model: OnnxModel) -> None:
        self.contract, self.device, self._model = model.contract, model.device, model
        self.fails = True

    def infer(self, frames):
        if self.fails:
            raise RuntimeError("out of memory")
        return self._model.infer(frames)


def test_where_it_fails_the_frame_is_withheld_until_it_works_again(main, faces, caplog):
    work, settings = recogniser(main, redact=["red"])
    failing = Failing(faces)
    hide, redact = hiding(work, failing, settings), Redactor(True)
    for _ in range(3):
        assert [redact(each) for each in hide([picture(), picture()])] == [None, None]
    failing.fails = False
    assert all(redact(each) is not None for each in hide([picture(), picture()]))
    assert caplog.text.count("the model that says what to hide failed") == 1


def test_where_the_other_model_does_not_say_what_to_hide_the_frame_is_withheld(faces):
    def silent(frames: list[Frame]) -> list[Recognised]:
        work, _ = recogniser(faces)
        return work(frames)

    (seen,) = Hider(silent, faces, too=True)([picture()])
    assert seen.hide_N4 is None
    assert Redactor(True)(seen) is None


def test_a_classifier_cannot_say_where_things_are(tmp_path, main):
    work, settings = recogniser(main)
    with pytest.raises(ConfigError, match="'redact_model' needs a detector"):
        hiding(work, OnnxModel(tiny_classifier(tmp_path / "c.onnx"), "cpu"), settings)
