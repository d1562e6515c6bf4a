"""A sink that keeps everything: for tests and for short runs from Python."""

from __future__ import annotations

from pipeline.types import Annotated


class MemorySink:
    """Keeps every item it got, pictures included, in `items`; `whole` is what it was closed with, None before."""

    def __init__(self, draws: bool = True) -> None:
        self.draws = draws
        self.items: list[Annotated] = []
        self.whole: bool | None = None

    def write(self, item: Annotated) -> None:
        self.items.append(item)

    def close(self, whole: bool = True) -> None:
        if self.whole is None:
            self.whole = whole
