"""The binary version of CIFAR-10 and CIFAR-100, as class folders of PNG files. The pickled one is never read."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import ConfigError
from pipeline.sinks.partial import check_folder, partial_path, writing
from training.folders import read_lines

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


@dataclass(frozen=True, slots=True)
class _Version:
    names: str  # the file of the class names
    labels: int  # bytes before the pixels; the last one is the class
    train: tuple[str, ...]
    test: str


_VERSIONS = (
    _Version("batches.meta.txt", 1, tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
    _Version("fine_label_names.txt", 2, ("train.bin",), "test.bin"),
)


def unpack_cifar(folder: Path, output: Path) -> int:
    """Makes `output/train/<class>/<index>.png` and `output/test/…`; the index is the image's in the original order.

    The folder appears when it is whole.

    Returns:
        The number of images.

    Raises:
        ConfigError: `folder` is not the binary version of CIFAR, or a file of it is damaged.
        SinkError: `output` is there already, or cannot be written.
    """
    version = next((version for version in _VERSIONS if os.path.isfile(folder / version.names)), None)
    if version is None:
        raise ConfigError(
            f"{folder} is not CIFAR's binary version: it has neither of {_VERSIONS[0].names}, {_VERSIONS[1].names}"
        )
    names = [name for line in read_lines(folder / version.names) for name in line.split()]
    if bad := next((name for name in names if name in (".", "..") or {"/", "\\"} & set(name)), None):
        raise ConfigError(f"{folder / version.names} has the class name {bad!r}, which cannot be a folder: correct it")
    if output.exists():
        raise ConfigError(f"{output} exists: give a new name, or remove it")
    check_folder(output.parent)
    partial = partial_path(output)
    with writing(output):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            train = _unpack([folder / file for file in version.train], version.labels, names, partial / "train")
            test = _unpack([folder / version.test], version.labels, names, partial / "test")
            os.replace(partial, output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return train + test


def _unpack(files: list[Path], labels: int, names: list[str], output: Path) -> int:
    for name in names:
        (output / name).mkdir(parents=True)
    index = 0
    for file in files:
        for label, pixels_HW3 in zip(*_read(file, labels, len(names)), strict=True):
            Image.fromarray(pixels_HW3).save(output / names[label] / f"{index:05d}.png", compress_level=1)
            index += 1
    return index


def _read(file: Path, labels: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes uint8 [N] and the images uint8 [N, 32, 32, 3], RGB."""
    if not file.is_file():
        raise ConfigError(f"{file} is missing: unpack the archive again")
    data = np.fromfile(file, np.uint8)
    if not len(data) or len(data) % (labels + _PIXELS):
        raise ConfigError(f"{file} is damaged: it holds no whole number of records; unpack the archive again")
    records = data.reshape(-1, labels + _PIXELS)
    label_N = records[:, labels - 1]
    if label_N.max() >= classes:
        raise ConfigError(f"{file} is damaged: it has a class {label_N.max()} of {classes}; unpack the archive again")
    return label_N, np.ascontiguousarray(records[:, labels:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))
