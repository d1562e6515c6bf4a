from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models as tv
from torchvision.models import _api

from pipeline.errors import OnsightError
from training.models import build_network, head_tensors
from training.recipe import ModelSpec
from training.weights import load_weights, published_state, read_state


def _without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def test_counters_that_older_files_lack_stay_as_they_are(tmp_path: Path) -> None:
    spec = ModelSpec(name="resnet18")
    before, network = build_network(spec, 3), build_network(spec, 3)
    torch.save(_without_counters(before.state_dict()), tmp_path / "old.pth")
    network.bn1.num_batches_tracked.fill_(7)
    assert load_weights(network, read_state(tmp_path / "old.pth"), head_tensors(spec, 3), "resnet18") == []
    assert torch.equal(network.conv1.weight, before.conv1.weight)
    assert network.bn1.num_batches_tracked == 7


def test_network_that_asks_for_its_version_is_filled_from_a_file(tmp_path: Path) -> None:
    spec = ModelSpec(name="mnasnet0_5")
    before, network = build_network(spec, 3), build_network(spec, 3)
    torch.save(before.state_dict(), tmp_path / "mnasnet.pth")
    assert load_weights(network, read_state(tmp_path / "mnasnet.pth"), head_tensors(spec, 3), spec.name) == []
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", ["densenet121", "googlenet"])
def test_published_files_with_older_names_fill_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = tv.get_model(name, weights=None, **({"init_weights": False} if name == "googlenet" else {}))
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])", r"\1.\2", key): tensor
        for key, tensor in _without_counters(published.state_dict()).items()
    }
    asked = []

    def load(url: str, weights_only: bool = False, **_: Any) -> dict[str, Tensor]:
        asked.append(weights_only)
        return dict(older)

    monkeypatch.setattr(_api, "load_state_dict_from_url", load)
    spec = ModelSpec(name=name)
    network = build_network(spec, 3)
    new = load_weights(network, published_state("torchvision", name), head_tensors(spec, 3), name)
    assert set(new) == head_tensors(spec, 3)
    ours, theirs = network.state_dict(), published.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items() if key not in new)
    assert asked[0], "the file is read without running code before torchvision reads it"


def test_published_file_that_would_run_code_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"fc.bias": Path("x")}, tmp_path / "bad.pth")
    monkeypatch.setattr(
        _api,
        "load_state_dict_from_url",
        lambda url, weights_only=False, **_: torch.load(tmp_path / "bad.pth", weights_only=weights_only),
    )
    with pytest.raises(OnsightError, match=r"the pretrained weights of resnet18 cannot be fetched .*choose a local"):
        published_state("torchvision", "resnet18")
