"""Output files grow under a partial name and get their final name when they are whole: `x.partial.mp4`, `x.mp4`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import SinkError


def partial_path(path: Path) -> Path:
    """The name under which the file `path` is written."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def check_file(path: str | Path, suffixes: Collection[str]) -> Path:
    """Checks that a file of this name can be made; touches nothing.

    Args:
        path: the final name; upper and lower case of its suffix are alike.
        suffixes: the suffixes allowed, with their dots, in lower case.

    Raises:
        SinkError: unknown suffix, a folder of that name, no such folder around it, or one that cannot be written to.
    """
    path = Path(path)
    check_suffix(path, suffixes)
    if path.is_dir():
        raise SinkError(f"{path} is a folder; give the name of a file")
    check_folder(path.parent)
    return path


def check_suffix(path: Path, suffixes: Collection[str]) -> str:
    """The suffix of `path` in lower case, if it is one of `suffixes`.

    Raises:
        SinkError: it is not.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise SinkError(f"{path} has an unknown suffix; give it one of: {' '.join(suffixes)}")
    return suffix


def check_folder(folder: str | Path) -> Path:
    """Checks that files can be made in `folder`.

    Raises:
        SinkError: there is no such folder, or it cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SinkError(f"{folder} is not a folder")
    if not folder.is_dir():
        raise SinkError(f"folder {folder} does not exist; make it first")
    with writing(folder), tempfile.TemporaryFile(dir=folder):
        return folder


def finish(path: Path) -> None:
    """Gives the whole partial file of `path` its final name, replacing an older file."""
    os.replace(partial_path(path), path)


def write_text(path: Path, text: str) -> None:
    """Writes a whole file at once, as UTF-8.

    Raises:
        SinkError: it cannot be written.
    """
    with writing(path):
        partial_path(path).write_text(text, encoding="utf-8", newline="\n")
        finish(path)


@contextmanager
def writing(path: Path | str, *errors: type[Exception]) -> Iterator[None]:
    """Turns an `OSError`, and `errors`, raised while `path` is written into a `SinkError` that gives the reason."""
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except caught as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SinkError(f"cannot write {path}: {reason}") from error
