"""Lists of class names: the well-known ones that come with Onsight, and text files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.errors import ConfigError

BUILT_IN = ("coco", "coco91", "imagenet")


def read_labels(source: str) -> tuple[str, ...]:
    """The labels called `source`: one of `BUILT_IN`, or a UTF-8 text file with one label a line.

    Raises:
        ConfigError: no such list or file, an empty file, or an empty line between labels.
    """
    if source in BUILT_IN:
        return tuple((files("export") / "labels" / f"{source}.txt").read_text(encoding="utf-8").splitlines())
    path = Path(source)
    if not path.is_file():
        raise ConfigError(f"no labels file {source}; give a text file with a label a line, or {', '.join(BUILT_IN)}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} cannot be read as a text file of labels: {error}") from None
    if not lines:
        raise ConfigError(f"{source} is empty; it should hold a label a line")
    if "" in lines:
        raise ConfigError(f"{source} has no label in line {lines.index('') + 1}")
    return tuple(lines)
