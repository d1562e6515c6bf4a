"""Networks of a library by their names, with weights from anywhere, ready to be exported."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue
from torchvision import models as tv

from export.classifier import ClassifierHead
from export.detectors import detector_parts
from export.labels import read_labels
from export.origin import Origin, Provenance, tool_versions
from pipeline.contract import ClassifierSpec, InputSpec, ModelContract
from pipeline.digest import sha256
from pipeline.errors import ConfigError
from training import recipe
from training.detectors import TORCHVISION, build_detector, detector_size
from training.inputs import plan_inputs
from training.models import build_network, head_tensors, library_versions, resolve_name
from training.raw_heads import Detector
from training.recipe import ModelSpec
from training.weights import State, choose_state, load_weights

_IMAGENET = 1000
_COCO = 91  # as torchvision counts: 80 classes, gaps between them, and the background
_NO_EPSILON = "retinanet_resnet50_fpn_coco-"  # torchvision's own file, wherever it lies


def open_network(name: str, weights: str, labels: str | None, size: int | None, about: Provenance) -> Origin:
    """A classifier or detector, as `torchvision:resnet50` or `torchvision:ssdlite320_mobilenet_v3_large`.

    Args:
        weights: `DEFAULT` or `pretrained` (the library's own), `none`, `package:…` or a file.
        labels: a file with a class a line, or the name of a list that Onsight knows; None: those of ImageNet or COCO,
            if the network has as many classes.
        size: pixels of the input's sides; None: as the weights were trained.
        about: goes into the provenance.

    Raises:
        OnsightError: no such network, weights or labels, or they do not fit.
    """
    weights = "pretrained" if weights == "DEFAULT" else weights
    bare = name.removeprefix(TORCHVISION)
    if bare in tv.list_models(module=tv.detection):
        return _open_detector(bare, weights, labels, size, about)
    return _open_classifier(name, weights, labels, size, about)


def _open_classifier(name: str, weights: str, labels: str | None, size: int | None, about: Provenance) -> Origin:
    library, bare = resolve_name(name)
    spec = ModelSpec(name=name, weights=weights)
    inputs = plan_inputs(spec, recipe.InputSpec(size=size))
    side = inputs.input.height
    state = choose_state(weights, library, bare, build_network(spec, _IMAGENET, side))
    head = head_tensors(spec, _IMAGENET, side)
    names = None if labels is None else read_labels(labels)
    classes = _IMAGENET if names is None else len(names)
    if state is not None:
        classes = next((len(state[each]) for each in sorted(head) if each in state), classes)
    if names is None and classes != _IMAGENET:
        raise ConfigError(f"{weights} has {classes} classes: name them with --labels FILE, a class a line")
    names = names or read_labels("imagenet")
    if len(names) == 1:
        raise ConfigError("with one class, every picture is of it: name two or more with --labels")
    if classes != len(names):
        raise ConfigError(f"{weights} has {classes} classes, but --labels names {len(names)}")
    network = build_network(spec, classes, side)
    if state is not None:
        load_weights(network, state, set(), name)
    contract = ModelContract(
        task="classify",
        labels=names,
        input=inputs.input,
        resize=inputs.resize,
        classifier=ClassifierSpec(),
        provenance=_tell(f"{library}:{bare}", bare, weights, about),
    )
    return Origin(network.eval(), ClassifierHead(), contract, inputs.mean, inputs.std)


def _open_detector(name: str, weights: str, labels: str | None, size: int | None, about: Provenance) -> Origin:
    names = read_labels("coco91" if labels is None else labels)
    model = _build_detector(name, weights, labels, size)
    height, width = detector_size(model)
    parts = detector_parts(model, height, width, labels=len(names))
    contract = ModelContract(
        task="detect",
        labels=names,
        input=InputSpec(height=height, width=width),
        resize=parts.resize,
        detector=parts.detector,
        provenance=_tell(f"{TORCHVISION}{name}", name, weights, about),
    )
    return Origin(parts.network, parts.head, contract, parts.mean, parts.std)


def _build_detector(name: str, weights: str, labels: str | None, size: int | None) -> Detector:
    """With as many classes as the weights have, or else as the labels name and one for the background."""
    published = weights == "pretrained" or _NO_EPSILON in weights
    state = choose_state(weights, "torchvision", name, build_detector(name, _COCO, size))
    if state is not None:
        model = build_detector(name, _count_classes(name, state), size, published)
        load_weights(model, state, set(), name)
        return model
    return build_detector(name, _COCO if labels is None else len(read_labels(labels)) + 1, size)


def _count_classes(name: str, state: State) -> int:
    """By the first tensor that has so many rows for each class."""
    one, other = (build_detector(name, count).state_dict() for count in (2, 3))
    for each, tensor in one.items():
        rows = len(other[each]) - len(tensor) if tensor.ndim else 0
        if rows and each in state:
            return len(state[each]) // rows
    return _COCO


def _tell(model: str, name: str, weights: str, about: Provenance) -> Provenance:
    file = Path(weights)
    digest: Provenance = {"weights_sha256": sha256(file)} if file.is_file() else {}
    return {
        "name": name,
        "model": model,
        "weights": file.name if file.is_file() else weights,
        **digest,
        "versions": dict[str, JsonValue](library_versions()),
        "exported_with": tool_versions(),
        **about,
    }
