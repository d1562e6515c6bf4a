"""Clips of events, cut out of a stream of packets without encoding anything.

The packets of the last seconds are kept in memory, from a key frame on: a clip begins before its event does. It grows
under a partial name and gets its own when the event has ended and some more seconds have come.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.serve.ring import PacketRing
from pipeline.serve.store import EventStore
from pipeline.serve.types import Event
from pipeline.sinks.partial import finish, partial_path

_MOST_TOLD = 1000  # events that wait for a packet
_LONGEST_GAP = 60  # seconds from one packet to the next

_LOG = logging.getLogger(__name__)

AddStream: TypeAlias = Callable[[OutputContainer], Stream]
"""Makes the stream in a new file that the packets go into."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What clips are like.

    Args:
        before, after: seconds that a clip has beside its event; before it up to a key frame more.
        longest: seconds; a longer event has the beginning.
        reserve: bytes that stay free on the disk: no clip begins where there is less.
    """

    before: float = 5.0
    after: float = 5.0
    longest: float = 600.0
    reserve: int = 10**9


class Clip:
    """An mp4 that packets are copied into; the first one is a key frame and comes at the time 0."""

    def __init__(self, path: Path, add_stream: AddStream) -> None:
        self._path = path
        # The index goes to the front when the clip is finished, so that it plays while it is still being loaded.
        options = {"movflags": "faststart"}
        self._output = av.open(str(partial_path(path).absolute()), "w", format="mp4", container_options=options)
        self._stream = add_stream(self._output)
        self._before: int | None = None  # the time that the last packet had
        self._at: int | None = None  # and has in the clip
        self._lasts = 1  # for how long it says that it is shown

    def add(self, packet: Packet[Any]) -> None:
        """Copies the packet; one without a time is left out, but for the first: FFmpeg gives RTSP's first picture none.

        Where the camera's clock was set, back or far ahead, the packet follows when the one before has been shown.
        """
        own = packet.dts if packet.dts is not None else packet.pts
        if packet.time_base is None or (own is None and self._at is not None):
            return
        gap = 0 if own is None or self._before is None else own - self._before
        if not 0 < gap * packet.time_base <= _LONGEST_GAP:
            gap = self._lasts
        self._before, self._lasts = own, _lasts(packet, packet.time_base)
        self._at = 0 if self._at is None else self._at + gap
        copy = Packet(bytes(packet))  # the muxer changes the times of what it is given, and others need them
        copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
        copy.dts = self._at
        copy.pts = self._at + (0 if own is None or packet.pts is None else max(0, packet.pts - own))
        copy.duration = packet.duration or gap  # at least 1: players leave out a last picture that lasts no time
        copy.stream = self._stream
        self._output.mux(copy)

    def finish(self) -> None:
        """Gives the whole file its name."""
        self._output.close()
        finish(self._path)

    def discard(self) -> None:
        """Closes the file and deletes it."""
        with suppress(OSError, av.FFmpegError):
            self._output.close()
        partial_path(self._path).unlink(missing_ok=True)


def _lasts(packet: Packet[Any], time_base: Fraction) -> int:
    """For how many ticks a picture is shown, as far as its packet or its stream tells; else one."""
    stream = packet.stream
    rate = stream.average_rate if isinstance(stream, VideoStream) else None
    return max(1, packet.duration or (round(1 / (rate * time_base)) if rate else 0))


@dataclass(slots=True)
class _Take:
    """A clip that is asked for: `until` when, and since when it is written."""

    event: Event
    until: float = math.inf
    clip: Clip | None = None
    since: float = math.inf


class Recorder:
    """Cuts the clips of one camera. Events come from one thread, packets from another.

    A full disk costs clips, nothing else; why is told once, and when there is room again.

    Args:
        camera: what messages call it.
        store: has the folder for the clips, and is told their names.
    """

    def __init__(self, camera: str, store: EventStore, cut: Cut | None = None) -> None:
        self.camera = camera
        self._store = store
        self._cut = cut or Cut()
        self._ring = PacketRing(self._cut.before)
        self._told: deque[Event] = deque(maxlen=_MOST_TOLD)
        self._takes: dict[str, _Take] = {}
        self._add_stream: AddStream | None = None
        self._works = True

    def tell(self, event: Event) -> None:
        """An event has begun or, with its `end`, ended. Returns at once."""
        self._told.append(event)

    def connect(self, add_stream: AddStream) -> None:
        """A stream begins. What follows does not fit to what came before: clips end there."""
        self._finish_all()
        self._ring.clear()
        self._add_stream = add_stream

    def add(self, packet: Packet[Any], at: float) -> None:
        """Takes the next packet, which came at `at`, in seconds since 1970."""
        self._write_all(packet)
        self._ring.add(packet, at)
        self._listen()
        for take in list(self._takes.values()):
            if take.clip is None:
                self._begin(take)
            if at > min(take.until, take.since + self._cut.longest):
                self._finish(take)

    def close(self) -> None:
        """Finishes the clips that are being written: no packet follows, or not before the next `connect`."""
        self._finish_all()
        now = time.time()
        self._takes = {name: take for name, take in self._takes.items() if take.until >= now}  # the others get none

    def _finish_all(self) -> None:
        self._listen()
        for take in list(self._takes.values()):
            if take.clip is not None:
                self._finish(take)

    def _listen(self) -> None:
        while self._told:
            event = self._told.popleft()
            if event.end is None:
                self._takes[event.id] = _Take(event)
            elif event.id in self._takes:
                self._takes[event.id].until = event.end.timestamp() + self._cut.after

    def _begin(self, take: _Take) -> None:
        packets = self._ring.packets
        if self._add_stream is None or not packets or packets[0][0] > take.until:
            return  # no key frame has come yet, or only when the event was over
        with self._writing(take):
            path = self._store.files.prepare(self._store.files.clip(take.event))
            if shutil.disk_usage(path.parent).free < self._cut.reserve:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            take.clip, take.since = Clip(path, self._add_stream), packets[0][0]
            for _, packet in packets:
                take.clip.add(packet)

    def _write_all(self, packet: Packet[Any]) -> None:
        for take in list(self._takes.values()):
            if take.clip is not None:
                with self._writing(take):
                    take.clip.add(packet)

    def _finish(self, take: _Take) -> None:
        if self._takes.pop(take.event.id, None) is None or take.clip is None:
            return
        with self._writing(take):
            take.clip.finish()
            self._store.attach(take.event, clip=self._store.files.clip(take.event))
            if not self._works:
                _LOG.warning("clips of %s are written again", self.camera)
            self._works = True

    @contextmanager
    def _writing(self, take: _Take) -> Iterator[None]:
        """Gives up a clip that cannot be written."""
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            self._takes.pop(take.event.id, None)
            if take.clip is not None:
                take.clip.discard()
            if self._works:
                _LOG.error("clips of %s cannot be written: %s; watching goes on", self.camera, error.strerror)
            self._works = False
