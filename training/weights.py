"""Weights for a network: a library's, a local file's or a package's; nothing in them is ever executed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision import models as tv

from pipeline.errors import ConfigError, OnsightError
from training.packaged import EFFICIENTNET, find_packaged

PACKAGED = "package:efficientnet-lite0"
_NAMED = 3
_CODE = ("Unsupported global", "Unsupported class", "call reduce")  # how torch says that a pickle names functions
_COUNTER = ".num_batches_tracked"  # older files have none
State = Mapping[str, Tensor]


def load_exactly(network: nn.Module, state: State) -> None:
    """Loads tensors under the network's own names, as this version of it writes them; some networks ask for that.

    Raises:
        RuntimeError: a tensor is missing, unknown or of another shape.
    """
    ours: Any = OrderedDict(state)
    ours._metadata = getattr(network.state_dict(), "_metadata", {})
    network.load_state_dict(ours)


def load_in_order(network: nn.Module, weights: Path) -> None:
    """Loads a state dict whose tensors have other names than the network's, but the same order and shapes.

    Raises:
        OnsightError: number or shapes of the tensors differ.
    """
    ours, theirs = network.state_dict(), read_state(weights)
    if [tensor.shape for tensor in theirs.values()] != [tensor.shape for tensor in ours.values()]:
        raise OnsightError(
            f"{weights.name} does not fit {type(network).__name__}: its tensors differ in number or shape"
        )
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a checkpoint that holds nothing but tensors and plain values.

    A state dict inside a checkpoint (`state_dict`, `model`, `model_ema`) is found, prefixes of wrappers are taken off.

    Raises:
        OnsightError: no such file, not whole, of another kind, or a pickle that would run code.
    """
    if not path.is_file():
        raise OnsightError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise OnsightError(f"{path} is no safetensors file, or is not whole: {error}") from None
    found = read_pickle(path)
    for key in ("state_dict", "model_ema", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(each, Tensor) for each in found.values()):
        raise OnsightError(f"{path} holds no state dict; save network.state_dict() into a file")
    return _without_prefix(dict(found))


def read_pickle(path: Path) -> object:
    """What `torch.save` wrote to `path`, if it is tensors and plain values.

    Raises:
        OnsightError: unreadable, not whole, or a pickle that would run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if any(sign in str(error) for sign in _CODE):
            raise OnsightError(
                f"{path} holds Python objects that would run code when loaded, and is refused; "
                "save its tensors alone: torch.save(network.state_dict(), file)"
            ) from None
        raise OnsightError(f"{path} is no checkpoint of PyTorch, or is not whole") from None
    except OSError as error:
        raise OnsightError(f"{path} cannot be read: {error.strerror or error}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError):
        raise OnsightError(f"{path} is no checkpoint of PyTorch, or is not whole") from None


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in ("module.", "_orig_mod.", "network."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def published_state(library: str, name: str) -> State:
    """The library's own pretrained weights, downloaded once.

    Raises:
        OnsightError: there are none, or they cannot be fetched.
    """
    if library == "own":
        raise ConfigError(f"{name} has no published weights; choose the weights none, or a file")
    try:
        if library == "torchvision":
            return _torchvision_state(name)
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:  # no network, no such weights, a broken download
        reason = str(error).partition("\n")[0]
        raise OnsightError(
            f"the pretrained weights of {name} cannot be fetched ({reason}); "
            "choose a local .safetensors or .pth file instead"
        ) from None


def _torchvision_state(name: str) -> State:
    # torchvision unpickles whatever the file holds: it is fetched, and read once, without running anything in it.
    weights = tv.get_model_weights(name).DEFAULT
    weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    options = {"aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    return tv.get_model(name, weights=weights, **options).state_dict()  # its own loader knows the older names


def choose_state(weights: str, library: str, name: str, network: nn.Module) -> State | None:
    """The tensors that `model.weights` of a recipe stands for; None: the network stays as it was initialised."""
    if weights == "none":
        return None
    if weights == "pretrained":
        return published_state(library, name)
    if weights == PACKAGED:
        theirs = read_state(find_packaged(EFFICIENTNET, ".pth"))
        ours = network.state_dict()
        if len(ours) != len(theirs):
            raise ConfigError(f"{PACKAGED} holds the weights of timm:tf_efficientnet_lite0, not of {name}")
        return dict(zip(ours, theirs.values(), strict=True))
    if weights.startswith("package:"):
        raise ConfigError(f"unknown package of weights '{weights}'; known is {PACKAGED}")
    return _in_our_names(read_state(Path(weights)), network.state_dict())


def _in_our_names(theirs: State, ours: State) -> State:
    """The same network built elsewhere may call its tensors otherwise: then they are taken in their order."""
    same = [each.shape for each in theirs.values()] == [each.shape for each in ours.values()]
    return dict(zip(ours, theirs.values(), strict=True)) if same and not theirs.keys() & ours.keys() else theirs


def load_weights(network: nn.Module, theirs: State, head: set[str], name: str) -> list[str]:
    """Loads `theirs` into `network`. Tensors of the head that do not fit begin anew, close to zero; the counters of
    norms, which older files lack, stay as they are.

    Returns:
        The names of those.

    Raises:
        OnsightError: any other tensor is missing, unknown or of another shape; they are named.
    """
    ours = network.state_dict()
    new = sorted(each for each in head if each not in theirs or theirs[each].shape != ours[each].shape)
    theirs = {each: tensor for each, tensor in ours.items() if each.endswith(_COUNTER)} | dict(theirs)
    wrong = [f"{each} is missing" for each in ours if each not in theirs and each not in head]
    wrong += [f"{each} is unknown" for each in theirs if each not in ours]
    wrong += [
        f"{each} is {list(theirs[each].shape)}, not {list(tensor.shape)}"
        for each, tensor in ours.items()
        if each in theirs and each not in head and theirs[each].shape != tensor.shape
    ]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise OnsightError(f"the weights do not fit {name}: {', '.join(wrong[:_NAMED])}{more}")
    fresh = {each: torch.randn_like(ours[each]) * (0.01 if ours[each].ndim > 1 else 0) for each in new}
    load_exactly(network, {each: fresh[each] if each in fresh else theirs[each] for each in ours})
    return new
