"""What a checkpoint carries beside Lightning's own state, and how it is read: tensors and plain values, no code."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from pydantic import ValidationError
from torch import nn

from pipeline import contract
from pipeline.errors import OnsightError, SinkError
from pipeline.sinks.partial import partial_path
from training.detect_model import build_trainable
from training.inputs import Inputs
from training.models import build_network, library_versions
from training.raw_heads import Detector, DetectorHead, RawDetector
from training.recipe import Recipe, Rgb
from training.weights import load_exactly, read_pickle

KEY = "onsight"
_PREFIX = "network."
_FREE = {
    *(f"data.{key}" for key in ("path", "layout", "val_fraction", "test_fraction", "slice", "workers", "cache")),
    "model.weights",
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A network with all that is needed to use it.

    `network`: in evaluation mode, takes float32 [B, 3, H, W], RGB, (value ÷ 255 - `mean`) ÷ `std`, returns logits
    [B, C]; with averaged weights, if they were averaged. That of a detector returns raw tensors, of which `head` makes
    the outputs of the contract; None: it is a classifier. `metrics`: of the validation after which it was saved.
    `temperature`: logits are divided by it before the softmax; None: not calibrated. `threshold`: from which score on
    boxes are worth showing; None: that is not known. `commit`: of the git repository in which it was trained, if it was
    in one.
    """

    network: nn.Module
    head: DetectorHead | None
    classes: tuple[str, ...]
    input: contract.InputSpec
    resize: contract.Resize
    mean: Rgb
    std: Rgb
    recipe: Recipe
    metrics: dict[str, float]
    temperature: float | None
    threshold: float | None
    fingerprint: str
    versions: dict[str, str]
    commit: str | None
    epoch: int

    @property
    def contract(self) -> contract.ModelContract:
        """The contract of a model file made of it, without provenance."""
        head, shown = self.head, {} if self.threshold is None else {"threshold": self.threshold}
        return contract.ModelContract(
            task=self.recipe.model.task,
            labels=self.classes,
            input=self.input,
            resize=self.resize,
            classifier=contract.ClassifierSpec() if head is None else None,
            detector=None
            if head is None
            else contract.DetectorSpec(candidates=head.candidates, nms=True, iou=head.iou, **shown),
        )


def describe(recipe: Recipe, classes: tuple[str, ...], inputs: Inputs, fingerprint: str) -> dict[str, Any]:
    """What a checkpoint carries under the key `onsight`; the metrics are added when it is saved."""
    return {
        "version": 1,
        "task": recipe.model.task,
        "recipe": recipe.to_json(),
        "classes": list(classes),
        "inputs": inputs.to_json(),
        "fingerprint": fingerprint,
        "versions": {"onsight": version("onsight"), "lightning": version("lightning"), **library_versions()},
        "commit": _commit(),
        "metrics": {},
        "temperature": None,
        "threshold": None,
    }


def _commit() -> str | None:
    """The commit that is checked out where the training was started, marked where files were changed since."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """The whole content of a checkpoint that `onsight train` wrote.

    Raises:
        OnsightError: no such file, not whole, another's, or a pickle that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise OnsightError(f"there is no checkpoint {path}")
    found = read_pickle(path)
    if not isinstance(found, Mapping) or KEY not in found or "state_dict" not in found:
        raise OnsightError(f"{path} was not written by onsight train; give a best.ckpt or last.ckpt of one of its runs")
    if found[KEY].get("version") != 1:
        raise OnsightError(f"{path} is of another version of Onsight; train again, or use that version")
    return dict(found)


def load_checkpoint(path: Path | str) -> Trained:
    """The network in a checkpoint of `onsight train`, on the CPU. Nothing in the file is executed.

    Raises:
        OnsightError: as `read_checkpoint`, or the tensors do not fit the model that its recipe names.
    """
    found = read_checkpoint(path)
    about = found[KEY]
    try:
        recipe, inputs = Recipe.model_validate(about["recipe"]), Inputs.from_json(about["inputs"])
    except (ValidationError, KeyError) as error:
        raise OnsightError(f"{path} is of another version of Onsight: {str(error).partition(chr(10))[0]}") from None
    build = build_trainable if recipe.model.task == "detect" else build_network
    size = inputs.input.height
    network: nn.Module = build(recipe.model, len(about["classes"]), size)
    state = {name.removeprefix(_PREFIX): each for name, each in found["state_dict"].items() if name.startswith(_PREFIX)}
    try:
        load_exactly(network, state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise OnsightError(f"{path} does not fit {recipe.model.name}: {reason}") from None
    head = DetectorHead(network, size, size, background=False) if isinstance(network, Detector) else None
    return Trained(
        (RawDetector(network) if isinstance(network, Detector) else network).eval(),
        head,
        tuple(about["classes"]),
        inputs.input,
        inputs.resize,
        inputs.mean,
        inputs.std,
        recipe,
        dict(about["metrics"]),
        about["temperature"],
        about.get("threshold"),
        about["fingerprint"],
        dict(about["versions"]),
        about.get("commit"),
        found["epoch"],
    )


def store_temperature(path: Path | str, temperature: float) -> None:
    """Writes the calibration temperature into a checkpoint, aside and renamed."""
    found = read_checkpoint(path)
    found[KEY]["temperature"] = float(temperature)
    write_checkpoint(found, Path(path))


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Writes under a partial name, flushes to the disk and renames: an older file of the name stays whole until then.

    Raises:
        SinkError: the disk is full, or the folder cannot be written to.
    """
    whole = io.BytesIO()
    torch.save(content, whole)
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(whole.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        kept = "; the one saved before is whole" if path.is_file() else ""
        raise SinkError(f"cannot write the checkpoint {path}: {error.strerror}{kept}") from error


class CheckpointFiles(TorchCheckpointIO):
    """How Lightning writes and reads checkpoints here: aside and renamed, and never an unsafe pickle."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """See `read_checkpoint`."""
        return read_checkpoint(path)


def check_resumable(path: Path, recipe: Recipe, classes: tuple[str, ...], fingerprint: str) -> None:
    """Whether a run of `recipe` on this data can go on from the checkpoint at `path`.

    Raises:
        OnsightError: it is of another model, of other classes, or of other data.
    """
    about = read_checkpoint(path)[KEY]
    try:
        theirs = Recipe.model_validate(about["recipe"])
    except (ValidationError, KeyError) as error:
        raise OnsightError(f"{path} is of another version of Onsight: {str(error).partition(chr(10))[0]}") from None
    if theirs.model.name != recipe.model.name:
        raise OnsightError(
            f"{path} is a checkpoint of the model {theirs.model.name}, the recipe says {recipe.model.name}; "
            f"to start from its weights, train without --resume and with model.weights={path}"
        )
    if tuple(about["classes"]) != classes:
        raise OnsightError(f"{path} was trained on other classes: {_difference(about['classes'], classes)}")
    if about["fingerprint"] != fingerprint:
        raise OnsightError(f"{path} was trained on other pictures than those in {recipe.data.path}; train anew")
    ours, before = _deciding(recipe), _deciding(theirs)
    if changed := [key for key in ours if ours[key] != before[key]]:
        raise OnsightError(
            f"{path} was begun with another {' and '.join(changed[:3])}; take the recipe.yaml beside it, or train anew"
        )


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """What decides how a run goes on, by its dotted key; not where the data lies, nor on what it is computed."""
    values = recipe.to_json()
    flat = {"epochs": values["epochs"], "seed": values["seed"], "run.ema": values["run"]["ema"]}
    for part in ("data", "model", "input", "augment", "optimiser", "schedule", "loss"):
        flat |= {f"{part}.{key}": value for key, value in values[part].items()}
    return {key: value for key, value in flat.items() if key not in _FREE}


def _difference(theirs: list[str], ours: tuple[str, ...]) -> str:
    odd = sorted(set(theirs).symmetric_difference(ours))
    return f"{', '.join(odd[:3])} in one of the two only" if odd else "the same in another order"
