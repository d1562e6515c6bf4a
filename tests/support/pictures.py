"""Small sets of generated pictures that a small network can tell apart: a class is a colour, each picture a pattern."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (60, 80, 200), "green": (60, 180, 80), "red": (200, 70, 60), "yellow": (200, 190, 60)}
CLASSES = ("blue", "green", "red")


def draw_picture(label: str, seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture, height x width, of the class `label`, one of `COLOURS`. Other seeds give clearly other pictures."""
    rng = np.random.default_rng([seed, *label.encode()])
    pattern = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize(
        (size[1], size[0]), Image.Resampling.BICUBIC
    )
    pixels = 0.65 * np.asarray(pattern, np.float64) + 0.35 * np.array(COLOURS[label])
    return Image.fromarray(pixels.round().astype(np.uint8))


def write_folders(
    root: Path,
    count: int | Mapping[str, int],
    *,
    classes: Sequence[str] = CLASSES,
    size: tuple[int, int] = (32, 32),
    first: int = 0,
    suffix: str = ".png",
) -> Path:
    """Makes class folders `root/<class>/<number><suffix>`.

    Args:
        count: pictures of each class; a mapping gives each class its own number.
        first: number and seed of the first picture; disjoint ranges give different pictures.
    """
    counts = count if isinstance(count, Mapping) else dict.fromkeys(classes, count)
    for label, pictures in counts.items():
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + pictures):
            draw_picture(label, number, size).save(folder / f"{number}{suffix}")
    return root


def write_splits(
    root: Path,
    train: int = 8,
    val: int = 3,
    test: int = 3,
    *,
    classes: Sequence[str] = CLASSES,
    size: tuple[int, int] = (32, 32),
    suffix: str = ".png",
) -> Path:
    """Makes `root/train`, `root/val` and `root/test` with class folders; a split of 0 pictures is left out."""
    first = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        if count:
            write_folders(root / split, count, classes=classes, size=size, first=first, suffix=suffix)
        first += count
    return root


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Writes a CSV whose columns are the keys of the first row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
