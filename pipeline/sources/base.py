"""What every source of frames looks like to the rest of Onsight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from pipeline.types import Frame, Media


class Source(Protocol):
    """Something that frames are read from: a file, a camera, images.

    A constructor checks what can be checked cheaply and raises SourceError.

    Attributes:
        name: as records carry it: what the user gave, a URL without its credentials.
        stream: which source of the run this is, counted from 0.
        media: what is known before the first frame.
    """

    name: str
    stream: int
    media: Media

    def close(self) -> None:
        """Lets go of what the constructor opened and `frames` has not taken over."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Opens the source, yields its frames in order and releases everything when it ends or is closed.

        Every call starts anew; of a file or of images, at the beginning. The iterator ends soon after `stop` is set:
        waits (to reconnect, or for a live synthetic frame to be due) end at once. A read that is blocked inside the
        decoder library cannot be interrupted: it ends by its own timeout.

        Raises:
            SourceError: the source ended before its end, or parts of it cannot be read. What could be read has been
                yielded before.
        """
        ...
