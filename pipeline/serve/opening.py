"""Makes a camera to watch out of its spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.errors import ConfigError
from pipeline.mask import Masked
from pipeline.serve.clips import Cut, Recorder
from pipeline.serve.config import CameraSpec
from pipeline.serve.encoding import FrameFeed
from pipeline.serve.eye import Eye
from pipeline.serve.live import Live
from pipeline.serve.memory import Memory
from pipeline.serve.news import News
from pipeline.serve.packets import PacketReader, copies
from pipeline.serve.placed import masks_of, places_of
from pipeline.serve.remember import MemorySink
from pipeline.serve.rules import Rule
from pipeline.serve.store import EventStore
from pipeline.serve.watched import Watched
from pipeline.sources.base import Source
from pipeline.sources.live import Camera
from pipeline.zones import Places

_MOST_WEBCAMS = 100


@dataclass
class Opener:
    """Opens cameras; see `Cameras`.

    Args:
        cut: what clips are like; None: there are none.
        rules: those that cameras opened from now on go by.
    """

    eye: Eye
    live: Live
    store: EventStore
    news: News
    cut: Cut | None
    rules: Sequence[Rule]

    def __call__(self, name: str, spec: CameraSpec, stream: int) -> Watched:
        target = _target(spec.url)
        camera = Camera(target, stream, name=name, patient=True)
        source: Source = camera
        if spec.masks is not None:
            source = Masked(camera, masks_of(spec.masks, name))
        wanted = self.eye.wanted(spec.every)
        stages = self.eye.stages(stream, self._places(spec, name), wanted)
        hides = spec.masks is not None or self.eye.config.hides
        sinks = (self.live.sink(name), self._memory(name, target, hides))
        return Watched(
            *(name, source, lambda: camera.health, stages, self.eye.redactor(), self.eye.overlay(), sinks),
            gate=self.eye.gate(stream, wanted),
            forget=partial(self.eye.forget, stream),
        )

    def _places(self, spec: CameraSpec, camera: str) -> Places | None:
        if spec.zones is None:
            return None
        if not self.eye.config.track:
            raise ConfigError("'zones' needs 'track': who enters, leaves or crosses is known of tracked objects alone")
        return places_of(spec.zones, camera, self.eye.labels, self.eye.settings.classes)

    def _memory(self, name: str, target: int | str, hides: bool) -> MemorySink:
        if self.cut is None:
            return MemorySink(Memory(name, self.rules, self.store), self.news.tell)
        recorder = Recorder(name, self.store, self.cut)
        memory = Memory(name, self.rules, self.store, recorder)
        packets = PacketReader(str(target), recorder) if copies(target, hides) else FrameFeed(recorder)
        return MemorySink(memory, self.news.tell, packets)


def _target(source: str) -> int | str:
    if source.isdecimal() and int(source) < _MOST_WEBCAMS:
        return int(source)
    if not source.lower().startswith(("rtsp://", "rtsps://", "http://", "https://")):
        raise ConfigError("a camera is the number of a webcam, or an rtsp:// or http:// URL")
    return source
