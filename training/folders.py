"""What a folder holds, hidden things aside, in natural order: img2 before img10."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from pipeline.errors import ConfigError
from pipeline.sources.images import SUFFIXES, natural


def folders_in(folder: Path) -> list[Path]:
    """The folders right in `folder`."""
    return [path for path in _children(folder) if os.path.isdir(path)]


def files_in(folder: Path) -> list[Path]:
    """The files right in `folder`."""
    return [path for path in _children(folder) if os.path.isfile(path)]


def images_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files at any depth: those with the suffix of an image, and the others. Links are followed, each folder once.

    Raises:
        ConfigError: a folder cannot be read.
    """
    images: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # by a link that leads back
            folders.clear()
            continue
        seen.add(real)
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
        _refuse(failure)


def read_text(file: Path) -> str:
    """A text in UTF-8, without its byte order mark.

    Raises:
        ConfigError: it is none, or cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text in UTF-8: copy it again") from None
    except OSError as failure:
        _refuse(failure)


def read_lines(file: Path) -> list[str]:
    """The lines of a text that are not blank; see `read_text`."""
    return [line for line in read_text(file).splitlines() if line.strip()]


def _refuse(failure: OSError) -> NoReturn:
    raise ConfigError(f"{failure.filename} cannot be read: {failure.strerror}") from None


def _shown(names: Iterable[str]) -> list[str]:
    return in_order(name for name in names if not name.startswith("."))
