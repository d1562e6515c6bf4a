from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.preprocess import plan_geometry, write_input
from pipeline.sources.images import read_image
from training import dataset
from training.augment import build_augment
from training.dataset import Draw, Pictures, limit_per_class, save_sheet
from training.inputs import plan_inputs
from training.loading import Draws, Loader, choose_workers, class_weights
from training.recipe import AugmentSpec, InputSpec, ModelSpec
from training.samples import Sample

INPUTS = plan_inputs(ModelSpec(name="timm:tf_efficientnet_lite0"), InputSpec(size=48))
AUGMENT = build_augment(AugmentSpec(), INPUTS)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    found = []
    for i in range(10):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (70 + i, 120, 3), dtype=np.uint8))
        found.append(Sample(path, i % 3, None))
    return found


def test_validation_pictures_are_those_of_the_runtime(samples: list[Sample]) -> None:
    batch = Pictures(samples, INPUTS).__getitems__(Draw(0, (3,)))
    image = read_image(samples[3].path)
    expected = np.empty((48, 48, 3), np.uint8)
    write_input(image, plan_geometry(*image.shape[:2], INPUTS.input, INPUTS.resize), expected)
    assert np.array_equal(batch.images_B3HW[0].permute(1, 2, 0).numpy()[..., ::-1], expected)
    assert batch.labels_B.tolist() == [0]


def test_seed_of_a_draw_decides_and_the_global_generator_is_left_alone(samples: list[Sample]) -> None:
    pictures = Pictures(samples, INPUTS, AUGMENT, shrink=2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (pictures.__getitems__(Draw(seed, (1, 2))).images_B3HW for seed in (7, 7, 8))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_alternate_flip_mirrors_each_picture_in_every_second_epoch(samples: list[Sample]) -> None:
    plain, flipped = Pictures(samples, INPUTS), Pictures(samples, INPUTS, alternate=True)
    everything = tuple(range(10))
    images = plain.__getitems__(Draw(0, everything)).images_B3HW
    even, odd, again = (flipped.__getitems__(Draw(0, everything, epoch)).images_B3HW for epoch in (0, 1, 2))
    assert torch.equal(even, odd.flip(3))
    assert torch.equal(even, again)
    mirrored = [torch.equal(image, other.flip(2)) for image, other in zip(images, even, strict=True)]
    assert 0 < sum(mirrored) < 10
    assert all(torch.equal(image, other) for image, other, is_ in zip(images, even, mirrored, strict=True) if not is_)


@pytest.mark.parametrize("workers", [0, 1])
def test_kept_pictures_are_the_same(samples: list[Sample], workers: int) -> None:
    fresh, kept = (Pictures(samples, INPUTS, AUGMENT, shrink=1.5) for _ in range(2))
    assert kept.keep(1, workers)
    draw = Draw(1, tuple(range(10)))
    assert torch.equal(fresh.__getitems__(draw).images_B3HW, kept.__getitems__(draw).images_B3HW)


def test_pictures_that_need_too_much_memory_are_not_kept(samples: list[Sample]) -> None:
    assert not Pictures(samples, INPUTS).keep(50e-6, 0)


@pytest.mark.parametrize(
    ("method", "workers", "expected"), [("fork", 1, True), ("spawn", 0, True), ("spawn", 1, False)]
)
def test_pictures_are_kept_without_shared_memory_where_it_is_not_needed(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch, method: str, workers: int, expected: bool
) -> None:
    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    monkeypatch.setattr(dataset, "get_start_method", lambda: method)
    pictures = Pictures(samples, INPUTS)
    assert pictures.keep(1, workers) is expected
    assert len(pictures.__getitems__(Draw(0, tuple(range(10)))).images_B3HW) == 10


@pytest.mark.parametrize("keep", [False, True])
def test_unreadable_pictures_are_left_out_and_named(samples: list[Sample], tmp_path: Path, keep: bool) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    pictures = Pictures([*samples[:2], Sample(broken, 2, None)], INPUTS)
    if keep:
        assert pictures.keep(1, 0)
    batch = pictures.__getitems__(Draw(0, (0, 2, 1)))
    assert batch.labels_B.tolist() == [0, 1]
    assert batch.failed == [str(broken)]
    assert pictures.__getitems__(Draw(0, (2,))).images_B3HW.shape == (0, 3, 48, 48)


def test_uniform_draws_take_each_sample_once_and_differ_by_epoch() -> None:
    draws = Draws([0] * 10, 5, 0, "uniform")
    epochs = []
    for epoch in (0, 1, 0):
        draws.set_epoch(epoch)
        epochs.append(list(draws))
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(i for draw in epochs[0] for i in draw.indices) == list(range(10))
    assert len({draw.seed for draw in epochs[0] + epochs[1]}) == 4


def test_incomplete_batch_is_left_out_unless_it_is_the_only_one_or_nothing_is_shuffled() -> None:
    assert [len(draw.indices) for draw in Draws([0] * 11, 4, 0, "uniform")] == [4, 4]
    assert [len(draw.indices) for draw in Draws([0] * 3, 4, 0, "uniform")] == [3]
    assert [len(draw.indices) for draw in Draws([0] * 11, 4, 0, None)] == [4, 4, 3]


def test_devices_share_an_epoch() -> None:
    parts = [list(_share(Draws([0] * 12, 3, 0, "uniform"), rank)) for rank in range(2)]
    assert sorted(i for part in parts for draw in part for i in draw.indices) == list(range(12))
    assert len({draw.seed for part in parts for draw in part}) == 4


def test_devices_have_equally_many_batches_of_validation() -> None:
    parts = [list(_share(Draws([0] * 9, 4, 0, None), rank)) for rank in range(2)]
    assert [[draw.indices for draw in part] for part in parts] == [[(0, 2, 4, 6), (8,)], [(1, 3, 5, 7), ()]]


def _share(draws: Draws, rank: int) -> Draws:
    draws.share(rank, 2)
    return draws


def test_balanced_draws_meet_rare_classes_as_often() -> None:
    labels = [0] * 900 + [1] * 100
    drawn = [labels[i] for draw in Draws(labels, 100, 0, "balanced") for i in draw.indices]
    assert 400 < sum(drawn) < 600


def test_loader_goes_on_within_an_epoch_and_counts_the_waiting(samples: list[Sample]) -> None:
    def make() -> Loader:
        return Loader(Pictures(samples, INPUTS, AUGMENT, 2), Draws([0] * 10, 2, 0, "uniform"), 0, pin=False)

    whole, cut, rest = make(), make(), make()
    batches = list(whole)
    begun = iter(cut)
    next(begun), next(begun)
    rest.load_state_dict(cut.state_dict())
    assert rest.state_dict() == {"given": 0}
    remaining = list(rest)
    assert [each.labels_B.tolist() for each in remaining] == [each.labels_B.tolist() for each in batches[2:]]
    assert all(torch.equal(a.images_B3HW, b.images_B3HW) for a, b in zip(remaining, batches[2:], strict=True))
    assert len(list(rest)) == 5
    assert whole.waited > 0


def test_processes_give_the_same_batches(samples: list[Sample]) -> None:
    ours, theirs = (
        list(Loader(Pictures(samples, INPUTS, AUGMENT, 2), Draws([0] * 10, 4, 0, "uniform"), n, pin=False))
        for n in (0, 2)
    )
    assert all(torch.equal(a.images_B3HW, b.images_B3HW) for a, b in zip(ours, theirs, strict=True))


def test_limit_per_class(samples: list[Sample]) -> None:
    assert limit_per_class(samples, None, 0) == tuple(samples)
    few = limit_per_class(samples, 2, 0)
    assert [sum(each.label == label for each in few) for label in range(3)] == [2, 2, 2]
    assert few == limit_per_class(samples, 2, 0) != limit_per_class(samples, 2, 1)


def test_rare_classes_weigh_more() -> None:
    weights = class_weights([Sample(Path(), label, None) for label in (0, 0, 0, 1)], 2)
    assert weights.tolist() == pytest.approx([2 / 3, 2])


def test_workers() -> None:
    assert choose_workers(3) == 3
    assert 0 <= choose_workers(None) <= 16


def test_sheet_shows_pictures(samples: list[Sample], tmp_path: Path) -> None:
    save_sheet(Pictures(samples, INPUTS, AUGMENT, 2), tmp_path / "sheet.jpg", 9, 0)
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (2 * 50 + 2, 8 * 50 + 2, 3)
