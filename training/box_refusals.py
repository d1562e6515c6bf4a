"""Detection data that training and evaluation cannot work with: refused in one line before anything is spent on it."""

from __future__ import annotations

from pipeline.errors import ConfigError, SourceError
from training.box_listing import BoxListing
from training.examine import upright_size
from training.findings import plural, shorten

_UNREAD = (0, 0)


def refuse_errors(listing: BoxListing) -> None:
    """What makes the boxes of a data set, or of some of its pictures, unknown.

    Raises:
        ConfigError: a finding is an error.
        SourceError: pictures are missing, or cannot be read where only they know their size.
    """
    for finding in listing.findings:
        if finding.severity == "error":
            raise (SourceError if finding.kind == "missing_file" else ConfigError)(finding.message)
    if unread := [entry.path for entry in listing.entries if not all(entry.size)]:
        which = f"{plural(len(unread), 'picture')} ({shorten([listing.name(path) for path in unread])})"
        raise SourceError(
            f"cannot read {which} of {listing.file}, to which its boxes are relative: remove or copy again"
        )


def refuse_other_sizes(listing: BoxListing) -> None:
    """Pictures that are not of the size that their annotation states; those that cannot be read may pass.

    Raises:
        ConfigError: there are some.
    """
    seen = [(entry, upright_size(entry.path)) for entry in listing.entries]
    other = [(entry, size) for entry, size in seen if size not in (entry.size, _UNREAD)]
    if other:
        (entry, (width, height)), *further = other
        more = f" ({len(further):,} more {'is' if len(further) == 1 else 'are'} like it)" if further else ""
        raise ConfigError(
            f"{entry.path} has {width} x {height} pixels upright, and {entry.size[0]} x {entry.size[1]} by its "
            f"annotation{more}: its boxes fit nothing; annotate it as it is shown, or put the right file there"
        )
