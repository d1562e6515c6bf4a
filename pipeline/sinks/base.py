"""What every sink is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipeline.types import Annotated


class Sink(Protocol):
    """Takes annotated frames in order and keeps, shows or sends them.

    A sink is used by one thread at a time. Its constructor checks what can be checked at once and raises `SinkError`;
    files are opened with the first frame, so a sink that got none leaves none (records: an empty file when whole).

    Attributes:
        draws: the sink wants the results drawn on `item.image`; False: it reads only `item.frame` and `item.results`.
    """

    draws: bool

    def write(self, item: Annotated) -> None:
        """Takes the next frame. The sink is done with `item.image` when it returns, unless it says otherwise.

        Raises:
            SinkError: the frame cannot be written.
            StopStream: the user ended the run here.
        """

    def close(self, whole: bool = True) -> None:
        """Ends the output; a second call does nothing.

        Args:
            whole: True gives the output its final name. False, after a failure, closes it readable under its partial
                name and never raises for what could not be written any more.

        Raises:
            SinkError: the end of the output cannot be written; it then keeps its partial name.
        """


def close_all(ends: Iterable[tuple[Sink, bool]]) -> None:
    """Closes every sink, whole or not, also when one of them fails; the first failure is raised then."""
    errors: list[Exception] = []
    for sink, whole in ends:
        try:
            sink.close(whole)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
