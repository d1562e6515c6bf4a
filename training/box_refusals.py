"""Detection data that training and evaluation cannot work with: refused in one line before anything is spent on it."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ConfigError, SourceError
from training.box_layouts import BoxData
from training.box_listing import BoxListing
from training.examine import upright_size
from training.findings import plural, shorten

_UNREAD = (0, 0)


def read_usable(data: BoxData) -> BoxListing:
    """Reads a data set of which every box is known, and fits its picture.

    Raises:
        ConfigError: it is broken, or a picture that can be read has another size than its annotation states.
        SourceError: pictures are missing, or cannot be read where only they know their size.
    """
    listing = data.read()
    _refuse_errors(listing)
    if data.layout != "yolo":  # it states no sizes: its pictures have been asked for theirs
        _refuse_other_sizes(listing)
    return listing


def _refuse_errors(listing: BoxListing) -> None:
    """What makes the boxes of a data set, or of some of its pictures, unknown."""
    for finding in listing.findings:
        if finding.severity == "error":
            raise (SourceError if finding.kind == "missing_file" else ConfigError)(finding.message)
    if unread := [entry.path for entry in listing.entries if not all(entry.size)]:
        which = f"{plural(len(unread), 'picture')} ({shorten([listing.name(path) for path in unread])})"
        raise SourceError(
            f"cannot read {which} of {listing.file}, to which its boxes are relative: remove or copy again"
        )


def _refuse_other_sizes(listing: BoxListing) -> None:
    """Pictures that are not of the size that their annotation states; those that cannot be read may pass."""
    seen = [(entry, upright_size(entry.path)) for entry in listing.entries]
    other = [(entry, size) for entry, size in seen if size not in (entry.size, _UNREAD)]
    if other:
        (entry, size), *further = other
        more = f" ({len(further):,} more {'is' if len(further) == 1 else 'are'} like it)" if further else ""
        raise ConfigError(tell_other_size(entry.path, size, entry.size, more))


def tell_other_size(path: Path, shown: tuple[int, int], stated: tuple[int, int], more: str = "") -> str:
    """A line on a picture that is not as its annotation states; sizes are width and height, as it is shown upright."""
    return (
        f"{path} has {shown[0]} x {shown[1]} pixels upright, and {stated[0]} x {stated[1]} by its annotation{more}: "
        "its boxes fit nothing; annotate it as it is shown, or put the right file there"
    )
