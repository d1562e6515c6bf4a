"""What is exported: a network with its weights, and everything that its file has to say about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from export.classifier import ClassifierHead
from pipeline.contract import ModelContract
from pipeline.digest import sha256
from pipeline.errors import ModelError
from pipeline.probes import runtime_version
from training.checkpoint import Trained, load_checkpoint
from training.recipe import Rgb
from training.runs import METRICS, SPLIT

Provenance = dict[str, JsonValue]

_KEPT = (
    *("split", "n", "objects", "accuracy", "top5", "map", "map50", "map75"),
    *("threshold", "precision", "recall", "f1", "ece", "intervals"),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What is to be exported, in evaluation mode.

    `network`: takes float32 [B, 3, H, W], RGB, (value ÷ 255 - `mean`) ÷ `std`; it may compute in float16. `head`: makes
    the outputs of the contract of what the network returns, as float32. `contract`: of a file whose frames the host
    resizes, with its provenance. `split`: the file in which the run has written down how it cut its data.
    """

    network: nn.Module
    head: nn.Module
    contract: ModelContract
    mean: Rgb
    std: Rgb
    split: Path | None = None


def open_checkpoint(path: Path, about: Provenance) -> Origin:
    """What `onsight train` saved at `path`; `about` goes into the provenance.

    Raises:
        OnsightError: no such file, not whole, another's, or it does not fit the network that its recipe names.
    """
    trained = load_checkpoint(path)
    provenance = {**_tell_training(trained, path), **about}
    contract = trained.contract.model_copy(update={"provenance": provenance})
    head = ClassifierHead(trained.temperature or 1.0) if trained.head is None else trained.head
    split = path.with_name(SPLIT)
    known = split if split.is_file() else None
    return Origin(trained.network, head, contract, trained.mean, trained.std, known)


def _tell_training(trained: Trained, path: Path) -> Provenance:
    recipe = trained.recipe.to_json()
    data = Path(recipe["data"].pop("path"))  # where files lay is nobody's business
    recipe["model"]["weights"] = Path(recipe["model"]["weights"]).name
    commit: Provenance = {} if trained.commit is None else {"git_commit": trained.commit}
    return {
        "name": trained.recipe.name,
        "model": trained.recipe.model.name,
        "trained_on": data.name,
        "data_fingerprint": trained.fingerprint,
        "metrics": _measured(path) or {key: each for key, each in trained.metrics.items() if key.startswith("val/")},
        "temperature": trained.temperature,
        "checkpoint": path.name,
        "checkpoint_sha256": sha256(path),
        **commit,
        "recipe": recipe,
        "versions": dict[str, JsonValue](trained.versions),
        "exported_with": tool_versions(),
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


def tool_versions() -> dict[str, JsonValue]:
    """Of what a file is made with."""
    tools: dict[str, JsonValue] = {name: version(name) for name in ("onsight", "torch", "onnx", "onnxscript")}
    return tools | {"onnxruntime": runtime_version()}
