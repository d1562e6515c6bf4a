"""Detection data that a small network can learn: dark squares and bright discs on grey noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from support.annotations import Object, Scene, write_coco

CLASSES = ("square", "disc")
SIZE = (96, 72)


def write_shapes(root: Path, train: int = 12, val: int = 4, test: int = 4) -> Path:
    """`root/train.json`, `val.json`, `test.json` and `root/images/`, of 96 x 72 pixels; one to three objects each."""
    rng = np.random.default_rng(0)
    splits = {
        split: [Scene(f"{split}{i}", _objects(rng), SIZE) for i in range(count)]
        for split, count in (("train", train), ("val", val), ("test", test))
        if count
    }
    write_coco(root, splits, CLASSES)
    for scenes in splits.values():
        for scene in scenes:
            cv2.imwrite(str(root / "images" / f"{scene.name}.png"), _paint(rng, scene))
    return root


def _objects(rng: np.random.Generator) -> list[Object]:
    """In different thirds of the picture."""
    found = []
    for third in rng.permutation(3)[: rng.integers(1, 4)]:
        side = int(rng.integers(16, 30))
        x, y = 32 * int(third) + int(rng.integers(0, 32 - side + 1)), int(rng.integers(0, SIZE[1] - side))
        found.append(Object(CLASSES[int(rng.integers(2))], (x, y, x + side, y + side)))
    return found


def _paint(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    image = rng.integers(90, 150, (scene.size[1], scene.size[0], 3), dtype=np.uint8)
    for label, box, _ in scene.objects:
        x1, y1, x2, y2 = (int(each) for each in box)
        if label == "square":
            image[y1:y2, x1:x2] = (20, 20, 60)
        else:
            cv2.circle(image, ((x1 + x2) // 2, (y1 + y2) // 2), (x2 - x1) // 2, (230, 240, 200), -1)
    return image
