from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from training.augment import Mixer, build_augment
from training.inputs import plan_inputs
from training.recipe import AugmentSpec, InputSpec, ModelSpec

INPUTS = plan_inputs(ModelSpec(name="cifarnet"), InputSpec())


def _picture(height: int = 32, width: int = 32) -> Tensor:
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": "random-resized"},
        {"crop": "pad"},
        {"flip": 1.0},
        {"flip_vertical": 1.0},
        {"rotation": 90.0},
        {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.2},
        {"policy": "rand"},
        {"policy": "trivial"},
        {"erasing": 1.0},
    ],
    ids=lambda changes: next(iter(changes)) + str(next(iter(changes.values()))),
)
def test_each_augmentation_changes_the_picture_and_keeps_its_form(changes: dict[str, Any]) -> None:
    augment = build_augment(AugmentSpec(**{"crop": "none", "flip": 0.0, **changes}), INPUTS)
    torch.manual_seed(1)
    results = [augment(_picture()) for _ in range(4)]
    assert {(each.dtype, tuple(each.shape)) for each in results} == {(torch.uint8, (3, 32, 32))}
    assert any(not torch.equal(each, _picture()) for each in results)


def test_nothing_asked_for_changes_nothing() -> None:
    augment = build_augment(AugmentSpec(crop="none", flip=0.0), INPUTS)
    assert torch.equal(augment(_picture()), _picture())


def test_flip_is_a_flip() -> None:
    assert torch.equal(build_augment(AugmentSpec(crop="none", flip=1.0), INPUTS)(_picture()), _picture().flip(-1))


def test_random_resized_crop_makes_any_picture_fit() -> None:
    assert build_augment(AugmentSpec(), INPUTS)(_picture(50, 200)).shape == (3, 32, 32)


def test_same_seed_same_pictures() -> None:
    augment = build_augment(AugmentSpec(policy="rand", erasing=0.5, rotation=10), INPUTS)
    torch.manual_seed(3)
    first = augment(_picture())
    torch.manual_seed(3)
    assert torch.equal(augment(_picture()), first)


@pytest.mark.parametrize(("spec", "kind"), [({"mixup": 0.4}, v2.MixUp), ({"cutmix": 1.0}, v2.CutMix)])
def test_mixing_gives_shares_of_the_classes(spec: dict[str, float], kind: type) -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    torch.manual_seed(0)
    mixed, shares = Mixer(AugmentSpec(**spec), 3)(images, labels)
    assert mixed.shape == images.shape
    assert not torch.equal(mixed, images)
    assert shares.shape == (4, 3)
    assert torch.allclose(shares.sum(1), torch.ones(4))


def test_both_mixers_take_turns_and_chance_leaves_batches_alone() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    mixer = Mixer(AugmentSpec(mixup=0.4, cutmix=1.0, mix_chance=0.5), 3)
    torch.manual_seed(0)
    results = [mixer(images, labels)[1] for _ in range(40)]
    assert {each.ndim for each in results} == {1, 2}
    assert Mixer(AugmentSpec(), 3)(images, labels)[0] is images
