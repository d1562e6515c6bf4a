"""All cameras of `onsight serve`: they come and go while the model works on the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Generic, TypeVar

from pipeline.channel import Channel
from pipeline.errors import ConfigError
from pipeline.lane import Lane
from pipeline.serve.types import CameraStatus
from pipeline.serve.watched import Watched
from pipeline.sources.state import Health
from pipeline.types import Frame, Recognised

S = TypeVar("S")

_PATIENCE = 1.0  # seconds that readers of cameras get to end


class Cameras(Generic[S]):
    """Watches cameras until `stop` is set.

    Its methods may be called by any thread while `run` goes on.

    Args:
        open_camera: makes a camera of its name, its spec and the number that its frames carry as `stream`; raises
            ConfigError where the spec does not fit. It does not wait for the camera.
        recognisers: as in `stream.journey`.
        batch: frames of several cameras that share an inference, at most.
        wait: seconds, at most, for which a frame waits for those of other cameras that are due.
        alone: inferences slow each other down; see `Channel.process`.
    """

    def __init__(
        self,
        open_camera: Callable[[str, S, int], Watched],
        recognisers: Sequence[Callable[[list[Frame]], list[Recognised]]],
        stop: threading.Event,
        batch: int = 1,
        wait: float = 0.0,
        *,
        alone: bool = False,
    ) -> None:
        self._open = open_camera
        self._recognisers = recognisers
        self._batch, self._wait, self._alone = batch, wait, alone
        self._numbers = count()
        self._lock = threading.RLock()  # one change at a time
        self._specs: dict[str, S] = {}
        self._streams: dict[str, int] = {}
        self._watched: dict[int, tuple[Watched, Lane[Frame]]] = {}
        self._channel = Channel[Frame, Recognised](stop, lasting=True, patience=_PATIENCE)

    @property
    def specs(self) -> Mapping[str, S]:
        with self._lock:
            return dict(self._specs)

    def status(self) -> list[CameraStatus]:
        with self._lock:
            return [self._watched[stream][0].status() for stream in self._streams.values()]

    def health(self) -> dict[int, tuple[str, Health]]:
        """Name and state of each, by a number that is another one when a camera has been opened anew."""
        with self._lock:
            watched = {stream: self._watched[stream][0] for stream in self._streams.values()}
        return {stream: (each.name, each.health()) for stream, each in watched.items()}

    def attend(self) -> list[CameraStatus]:
        """Ends what lasts before cameras that give no pictures. Returns how all are. To be called now and then."""
        with self._lock:
            all_watched = [self._watched[stream][0] for stream in self._streams.values()]
        status = [watched.status() for watched in all_watched]
        for watched, each in zip(all_watched, status, strict=True):
            if each.state in ("waiting", "failed"):
                watched.pause()
        return status

    def add(self, name: str, spec: S) -> None:
        """Watches one more.

        Raises:
            ConfigError: the name is taken, or `spec` does not fit.
        """
        with self._lock:
            if name in self._specs:
                raise ConfigError(f"there is a camera '{name}' already: give the new one another name, or change it")
            self._watch(name, spec)

    def change(self, name: str, spec: S) -> None:
        """Gives a camera another spec: it is opened anew.

        Raises:
            KeyError: there is none of that name.
            ConfigError: `spec` does not fit; the camera goes on as it was.
        """
        with self._lock:
            if name not in self._specs:
                raise KeyError(name)
            self._watch(name, spec)

    def remove(self, name: str) -> None:
        """Watches it no more.

        Raises:
            KeyError: there is none of that name.
        """
        with self._lock:
            del self._specs[name]
            self._end(self._streams.pop(name))

    def become(self, specs: Mapping[str, S], *, anew: bool = False) -> None:
        """These are the cameras from now on; those whose spec is the same are not touched, unless all open `anew`.

        Raises:
            ConfigError: a spec does not fit; nothing has changed.
        """
        with self._lock:
            wanted = {name: spec for name, spec in specs.items() if anew or self._specs.get(name) != spec}
            opened: dict[str, tuple[int, Watched]] = {}
            try:
                for name, spec in wanted.items():
                    stream = next(self._numbers)
                    opened[name] = stream, self._open(name, spec, stream)
            except ConfigError:
                for _, watched in opened.values():
                    watched.close()
                raise
            gone = self._specs.keys() - specs.keys()
            for name in (gone | opened.keys()) & self._streams.keys():  # they end side by side
                self._watched[self._streams[name]][0].end()
            for name in gone:
                self.remove(name)
            for name, (stream, watched) in opened.items():
                self._put(name, specs[name], stream, watched)

    def run(self, ending: Callable[[], None] = lambda: None) -> None:
        """Works on the cameras' frames until `stop` is set.

        Args:
            ending: called when the end has come, before anything that takes its time.

        Raises:
            Whatever a stage, a sink or the model raised.
        """
        try:
            with self._channel as channel:
                try:
                    for recognised in channel.process(
                        self._recognisers, self._batch, self._gate, self._wait, fresh=True, alone=self._alone
                    ):
                        watched, _ = self._watched.get(recognised.frame.stream, (None, None))
                        if watched is not None:
                            watched.take(recognised)
                finally:
                    ending()
                    with self._lock:
                        for watched, _ in self._watched.values():
                            watched.end()
        finally:
            with self._lock, ExitStack() as stack:  # one that cannot be closed leaves no other open
                for name in reversed(self._specs):
                    stack.callback(self.remove, name)

    def _gate(self, frame: Frame) -> Frame:
        """Each camera has a gate of its own."""
        watched, _ = self._watched.get(frame.stream, (None, None))
        return frame if watched is None else watched.gate(frame)

    def _watch(self, name: str, spec: S) -> None:
        stream = next(self._numbers)
        self._put(name, spec, stream, self._open(name, spec, stream))

    def _put(self, name: str, spec: S, stream: int, watched: Watched) -> None:
        """Feeds an opened camera, in the place of the one of its name."""
        before = self._streams.get(name)
        lane = self._channel.feed(watched.source.frames, newest=True, name=f"camera {name}")
        watched.dropped = lambda: lane.dropped
        self._watched[stream] = watched, lane
        self._streams[name], self._specs[name] = stream, spec
        if before is not None:
            self._end(before)

    def _end(self, stream: int) -> None:
        watched, lane = self._watched.pop(stream)
        self._channel.unfeed(lane)
        watched.close()
