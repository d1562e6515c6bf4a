"""Real pictures: to try an exported file on, and to calibrate it with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import ModelContract
from pipeline.errors import SourceError
from pipeline.preprocess import plan_geometry, write_input
from pipeline.sources.images import read_image
from pipeline.types import Image
from training.folders import images_below


def find_pictures(folder: Path, flag: str, count: int) -> list[Path]:
    """Images from all over `folder`, at any depth: no more than `count`, and only such as can be read.

    Args:
        flag: of the command line, which named the folder.

    Raises:
        SourceError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; give {flag} a folder with pictures")
    paths, _ = images_below(folder)
    if not paths:
        raise SourceError(f"{folder} holds no images; give {flag} a folder with pictures")
    return spread(paths, count)


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """No more than `count` of them, at equal distances, without those that cannot be read.

    Raises:
        SourceError: none of them can be.
    """
    chosen = [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(count, len(paths)))]
    readable = [path for path in chosen if _is_readable(path)]
    if not readable:
        read_image(chosen[0])  # raises, and says why
    return readable


def _is_readable(path: Path) -> bool:
    try:
        read_image(path)
    except SourceError:
        return False
    return True


def fingerprint(paths: Sequence[Path], notes: Sequence[str] = ()) -> str:
    """SHA-256 over the content of the files, and over what is known of them."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    digest.update("\n".join(notes).encode())
    return digest.hexdigest()


def photographs() -> list[Image]:
    """Eight pictures, uint8 [H, W, 3], BGR: parts of two photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    found = []
    for image in load_sample_images().images:
        rows, columns = (side // 2 for side in image.shape[:2])
        parts = [image[y : y + rows, x : x + columns] for y in (0, rows) for x in (0, columns)]
        found += [np.ascontiguousarray(part[..., ::-1]) for part in parts]
    return found


def as_inputs(paths: Sequence[Path], contract: ModelContract) -> Iterator[NDArray[np.uint8]]:
    """Each picture as the batch of one, uint8 [1, H, W, 3], that the runtime makes of it for a model."""
    for path in paths:
        image = read_image(path)
        geometry = plan_geometry(*image.shape[:2], contract.input, contract.resize)
        inputs_1HW3 = np.empty((1, geometry.height, geometry.width, 3), np.uint8)
        write_input(image, geometry, inputs_1HW3[0])
        yield inputs_1HW3
