"""What a folder holds, hidden things aside, in natural order: img2 before img10."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.sources.images import SUFFIXES, natural


def folders_in(folder: Path) -> list[Path]:
    """The folders right in `folder`."""
    return [path for path in _children(folder) if path.is_dir()]


def files_in(folder: Path) -> list[Path]:
    """The files right in `folder`."""
    return [path for path in _children(folder) if path.is_file()]


def images_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files at any depth: those with the suffix of an image, and the others."""
    images: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = _shown(folders)
        for name in _shown(files):
            path = Path(place, name)
            (images if is_image(path) else others).append(path)
    return images, others


def is_image(path: Path) -> bool:
    """Whether its suffix is that of an image."""
    return path.suffix.lower() in SUFFIXES


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted as people do: img2 before img10."""
    return sorted(names, key=lambda name: (natural(Path(name)), name))


def _children(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in _shown(os.listdir(folder))]
    except OSError as failure:
        raise ConfigError(f"{folder} cannot be read: {failure.strerror}") from None


def _shown(names: Iterable[str]) -> list[str]:
    return in_order(name for name in names if not name.startswith("."))
