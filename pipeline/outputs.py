"""Where the frames of a run go: which sinks there are for which source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from pipeline.config import RunConfig
from pipeline.errors import SinkError, StopStream
from pipeline.sinks.base import Sink, close_all
from pipeline.sinks.counts import CountsSink
from pipeline.sinks.encoder import Effort
from pipeline.sinks.events import EventsSink
from pipeline.sinks.heatmap import HeatmapSink
from pipeline.sinks.images import image_folder, one_image
from pipeline.sinks.nvenc import choose_encoder
from pipeline.sinks.partial import partial_path
from pipeline.sinks.records import open_records
from pipeline.sinks.video import VideoSink
from pipeline.sinks.window import WindowSink
from pipeline.sources import Source
from pipeline.tally import Tally
from pipeline.terms import Encoder, Preset
from pipeline.types import Annotated

MakeVideo: TypeAlias = Callable[[Path, Source], VideoSink]


class Outputs:
    """The sinks of a run: `own` ones for each source, `shared` ones for all.

    A context manager: sinks get their final names when it is left without an error, or by the user's wish after frames
    were written. The own sinks of a file are closed as soon as the next file begins; those of a source that failed keep
    their partial names.

    Attributes:
        written: how many frames were written.
    """

    def __init__(
        self, own: Sequence[Sequence[Sink]], shared: Iterable[Sink], sources: Sequence[Source], tallies: Sequence[Tally]
    ) -> None:
        self._own = [list(sinks) for sinks in own]
        self._shared = list(shared)
        self._live = [source.media.live for source in sources]
        self._tallies = tallies
        self._file: int | None = None
        self.written = 0

    def add(self, sinks: Iterable[Sink]) -> None:
        self._shared.extend(sinks)

    @property
    def draws(self) -> bool:
        """Whether any sink wants the results drawn."""
        return any(sink.draws for sinks in (self._shared, *self._own) for sink in sinks)

    def write(self, item: Annotated) -> None:
        stream = item.frame.stream
        if not self._live[stream] and stream != self._file:
            if self._file is not None:
                self._finish(self._file)
            self._file = stream
        self.written += 1
        for sink in (*self._own[stream], *self._shared):
            sink.write(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = error is None or (isinstance(error, StopStream) and self.written > 0)
        ends = [(sink, whole and self._is_whole(i)) for i, sinks in enumerate(self._own) for sink in sinks]
        complete = whole and all(self._is_whole(i) for i in range(len(self._own)))
        try:
            close_all([*ends, *((sink, complete) for sink in self._shared)])
        finally:
            for stream, sinks in enumerate(self._own):
                self._tell_preset(stream, sinks)

    def _is_whole(self, stream: int) -> bool:
        return self._tallies[stream].error is None

    def _finish(self, stream: int) -> None:
        sinks, self._own[stream] = self._own[stream], []
        try:
            close_all([(sink, self._is_whole(stream)) for sink in sinks])
        finally:
            self._tell_preset(stream, sinks)

    def _tell_preset(self, stream: int, sinks: Iterable[Sink]) -> None:
        for sink in sinks:
            if isinstance(sink, VideoSink):
                self._tallies[stream].encoder, self._tallies[stream].preset = sink.encoder, sink.preset


def plan_outputs(
    config: RunConfig, sources: Sequence[Source], tallies: Sequence[Tally], encode_threads: int
) -> Outputs:
    """The sinks that `config` asks for. Nothing is written yet, but what cannot be written is found out.

    Raises:
        SinkError: an output of unknown suffix, one that cannot be written, one that would overwrite a source, or NVENC
            asked for where it does not open.
    """
    _refuse_one_for_two(config)
    own: list[list[Sink]] = [[] for _ in sources]
    shared: list[Sink] = []
    live = any(source.media.live for source in sources)
    if config.output is not None:
        video = _video_maker(config.encoder, config.preset, encode_threads)
        own = [[sink] for sink in _pictures(config.output, sources, video)]
    for path in filter(None, (config.records, config.counts, config.events, config.heatmap)):
        _refuse_overwriting(Path(path), sources)
    if config.records is not None:
        shared.append(open_records(config.records, live=live))
    if config.counts is not None:
        shared.append(CountsSink(config.counts, config.counts_every, append=live))
    if config.events is not None:
        shared.append(EventsSink(config.events, append=live))
    if config.heatmap is not None:
        shared.append(_heatmap(Path(config.heatmap), sources))
    if config.show:
        shared.append(WindowSink("Onsight: q ends it"))
    return Outputs(own, shared, sources, tallies)


def _heatmap(path: Path, sources: Sequence[Source]) -> Sink:
    if len(sources) > 1 or sources[0].media.still:
        raise SinkError("a heat map is made of one video or camera: run one source at a time with --heatmap")
    return HeatmapSink(path)


def _video_maker(encoder: Encoder, preset: Preset, threads: int) -> MakeVideo:
    """Makes the labelled video of a source. A camera does not wait for a preset to be found."""
    chosen = choose_encoder(encoder, preset)

    def effort(preset: str) -> Effort:
        return Effort(preset, chosen, Effort(preset) if encoder == "auto" else None)

    recorded = effort(preset)
    live = effort("ultrafast") if preset == "auto" else recorded

    def make(path: Path, source: Source) -> VideoSink:
        return VideoSink(path, source.media, live if source.media.live else recorded, threads)

    return make


def _pictures(output: str, sources: Sequence[Source], video: MakeVideo) -> list[Sink]:
    path = Path(output)
    many = len(sources) > 1 or (sources[0].media.still and sources[0].media.frames != 1)
    if path.is_dir() or not path.suffix or output.endswith(("/", "\\")):
        return _folder(path, sources, video)
    if many:
        raise SinkError(f"several pictures or sources cannot go into one file {output}: give --output a folder")
    _refuse_overwriting(path, sources)
    if sources[0].media.still:
        return [one_image(path)]
    return [video(path, sources[0])]


def _folder(folder: Path, sources: Sequence[Source], video: MakeVideo) -> list[Sink]:
    if not folder.parent.is_dir():
        raise SinkError(f"the folder {folder.parent} does not exist: make it first")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SinkError(f"the output folder {folder} cannot be made: {error.strerror}") from None
    pictures = image_folder(folder)
    for file in (file for source in sources if source.media.still for file in source.media.files):
        if file.parent.resolve() == folder.resolve():
            raise SinkError(f"{folder} holds {file.name}, a source: choose another output folder")
    taken: set[str] = set()
    sinks: list[Sink] = []
    for source in sources:
        if source.media.still:
            sinks.append(pictures)
            continue
        path = folder / _free_name(_stem(source), taken)
        _refuse_overwriting(path, sources)
        sinks.append(video(path, source))
    return sinks


def _stem(source: Source) -> str:
    """`clip` for clip.mp4, `camera-0` for a webcam; of anything else the letters, digits, dots and dashes."""
    name = source.name
    if name.isdecimal():
        return f"camera-{name}"
    if ":" not in name or Path(name).exists():
        return Path(name).stem
    return re.sub(r"[^\w.-]+", "_", name.partition("://")[2] or name).removesuffix(".mp4").strip("_") or "stream"


def _free_name(stem: str, taken: set[str]) -> str:
    name, number = Path(f"{stem}.mp4"), 1
    while not taken.isdisjoint(claimed := {str(name).casefold(), str(partial_path(name)).casefold()}):
        name, number = Path(f"{stem}-{number}.mp4"), number + 1
    taken |= claimed
    return str(name)


def _refuse_one_for_two(config: RunConfig) -> None:
    paths = (config.output, config.records, config.counts, config.events, config.heatmap)
    given = [Path(path).resolve() for path in paths if path]
    for index, path in enumerate(given):
        if path in given[:index]:
            raise SinkError(f"two outputs cannot go into one file: {path}")


def _refuse_overwriting(path: Path, sources: Sequence[Source]) -> None:
    """Neither `path` nor the partial file it is written as may be a source."""
    files = {file.resolve() for source in sources for file in source.media.files}
    for written in (path, partial_path(path)):
        if written.resolve() in files:
            raise SinkError(f"{written} is a source: choose another output than {path}")
