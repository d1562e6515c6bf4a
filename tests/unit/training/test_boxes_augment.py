"""Boxes go with what they enclose, whatever happens to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.shapes import CLASSES, write_shapes

from pipeline.errors import SourceError
from pipeline.preprocess import plan_geometry, write_input
from pipeline.sources.images import read_image
from training.annotated import AnnotatedImage, read_annotated
from training.box_dataset import BoxBatch, BoxPictures
from training.boxes_augment import BoxAugment, Boxed, jitter, join
from training.dataset import Draw, save_sheet
from training.inputs import Inputs, plan_inputs
from training.recipe import AugmentSpec, InputSpec, ModelSpec

NOTHING = {"crop": "none", "flip": 0.0}
KINDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "mirror": {"flip": 1.0},
    "upside down": {"flip_vertical": 1.0},
    "zoom out": {"zoom_out": 1.0},
    "part": {"iou_crop": 1.0},
    "scale": {"scale_jitter": (0.5, 2.0)},
    "mosaic": {"mosaic": 1.0},
    "all": {"mosaic": 0.5, "zoom_out": 0.5, "iou_crop": 0.5, "flip": 0.5, "flip_vertical": 0.5},
}


def plan(rule: Any, size: int = 128) -> Inputs:
    return plan_inputs(ModelSpec(name="fcos", backbone="timm:test_efficientnet"), InputSpec(size=size, rule=rule))


def augment(**keys: Any) -> BoxAugment:
    return BoxAugment(AugmentSpec(**{**NOTHING, **keys}), 114)


def pictures(samples: Any, inputs: Inputs, classes: tuple[str, ...] = CLASSES, **keys: Any) -> BoxPictures:
    return BoxPictures(samples, inputs, augment(**keys), 2.0, classes)


def annotate(path: Path, image: np.ndarray, boxes: Any, labels: Any, crowd: Any = None) -> AnnotatedImage:
    cv2.imwrite(str(path), image)
    count = len(labels)
    return AnnotatedImage(
        path, image.shape[1], image.shape[0],
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64),
        np.zeros(count, bool) if crowd is None else np.array(crowd, bool), np.ones(count),
    )  # fmt: skip


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedImage]:
    """Four pictures with a box each in grey of its own, by which it is found again wherever it went."""
    folder = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(1)
    found = []
    for label, (height, width) in enumerate(((96, 160), (160, 128), (120, 120), (200, 80))):
        x1, y1 = rng.integers(0, width // 2), rng.integers(0, height // 2)
        x2, y2 = x1 + rng.integers(20, width // 2), y1 + rng.integers(20, height // 2)
        image = np.zeros((height, width, 3), np.uint8)
        image[y1:y2, x1:x2] = _shade(label)
        found.append(annotate(folder / f"{label}.png", image, [(x1, y1, x2, y2)], [label]))
    return found


def _shade(label: int) -> int:
    return 150 + 30 * label


def assert_enclosed(image_3HW: torch.Tensor, boxes_N4: torch.Tensor, labels_N: torch.Tensor) -> int:
    """Each box encloses the pixels of its shade. Returns how many were looked at."""
    image_HW, looked = image_3HW[0].numpy(), 0
    for box, label in zip(boxes_N4, labels_N.tolist(), strict=True):
        ys, xs = np.nonzero(np.abs(image_HW.astype(int) - _shade(label)) <= 8)
        if not len(ys):  # of a sliver all pixels may be mixed
            assert (box[2:] - box[:2]).min() < 4
            continue
        drawn = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert (box - drawn).abs().max() < 3.5, (label, box, drawn)
        looked += 1
    return looked


@pytest.mark.parametrize("rule", ["letterbox", "stretch"])
@pytest.mark.parametrize("kind", [kind for kind, keys in KINDS.items() if "mosaic" not in keys])
def test_box_encloses_what_was_painted(painted: list[AnnotatedImage], kind: str, rule: str) -> None:
    loader = pictures(painted, plan(rule), tuple("abcd"), **KINDS[kind])
    looked = 0
    for seed in range(25):
        batch = loader.__getitems__(Draw(seed, (0, 1, 2, 3)))
        assert batch.images_B3HW.shape == (4, 3, 128, 128)
        for image, target in zip(batch.images_B3HW, batch.targets, strict=True):
            looked += assert_enclosed(image, target["boxes"], target["labels"])
    assert looked > 80


@pytest.mark.parametrize("kind", ["mosaic", "all"])
def test_box_encloses_what_was_painted_in_a_mosaic(painted: list[AnnotatedImage], kind: str) -> None:
    loader = pictures(painted, plan("letterbox"))
    given = [
        Boxed(loader[i], torch.from_numpy(each.boxes_N4), torch.from_numpy(each.labels_N))
        for i, each in enumerate(painted)
    ]
    change, looked = augment(**KINDS[kind]), 0
    for seed in range(100):
        torch.manual_seed(seed)
        looked += assert_enclosed(*change(given))
    assert looked > 80


def test_kinds_of_augmentation_really_happen(painted: list[AnnotatedImage]) -> None:
    plain = pictures(painted, plan("stretch"), tuple("abcd")).__getitems__(Draw(3, (0, 1, 2, 3)))
    for kind, keys in KINDS.items():
        other = pictures(painted, plan("stretch"), tuple("abcd"), **keys).__getitems__(Draw(3, (0, 1, 2, 3)))
        assert torch.equal(plain.images_B3HW, other.images_B3HW) == (kind == "nothing"), kind


def test_mosaic_drops_boxes_whose_centre_is_gone() -> None:
    whole = torch.full((3, 40, 60), 200, dtype=torch.uint8)
    boxes_N4, labels_N = torch.tensor([[0.0, 0, 60, 40]]), torch.tensor([0])
    torch.manual_seed(0)
    for _ in range(50):
        joined = join([Boxed(whole, boxes_N4, labels_N + i) for i in range(4)], 114)
        assert joined.image_3HW.min() == 200  # four pictures of one size leave no gap
        assert len(joined.labels_N) < 4
        assert (joined.boxes_N4[:, 2:] > joined.boxes_N4[:, :2]).all()
        assert ((joined.boxes_N4 >= 0) & (joined.boxes_N4 <= torch.tensor([60, 40, 60, 40]))).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_scale_jitter_keeps_the_size_of_the_picture(factor: float) -> None:
    image = torch.full((3, 40, 60), 200, dtype=torch.uint8)
    image[:, 10:20, 20:40] = 50
    given = Boxed(image, torch.tensor([[20.0, 10, 40, 20], [0, 0, 60, 40]]), torch.tensor([0, 1]))
    torch.manual_seed(0)
    kept, places = set(), set()
    for _ in range(40):
        image_3HW, boxes_N4, labels_N = jitter(given, (factor, factor), 114)
        assert image_3HW.shape == image.shape
        assert int((image_3HW == 114).sum()) == (3 * 40 * 60 * 3 // 4 if factor < 1 else 0)
        assert ((boxes_N4 >= 0) & (boxes_N4 <= torch.tensor([60, 40, 60, 40]))).all()
        kept.add(tuple(labels_N.tolist()))
        for box, label in zip(boxes_N4.int().tolist(), labels_N.tolist(), strict=True):
            if label == 0:
                x1, y1, x2, y2 = box
                assert int((image_3HW[0, y1:y2, x1:x2] < 125).float().mean().ge(0.8))
                places.add((x1, y1))
    assert (len(places) > 10) == (factor != 1)
    assert kept >= {(0, 1), (1,)} if factor > 1 else kept == {(0, 1)}  # a part may miss the small one


def test_scale_jitter_is_off_unless_asked_for() -> None:
    assert AugmentSpec().scale_jitter is None
    with pytest.raises(ValueError, match="'scale_jitter' begins with its smaller number, not with 2"):
        AugmentSpec(scale_jitter=(2.0, 0.5))


@pytest.mark.parametrize("rule", ["letterbox", "stretch"])
def test_picture_that_nothing_happens_to_is_that_of_the_runtime(painted: list[AnnotatedImage], rule: str) -> None:
    inputs = plan(rule)
    batch = pictures(painted, inputs).__getitems__(Draw(0, (1,)))
    image = read_image(painted[1].path)
    geometry = plan_geometry(*image.shape[:2], inputs.input, inputs.resize)
    expected = np.empty((128, 128, 3), np.uint8)
    write_input(image, geometry, expected)
    assert np.array_equal(batch.images_B3HW[0].permute(1, 2, 0).numpy()[..., ::-1], expected)
    assert np.allclose(geometry.to_frame(batch.targets[0]["boxes"].numpy()), painted[1].boxes_N4, atol=1e-3)


def test_seed_of_a_draw_decides(painted: list[AnnotatedImage]) -> None:
    loader = pictures(painted, plan("letterbox"), tuple("abcd"), **KINDS["all"], brightness=0.3)
    first, again, other = (loader.__getitems__(Draw(seed, (0, 1, 2, 3))) for seed in (7, 7, 8))
    assert torch.equal(first.images_B3HW, again.images_B3HW)
    pairs = zip(first.targets, again.targets, strict=True)
    assert all(torch.equal(a[key], b[key]) for a, b in pairs for key in ("boxes", "labels"))
    assert not torch.equal(first.images_B3HW, other.images_B3HW)


def test_kept_pictures_are_the_same(painted: list[AnnotatedImage]) -> None:
    fresh, kept = (pictures(painted, plan("letterbox"), **KINDS["all"]) for _ in range(2))
    assert kept.keep(1, 0)
    draw = Draw(1, (0, 1, 2, 3))
    assert torch.equal(fresh.__getitems__(draw).images_B3HW, kept.__getitems__(draw).images_B3HW)


def test_crowds_are_left_out_and_boxes_cut_at_the_edge(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    boxes = [(-10, 5, 20, 30), (5, 5, 60, 60), (70, 0, 90, 20)]
    sample = annotate(tmp_path / "a.png", image, boxes, [0, 1, 1], [False, True, False])
    target = pictures([sample], plan("stretch", 64)).__getitems__(Draw(0, (0,))).targets[0]
    assert target["boxes"].tolist() == [[0, 5, 20, 30]]
    assert target["labels"].tolist() == [0]


def test_picture_without_boxes_goes_through(tmp_path: Path) -> None:
    sample = annotate(tmp_path / "a.png", np.full((64, 64, 3), 90, np.uint8), [], [])
    loader = pictures([sample], plan("letterbox"), **{**KINDS["all"], "mosaic": 1.0, "iou_crop": 1.0})
    batch: BoxBatch = loader.__getitems__(Draw(0, (0, 0, 0)))
    assert [len(each["boxes"]) for each in batch.targets] == [0, 0, 0]
    assert batch.targets[0]["boxes"].shape == (0, 4)


def test_broken_picture_is_left_out_and_named(painted: list[AnnotatedImage], tmp_path: Path) -> None:
    broken = annotate(tmp_path / "broken.png", np.zeros((9, 9, 3), np.uint8), [(0, 0, 5, 5)], [0])
    broken.path.write_bytes(b"no picture")
    turned = annotate(tmp_path / "turned.png", np.zeros((40, 30, 3), np.uint8), [(0, 0, 5, 5)], [0])
    cv2.imwrite(str(turned.path), np.zeros((30, 40, 3), np.uint8))
    loader = pictures([*painted, broken, turned], plan("letterbox"), **{**KINDS["all"], "mosaic": 1.0})
    batch = loader.__getitems__(Draw(0, (4, 0, 5)))
    assert batch.failed == [str(broken.path), str(turned.path)]
    assert len(batch.images_B3HW) == len(batch.targets) == 1
    with pytest.raises(SourceError, match="pixels upright, and"):
        loader[5]


def test_sheet_shows_the_boxes(tmp_path: Path) -> None:
    samples = read_annotated(write_shapes(tmp_path / "data") / "train", CLASSES).images
    loader = pictures(samples, plan("letterbox"))
    save_sheet(loader, tmp_path / "sheet.jpg", 8, 0)
    plain = loader.__getitems__(Draw(0, tuple(range(8)))).images_B3HW
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[1] > 8 * 128
    assert (loader.draw_sheet(Draw(0, tuple(range(8)))) != plain).flatten(1).any(1).all()
