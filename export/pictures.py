"""Real pictures to try an exported file on: the user's, or photographs that a package ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import SourceError
from pipeline.sources.images import read_image
from pipeline.types import Image
from training.folders import images_below

COUNT = 8


def trial_pictures(data: Path | None) -> list[Image]:
    """Eight pictures, uint8 [H, W, 3], BGR, of `data`; None: parts of two photographs that scikit-learn ships.

    Args:
        data: a folder with images at any depth; they are taken from all over it.

    Raises:
        SourceError: no such folder, or no image in it can be read.
    """
    if data is None:
        return _photographs()
    if not data.is_dir():
        raise SourceError(f"there is no folder {data}; give --data a folder with pictures")
    paths, _ = images_below(data)
    if not paths:
        raise SourceError(f"{data} holds no images; give --data a folder with pictures")
    return [read_image(path) for path in spread(paths, COUNT)]


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """No more than `count` of them, at equal distances."""
    return [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(count, len(paths)))]


def _photographs() -> list[Image]:
    from sklearn.datasets import load_sample_images

    found = []
    for image in load_sample_images().images:
        rows, columns = (side // 2 for side in image.shape[:2])
        parts = [image[y : y + rows, x : x + columns] for y in (0, rows) for x in (0, columns)]
        found += [np.ascontiguousarray(part[..., ::-1]) for part in parts]
    return found
