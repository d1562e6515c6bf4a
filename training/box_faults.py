"""What is wrong with the files of annotated pictures, gathered while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from training.findings import Finding, error, plural, shorten, warning
from training.listing import name_in


@dataclass(slots=True)
class Faults:
    """Files with something wrong.

    Args:
        root: what names are relative to.
        broken: annotations that cannot be read, and why: a line that names file and line.
        unnamed: annotations with classes that have no name, and which.
        missing: files that are named somewhere, and by what.
        alone: annotations without a picture.
        unknown: pictures of which nothing is said, not even that nothing is to be seen.
    """

    root: Path
    broken: list[tuple[Path, str]] = field(default_factory=list)
    unnamed: list[tuple[Path, str]] = field(default_factory=list)
    missing: list[tuple[str, Path]] = field(default_factory=list)
    alone: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)

    def tell(self) -> Iterator[Finding]:
        """The errors, and what was left out."""
        if self.missing:
            named = shorten([f"{name} by {self._name(by)}" for name, by in self.missing])
            what = f"{plural(len(self.missing), 'file is', 'files are')} named, and not there ({named})"
            yield error("missing_file", f"{what}: add or correct", [(name,) for name, _ in self.missing])
        if self.alone:
            what = f"{plural(len(self.alone), 'annotation has', 'annotations have')} no picture"
            names = [self._name(file) for file in self.alone]
            yield error("missing_file", f"{what} ({shorten(names)}): add or remove", [(name,) for name in names])
        for kind, faults in (("broken", self.broken), ("unknown_category", self.unnamed)):
            if faults:
                more = f"; and {len(faults) - 1:,} more" if len(faults) > 1 else ""
                names = [*dict.fromkeys(self._name(file) for file, _ in faults)]
                yield error(kind, f"{faults[0][1]}{more}", [(name,) for name in names])
        if self.unknown:
            what = f"left out for want of an annotation: {plural(len(self.unknown), 'picture')}"
            names = [self._name(file) for file in self.unknown]
            yield warning("ignored", f"{what} ({shorten(names)})", [(name,) for name in names])

    def _name(self, path: Path) -> str:
        return name_in(self.root, path)
