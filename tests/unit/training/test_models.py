from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import ConfigError, OnsightError
from training.blocks import Freezer, blocks_of, depths
from training.inputs import plan_inputs
from training.models import build_network, head_tensors, resolve_name
from training.module import _logits
from training.recipe import InputSpec, ModelSpec
from training.weights import PACKAGED, choose_state, load_weights, read_state


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cifarnet", 32),
        ("cifarnet-large", 32),
        ("vgg16", 32),
        ("resnet18", 32),
        ("inception_v3", 299),
        ("mobilenet_v3_small", 32),
        ("efficientnet_b0", 32),
        ("convnext_tiny", 32),
        ("regnet_y_400mf", 32),
        ("timm:tf_efficientnet_lite0", 32),
        ("timm:resnet10t", 32),
    ],
)
def test_every_family_makes_a_step(name: str, size: int) -> None:
    network = build_network(ModelSpec(name=name), 3).train()
    outputs = list(_logits(network(torch.rand(2, 3, size, size))))
    assert [tuple(each.shape) for each in outputs] == [(2, 3)] * (2 if name == "inception_v3" else 1)
    sum((each.square().sum() for each in outputs), torch.zeros(())).backward()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    network.eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, size, size)).shape == (1, 3)


@pytest.mark.parametrize(
    "name", ["vgg16", "regnet_y_400mf", "inception_v3", "timm:tf_efficientnet_lite0", "cifarnet-large"]
)
def test_blocks_hold_every_parameter_once(name: str) -> None:
    network = build_network(ModelSpec(name=name), 3)
    blocks = blocks_of(network)
    held = [id(p) for block in blocks for module in block for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    assert set(depths(network).values()) == set(range(len(blocks)))


def test_last_block_is_the_head() -> None:
    spec = ModelSpec(name="resnet18")
    depth_of = depths(build_network(spec, 3))
    last = {name for name, depth in depth_of.items() if depth == max(depth_of.values())}
    assert last == head_tensors(spec, 3) == {"fc.weight", "fc.bias"}


def test_names() -> None:
    assert resolve_name("resnet18") == ("torchvision", "resnet18")
    assert resolve_name("timm:resnet18") == ("timm", "resnet18")
    assert resolve_name("tf_efficientnet_lite0") == ("timm", "tf_efficientnet_lite0")
    assert resolve_name("cifarnet-large") == ("own", "cifarnet-large")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", r"did you mean 'resnet\d+"),
        ("timm:tf_efficientnet_lit0", "did you mean 'tf_efficientnet_lite0'"),
        ("keras:resnet50", "unknown library 'keras'"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_name(name)


@pytest.mark.parametrize("name", ["cifarnet", "resnet18", "mobilenet_v3_small", "timm:tf_efficientnet_lite0"])
def test_dropout_keeps_the_tensors_and_works(name: str) -> None:
    plain = build_network(ModelSpec(name=name), 3)
    dropped = build_network(ModelSpec(name=name, dropout=0.9), 3)
    dropped.load_state_dict(plain.state_dict())
    for network in (plain, dropped):
        for module in network.modules():
            module.train(isinstance(module, nn.Dropout | nn.Linear) and network is dropped)
    dropped.training = network is dropped
    images = torch.rand(2, 3, 32, 32)
    assert not torch.equal(dropped(images), dropped(images))
    assert torch.equal(dropped.eval()(images), plain.eval()(images))


def test_drop_path_rises_with_depth_and_is_refused_where_there_is_none() -> None:
    network = build_network(ModelSpec(name="convnext_tiny", drop_path=0.5), 3)
    rates = [module.p for module in network.modules() if type(module).__name__ == "StochasticDepth"]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1]) == (0, 0.5)
    for name in ("resnet18", "timm:vgg11", "cifarnet"):
        with pytest.raises(ConfigError, match=r"model\.drop_path"):
            build_network(ModelSpec(name=name, drop_path=0.1), 3)


def test_inputs_are_those_of_the_weights_unless_the_recipe_says_otherwise() -> None:
    lite = plan_inputs(ModelSpec(name="timm:tf_efficientnet_lite0"), InputSpec())
    assert (lite.input.height, lite.resize.interpolation, lite.resize.crop_pct) == (224, "cubic", 0.875)
    assert lite.mean == (0.5, 0.5, 0.5)
    assert plan_inputs(ModelSpec(name="inception_v3"), InputSpec()).input.height == 299
    own = plan_inputs(ModelSpec(name="resnet18"), InputSpec(size=64, rule="letterbox", std=(1, 1, 1)))
    assert (own.input.width, own.resize.rule, own.resize.crop_pct, own.std) == (64, "letterbox", 1.0, (1, 1, 1))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt"])
def test_local_weights_with_another_head(tmp_path: Path, suffix: str) -> None:
    spec = ModelSpec(name="resnet18")
    before, network = build_network(spec, 10), build_network(spec, 3)
    path = tmp_path / f"weights{suffix}"
    state = before.state_dict()
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}} if suffix == ".ckpt" else state, path)
    assert load_weights(network, read_state(path), head_tensors(spec, 3), "resnet18") == ["fc.bias", "fc.weight"]
    assert torch.equal(network.conv1.weight, before.conv1.weight)
    assert 0 < network.fc.weight.abs().max() < 0.1
    assert not network.fc.bias.any()


def test_head_of_the_same_size_is_kept() -> None:
    spec = ModelSpec(name="cifarnet")
    before, network = build_network(spec, 3), build_network(spec, 3)
    assert load_weights(network, before.state_dict(), head_tensors(spec, 3), "cifarnet") == []
    assert torch.equal(network.head.weight, before.head.weight)


def test_other_mismatches_name_the_tensors() -> None:
    spec = ModelSpec(name="resnet18")
    network = build_network(spec, 3)
    state: dict[str, Tensor] = dict(network.state_dict())
    del state["bn1.bias"]
    state["extra"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(1, 2)
    with pytest.raises(
        OnsightError, match=r"bn1\.bias is missing, extra is unknown, conv1\.weight is \[1, 2\], not \[64, 3, 7, 7\]"
    ):
        load_weights(network, state, head_tensors(spec, 3), "resnet18")


class _Bomb:
    def __reduce__(self) -> Any:
        return print, ("boom",)


def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"a": _Bomb()}}, tmp_path / "bomb.pth")
    with pytest.raises(OnsightError, match="would run code when loaded, and is refused"):
        read_state(tmp_path / "bomb.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["short.pth", "short.safetensors", "missing.pth", "list.pth"])
def test_files_that_are_no_weights(tmp_path: Path, name: str) -> None:
    for short in ("short.pth", "short.safetensors"):
        (tmp_path / short).write_bytes(b"PK\x03\x04 not whole")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(OnsightError, match=name.replace(".", r"\.")):
        read_state(tmp_path / name)


def test_packaged_weights_are_for_one_network_only() -> None:
    network = build_network(ModelSpec(name="resnet18"), 3)
    with pytest.raises(ConfigError, match="holds the weights of timm:tf_efficientnet_lite0"):
        choose_state(PACKAGED, "torchvision", "resnet18", network)


def test_freezer_follows_its_schedule_and_keeps_statistics() -> None:
    network = build_network(ModelSpec(name="resnet18"), 3).train()
    freezer = Freezer(network, {0: "head", 2: 3, 4: "all"})
    before = network.bn1.running_mean.clone()
    assert [freezer.apply(epoch) for epoch in range(5)] == [1, 1, 3, 3, len(blocks_of(network))]
    freezer.apply(0)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"fc.weight", "fc.bias"}
    network(torch.rand(2, 3, 32, 32))
    assert torch.equal(network.bn1.running_mean, before)
    freezer.apply(2)
    assert {n.partition(".")[0] for n, p in network.named_parameters() if p.requires_grad} == {"layer4", "fc"}
    freezer.apply(4)
    network(torch.rand(2, 3, 32, 32))
    assert not torch.equal(network.bn1.running_mean, before)


def test_freezer_refuses_more_blocks_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"asks for 99 blocks, but the network has 10"):
        Freezer(build_network(ModelSpec(name="resnet18"), 3), {0: 99})
