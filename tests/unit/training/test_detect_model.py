"""Detectors on backbones of choice: they are built, take weights, learn, and say what they cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models as tv

from pipeline.errors import ConfigError, OnsightError
from training.backbones import build_backbone, load_backbone
from training.blocks import Freezer, blocks_of, depths
from training.detect_model import build_trainable, fill_detector
from training.models import efficientnet_lite0
from training.raw_heads import DetectorHead, RawDetector
from training.recipe import ModelSpec, Recipe
from training.tasks import check_task

TINY = "timm:test_efficientnet"
STRIDES = (8, 16, 32)
FAMILIES = ("fcos", "retinanet", "ssdlite")


def spec(name: str, **keys: object) -> ModelSpec:
    small = {} if name == "ssdlite" else {"width": 32, "depth": 1}
    return ModelSpec.model_validate({"name": name, "backbone": TINY, **small, **keys})


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_falls_on_one_batch(family: str) -> None:
    torch.manual_seed(0)
    network = build_trainable(spec(family), 2, 160)
    images = torch.rand(2, 3, 160, 160)
    images[0, :, 8:40, 8:40] += 2
    images[1, :, 20:60, 4:36] -= 2
    targets = [
        {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([1])},
        {"boxes": torch.tensor([[4.0, 20, 36, 60]]), "labels": torch.tensor([2])},
    ]
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = sum(network(list(images), targets).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3]), losses


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ssd300_vgg16", 300),
        ("ssdlite320_mobilenet_v3_large", 320),
        ("retinanet_resnet50_fpn", 160),
        ("fcos_resnet50_fpn", 160),
    ],
)
def test_every_parameter_of_a_detector_of_torchvision_learns(name: str, size: int) -> None:
    torch.manual_seed(0)
    network = build_trainable(ModelSpec(name=name, weights="none"), 2, size)
    sides = torch.tensor([0.07, 0.15, 0.2, 0.33, 0.5, 0.65, 0.8, 0.95, 1.0]) * size  # an object for every level
    target = {"boxes": torch.stack([sides * 0, sides * 0, sides, sides], 1), "labels": torch.arange(9) % 2 + 1}
    parameters = dict(network.named_parameters())
    before = {key: parameter.detach().clone() for key, parameter in parameters.items()}
    assert all(parameter.requires_grad for parameter in parameters.values())
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    loss = sum(network([torch.rand(3, size, size) for _ in range(2)], [target] * 2).values())
    loss.backward()
    optimiser.step()
    assert torch.isfinite(loss)
    assert [key for key, parameter in parameters.items() if parameter.grad is None] == []
    assert [key for key, parameter in parameters.items() if torch.equal(parameter, before[key])] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_anchors_of_the_file_are_those_that_were_trained(family: str) -> None:
    network = build_trainable(spec(family), 2, 160)
    head = DetectorHead(network, 160, 160, background=False)
    seen = []
    network.anchor_generator.register_forward_hook(lambda *given: seen.append(given[2][0]))
    network.train()(
        [torch.rand(3, 160, 160)] * 2, [{"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([1])}] * 2
    )
    size_N2 = seen[0][:, 2:] - seen[0][:, :2]
    assert torch.allclose(head.anchors[:, :2], seen[0][:, :2] + size_N2 / 2, atol=1e-4)
    rebuilt = DetectorHead(build_trainable(spec(family), 2, 160), 160, 160, background=False)
    assert torch.equal(head.anchors, rebuilt.anchors)


def test_anchors_reach_from_small_to_the_whole_input() -> None:
    sides = DetectorHead(build_trainable(spec("retinanet"), 2, 320), 320, 320).anchors[:, 2:].prod(1).sqrt()
    assert 15 < sides.min() < 17
    assert 320 < sides.max() < 420


@pytest.mark.parametrize("name", ["torchvision:ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"])
def test_detectors_of_torchvision_do_nothing_to_their_input(name: str) -> None:
    network = build_trainable(ModelSpec(name=name), 2, 320)
    assert network.training
    images = torch.rand(2, 3, 320, 320)
    found, _ = network.transform(list(images), None)
    assert torch.equal(found.tensors, images)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "regnet_y_400mf", "mnasnet0_5"])
def test_backbone_of_torchvision(name: str) -> None:
    network, channels = build_backbone(f"torchvision:{name}", STRIDES)
    maps = network.eval()(torch.rand(1, 3, 64, 64))
    assert [tuple(each.shape) for each in maps] == [
        (1, count, 64 // stride, 64 // stride) for count, stride in zip(channels, STRIDES, strict=True)
    ]


def test_backbone_of_torchvision_takes_the_weights_of_the_classifier(tmp_path: Path) -> None:
    whole = tv.resnet18()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    network, _ = build_backbone("torchvision:resnet18", STRIDES)
    assert load_backbone(network, "torchvision:resnet18", str(tmp_path / "whole.pth"))
    images = torch.rand(1, 3, 64, 64)
    stem = nn.Sequential(*list(whole.eval().children())[:-2])
    assert torch.equal(network.eval()(images)[-1], stem(images))


def test_backbone_of_timm_takes_the_weights_of_the_package() -> None:
    network, channels = build_backbone("timm:tf_efficientnet_lite0", STRIDES)
    assert load_backbone(network, "timm:tf_efficientnet_lite0", "package:efficientnet-lite0")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = efficientnet_lite0().forward_intermediates(images, intermediates_only=True)[-3:]
        found = network.eval()(images)
    assert channels == [40, 112, 320]
    assert all(torch.allclose(each, other, atol=1e-5) for each, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm:vit_tiny_patch16_224", r"at the strides 8, 16, 32 \(only at 16\)"),
        ("torchvision:vit_b_16", r"no feature maps"),
        ("cifarnet", r"cifarnet cannot be a backbone"),
        ("timm:efficientnet_lite00", r"there is no model 'timm:efficientnet_lite00'; did you mean"),
    ],
)
def test_networks_that_are_no_backbones_say_so(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        build_backbone(name, STRIDES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "size", "reason"),
    [
        (spec("fcos", backbone=None), 64, r"fcos needs a backbone: set model\.backbone"),
        (ModelSpec(name="fcos_resnet50_fpn", backbone=TINY), 64, r"has a backbone: leave out model\.backbone"),
        (ModelSpec(name="fasterrcnn_resnet50_fpn"), 64, r"is a detector that cannot be exported"),
        (ModelSpec(name="ssd300_vgg16"), 320, r"anchors of ssd300_vgg16 are made for 300 x 300 pixels alone"),
        (spec("retinanet"), 200, r"an input of multiples of 32 pixels, not 200 x 200"),
        (spec("retinanet"), 96, r"the pyramid of retinanet takes an input of 160 pixels or more, not 96"),
        (spec("fcos", width=48), 160, r"'model\.width' has to be a multiple of 32"),
    ],
)
def test_impossible_detectors_are_refused(model: ModelSpec, size: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        build_trainable(model, 2, size)
    assert "\n" not in str(caught.value)


def test_weights_of_a_detector_with_other_classes_leave_the_head_new(tmp_path: Path) -> None:
    theirs = build_trainable(spec("fcos"), 5, 160)
    torch.save(theirs.state_dict(), tmp_path / "five.pth")
    model = spec("fcos", weights=str(tmp_path / "five.pth"))
    ours = build_trainable(model, 2, 160)
    fresh = ours.head.classification_head.cls_logits.bias.clone()
    assert fill_detector(ours, model, 2, 160) == f"weights: {model.weights}; the head is new for 2 classes"
    assert torch.equal(ours.backbone.fpn.layer_blocks[0][0].weight, theirs.backbone.fpn.layer_blocks[0][0].weight)
    assert torch.equal(ours.head.regression_head.bbox_reg.weight, theirs.head.regression_head.bbox_reg.weight)
    assert torch.equal(ours.head.classification_head.cls_logits.bias, fresh)


def test_weights_of_another_backbone_are_refused() -> None:
    model = spec("fcos", weights="package:efficientnet-lite0")
    with pytest.raises(OnsightError, match=r"not of test_efficientnet"):
        fill_detector(build_trainable(model, 2, 160), model, 2, 160)


@pytest.mark.parametrize("family", FAMILIES)
def test_last_block_is_all_that_is_not_the_backbone(family: str) -> None:
    network = build_trainable(spec(family), 2, 160)
    blocks = blocks_of(network)
    of = depths(network)
    body = {name for name in of if name.startswith("backbone.body.")}
    assert {of[name] for name in of.keys() - body} == {len(blocks) - 1}
    assert len({of[name] for name in body}) == len(blocks) - 1 > 3

    Freezer(network, {0: "head"}).apply(0)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == of.keys() - body
    assert network.train().backbone.body.training
    Freezer(network, {0: "head"}).apply(0)
    norms = [module for module in network.backbone.body.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_raw_detector_leaves_a_network_in_training_alone() -> None:
    network = build_trainable(spec("fcos"), 2, 160).eval()
    raw = RawDetector(network)(torch.rand(1, 3, 160, 160))
    assert [each.shape[2] for each in raw] == [4, 3, 1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"model": {"name": "fcos", "dropout": 0.1}}, r"'model\.dropout' is for classifiers"),
        ({"model": {"name": "fcos"}, "augment": {"mixup": 0.2}}, r"'augment\.mixup' is for classifiers"),
        ({"model": {"name": "fcos"}, "augment": {"flip": "alternate"}}, r"augment\.flip=alternate is for classifiers"),
        ({"model": {"name": "fcos"}, "input": {"rule": "crop"}}, r"input\.rule=crop is for classifiers"),
        ({"model": {"name": "fcos"}, "run": {"monitor": "loss"}}, r"run\.monitor=loss is for classifiers"),
        ({"model": {"name": "resnet18"}, "augment": {"mosaic": 0.5}}, r"'augment\.mosaic' is for detectors"),
        ({"model": {"name": "resnet18", "backbone": TINY}}, r"'model\.backbone' is for detectors"),
        ({"model": {"name": "resnet18"}, "run": {"monitor": "map"}}, r"run\.monitor=map is for detectors"),
    ],
)
def test_keys_for_models_of_the_other_kind_are_refused(words: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_task(Recipe.model_validate({"data": {"path": "."}, **words}))


def test_recipe_knows_what_it_monitors() -> None:
    for name, expected in (("fcos", "map"), ("torchvision:ssd300_vgg16", "map"), ("fasternet_s", "accuracy")):
        recipe = Recipe.model_validate({"data": {"path": "."}, "model": {"name": name}})
        check_task(recipe)
        assert recipe.monitor == expected
