from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.optim import muon
from torch import nn

from training.models import build_network
from training.optim import build_optimiser, build_schedule, group_parameters, rate_at
from training.recipe import ModelSpec, OptimiserSpec, ScheduleSpec


def test_norms_and_biases_are_not_decayed() -> None:
    network = build_network(ModelSpec(name="resnet18"), 3)
    groups = group_parameters(network, OptimiserSpec(weight_decay=0.1))
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(groups) == 2
    for name, parameter in network.named_parameters():
        assert decay_of[id(parameter)] == (
            0.1 if "conv" in name or "downsample.0" in name or name == "fc.weight" else 0
        )


def test_what_a_network_spares_is_spared() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2, 2))
            self.head = nn.Linear(2, 2)

        def no_weight_decay(self) -> set[str]:
            return {"table"}

    network = Own()
    spared = [p for g in group_parameters(network, OptimiserSpec()) if not g["weight_decay"] for p in g["params"]]
    assert {id(p) for p in spared} == {id(network.table), id(network.head.bias)}


def test_layers_learn_slower_the_further_they_are_from_the_head() -> None:
    network = build_network(ModelSpec(name="resnet18"), 3)
    groups = group_parameters(network, OptimiserSpec(lr=1.0, layer_decay=0.5))
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    rates = [
        rate_of[id(network.get_parameter(f"{name}.weight"))]
        for name in ("conv1", "layer4.0.conv1", "layer4.1.conv1", "fc")
    ]
    assert rates == [0.5**9, 0.25, 0.5, 1.0]


def test_what_a_network_never_trains_is_in_no_group() -> None:
    network = build_network(ModelSpec(name="cifarnet"), 3)
    held = {id(p) for group in group_parameters(network, OptimiserSpec()) for p in group["params"]}
    assert id(network.whitening.weight) not in held
    assert id(network.whitening.bias) in held


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimisers(name: Any, kind: str) -> None:
    optimiser = build_optimiser(nn.Linear(2, 2), OptimiserSpec(name=name))
    assert type(optimiser).__name__ == kind
    assert optimiser.defaults.get("nesterov", True)


def test_muon_takes_the_convolutions_and_adamw_the_rest() -> None:
    network = build_network(ModelSpec(name="cifarnet"), 3)
    optimiser = build_optimiser(network, OptimiserSpec(name="muon", lr=0.1, weight_decay=0.2))
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    optimiser.step()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    orthogonal = {names[id(p)] for p, state in optimiser.state.items() if state["use_muon"]}
    assert orthogonal == {name for name in names.values() if "conv" in name}
    assert {names[id(p)] for p in optimiser.state} - orthogonal == {
        name for name, p in network.named_parameters() if p.requires_grad and "conv" not in name
    }


def _rates(spec: ScheduleSpec, steps: int, epochs: int) -> list[float]:
    optimiser = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": 2.0}], lr=2.0)
    schedule = build_schedule(optimiser, spec, steps, epochs)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


def test_cosine_warms_up_and_falls_to_its_end() -> None:
    rates = _rates(ScheduleSpec(name="cosine", warmup=1, final=0.1), 100, 10)
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.2, rel=0.01)


def test_linear_falls_straight() -> None:
    rates = _rates(ScheduleSpec(name="linear", warmup=1, final=0.5), 110, 11)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:][::50] == pytest.approx([2.0, 1.5])


def test_one_cycle_peaks_where_it_is_told_to() -> None:
    rates = _rates(ScheduleSpec(name="one-cycle", rise=0.25, final=0.01), 101, 10)
    assert max(range(101), key=rates.__getitem__) in (24, 25)
    assert max(rates) == pytest.approx(2.0, rel=0.01)
    assert rates[-1] == pytest.approx(0.02)


def test_steps_multiply() -> None:
    spec = ScheduleSpec(name="step", warmup=0, steps=(2, 4), gamma=0.5)
    assert _rates(spec, 12, 6) == [2.0] * 4 + [1.0] * 4 + [0.5] * 4


def test_constant_stays() -> None:
    assert rate_at(99, ScheduleSpec(name="constant", warmup=0), 100, 10) == 1


def test_muon_is_exact_where_bf16_is_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.optim.has_bf16", lambda: False)
    monkeypatch.setattr(muon, "zeropower_via_newtonschulz", muon.zeropower_via_newtonschulz)
    network = nn.Linear(8, 8, bias=False)
    build_optimiser(network, OptimiserSpec(name="muon"))
    assert muon.zeropower_via_newtonschulz(torch.randn(4, 4), 5, [(3.4, -4.8, 2.0)]).dtype == torch.float32
