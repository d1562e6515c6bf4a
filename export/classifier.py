"""`onsight export` and `onsight verify` for classifiers."""

from __future__ import annotations

from pathlib import Path

from export.gate import Parity, compare
from export.network import FrameClassifier, exporting
from export.origin import Origin
from export.pictures import trial_pictures
from pipeline.errors import ContractError, SinkError
from pipeline.model import OnnxModel
from pipeline.sinks.partial import check_file


def export_classifier(origin: Origin, output: Path, data: Path | None = None, force: bool = False) -> Parity:
    """Writes the model file `output`, if it does on real pictures what the network does.

    Args:
        data: a folder with pictures to try it on; None: photographs that a package ships.
        force: replace an older file of the name.

    Raises:
        OnsightError: it cannot be exported or written, or it differs; no file is left, an older one stays.
    """
    check_output(output, force)
    pictures = trial_pictures(data)
    classifier = _frames_to_scores(origin)
    with exporting(classifier, origin.contract, output) as partial:
        return compare(classifier, OnnxModel(partial, "cpu"), pictures)


def verify_classifier(path: Path, origin: Origin, data: Path | None = None) -> Parity:
    """Holds the model file `path` against the network that it should come from.

    Raises:
        OnsightError: other labels or another preprocessing, or it differs on the pictures.
    """
    model = OnnxModel(path, "cpu")
    for part in ("task", "labels", "input", "resize"):
        if getattr(model.contract, part) != getattr(origin.contract, part):
            raise ContractError(f"{path} is not that network: its contract has another part '{part}'; export it again")
    return compare(_frames_to_scores(origin), model, trial_pictures(data))


def check_output(output: Path, force: bool) -> None:
    """Whether a model file can be written there.

    Raises:
        SinkError: another suffix, no such folder, or a file of the name that is not to be replaced.
    """
    check_file(output, {".onnx"})
    if output.exists() and not force:
        raise SinkError(f"{output} exists: give another name, or --force to replace it")


def _frames_to_scores(origin: Origin) -> FrameClassifier:
    return FrameClassifier(origin.network, origin.mean, origin.std, origin.temperature).eval()
