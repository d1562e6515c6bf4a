"""What is exported: a network with its weights, and everything that its file has to say about it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from export.labels import read_labels
from pipeline.contract import ClassifierSpec, ModelContract
from pipeline.errors import ConfigError, ModelError
from training.checkpoint import Trained, load_checkpoint
from training.inputs import plan_inputs
from training.models import build_network, head_tensors, library_versions, resolve_name
from training.recipe import InputSpec, ModelSpec, Rgb
from training.runs import METRICS
from training.weights import choose_state, load_weights

Provenance = dict[str, JsonValue]

_IMAGENET = 1000
_KEPT = ("split", "n", "accuracy", "top5", "precision", "recall", "f1", "ece", "intervals")


@dataclass(frozen=True, slots=True)
class Origin:
    """A classifier to export.

    `network`: in evaluation mode, takes float32 [B, 3, H, W], RGB, (value ÷ 255 - `mean`) ÷ `std`, returns logits
    [B, C]. `temperature`: they are divided by it before the softmax. `contract`: of the file, with its provenance.
    """

    network: nn.Module
    contract: ModelContract
    mean: Rgb
    std: Rgb
    temperature: float = 1.0


def open_checkpoint(path: Path, about: Provenance) -> Origin:
    """What `onsight train` saved at `path`; `about` goes into the provenance.

    Raises:
        OnsightError: no such file, not whole, another's, or it does not fit the network that its recipe names.
    """
    trained = load_checkpoint(path)
    provenance = {**_tell_training(trained, path), **about}
    contract = trained.contract.model_copy(update={"provenance": provenance})
    return Origin(trained.network, contract, trained.mean, trained.std, trained.temperature or 1.0)


def open_network(name: str, weights: str, labels: str | None, size: int | None, about: Provenance) -> Origin:
    """A network of a library, as `torchvision:resnet50`.

    Args:
        weights: `DEFAULT` or `pretrained` (the library's own), `none`, `package:…` or a file.
        labels: a file with a class a line, or the name of a list that Onsight knows; None: those of ImageNet, if the
            network has as many classes.
        size: pixels of the input's sides; None: as the weights were trained.
        about: goes into the provenance.

    Raises:
        OnsightError: no such network, weights or labels, or they do not fit.
    """
    library, bare = resolve_name(name)
    spec = ModelSpec(name=name, weights="pretrained" if weights == "DEFAULT" else weights)
    inputs = plan_inputs(spec, InputSpec(size=size))
    side = inputs.input.height
    state = choose_state(spec.weights, library, bare, build_network(spec, _IMAGENET, side))
    head = head_tensors(spec, _IMAGENET, side)
    names = None if labels is None else read_labels(labels)
    classes = _IMAGENET if names is None else len(names)
    if state is not None:
        classes = next((len(state[each]) for each in sorted(head) if each in state), classes)
    if names is None and classes != _IMAGENET:
        raise ConfigError(f"{weights} has {classes} classes: name them with --labels FILE, a class a line")
    names = names or read_labels("imagenet")
    if classes != len(names):
        raise ConfigError(f"{weights} has {classes} classes, but --labels names {len(names)}")
    network = build_network(spec, classes, side)
    if state is not None:
        load_weights(network, state, set(), name)
    file = Path(weights)
    digest: Provenance = {"weights_sha256": sha256(file)} if file.is_file() else {}
    provenance: Provenance = {
        "name": bare,
        "model": f"{library}:{bare}",
        "weights": file.name if file.is_file() else weights,
        **digest,
        "versions": {"onsight": version("onsight"), **library_versions()},
        **about,
    }
    contract = ModelContract(
        task="classify",
        labels=names,
        input=inputs.input,
        resize=inputs.resize,
        classifier=ClassifierSpec(),
        provenance=provenance,
    )
    return Origin(network.eval(), contract, inputs.mean, inputs.std)


def _tell_training(trained: Trained, path: Path) -> Provenance:
    recipe = trained.recipe.to_json()
    data = Path(recipe["data"].pop("path"))  # where it lay is nobody's business
    commit: Provenance = {} if trained.commit is None else {"git_commit": trained.commit}
    return {
        "name": trained.recipe.name,
        "model": trained.recipe.model.name,
        "trained_on": data.name,
        "data_fingerprint": trained.fingerprint,
        "metrics": _measured(path) or dict(trained.metrics),
        "temperature": trained.temperature,
        "checkpoint": path.name,
        "checkpoint_sha256": sha256(path),
        **commit,
        "recipe": recipe,
        "versions": {**trained.versions, "onsight": version("onsight")},
    }


def _measured(checkpoint: Path) -> Provenance | None:
    """What the run measured on pictures that it had not trained on."""
    file = checkpoint.with_name(METRICS)
    if checkpoint.stem != "best" or not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return {key: values[key] for key in _KEPT if key in values}
    except (ValueError, TypeError):
        raise ModelError(f"{file}, which lies beside the checkpoint, is broken: evaluate again, or remove it") from None


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
