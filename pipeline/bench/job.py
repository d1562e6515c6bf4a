"""What is measured: a recorded clip or a synthetic picture, a model, and what becomes of the frames."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bench.result import ClipFacts, ModelFacts
from pipeline.config import RunConfig, beside_cuda_graph, build_config
from pipeline.digest import sha256
from pipeline.errors import ConfigError, OnsightError
from pipeline.model import OnnxModel
from pipeline.schedule import DECODE_THREADS
from pipeline.sources import Source, open_source
from pipeline.sources.synthetic import PREFIX
from pipeline.terms import Decoder, Device, Encoder, Preset

_SYNTHETIC_FRAMES = 300
_SIZE = re.compile(r"\d+x\d+")


@dataclass(frozen=True, slots=True)
class Job:
    """`spec` names a source that can be read again and again, with `clip.frames` frames a time.

    `preset`: of the encoder; `auto` where it is still to be found. `decoder`: what decodes the clip. `encoder`: what
    encodes the labelled video. `workers`: a number, or `auto`, as for `onsight run`.
    """

    spec: str
    model: Path
    device: Device
    encode: bool
    clip: ClipFacts
    preset: Preset = "auto"
    cuda_graph: bool = False
    nhwc: bool = False
    decoder: Decoder = "cpu"
    encoder: Encoder = "x264"
    workers: str = "auto"

    def config(self, folder: str, sources: tuple[str, ...]) -> RunConfig:
        """`onsight run` of `sources`, its records and labelled videos going into `folder`."""
        flags: dict[str, Any] = {"records": f"{folder}/records.jsonl", "decoder": self.decoder, "workers": self.workers}
        if self.encode:
            flags["output"] = folder if len(sources) > 1 else f"{folder}/labelled.mp4"
            flags |= {"encoder": self.encoder, "preset": self.preset}
        model = {"model": self.model, "device": self.device, "cuda_graph": self.cuda_graph, "nhwc": self.nhwc}
        return build_config({"sources": sources, **model, **flags})

    def loops(self, frames: int) -> int:
        """How often the clip has to be read for so many frames."""
        return -(-frames // self.clip.frames)

    def open(self) -> Source:
        return open_source(self.spec, decode_threads=DECODE_THREADS, decoder=self.decoder)


def plan_job(
    spec: str,
    model: Path,
    device: Device,
    *,
    encode: bool,
    cuda_graph: bool = False,
    nhwc: bool = False,
    decoder: Decoder = "cpu",
    encoder: Encoder = "x264",
    workers: str = "auto",
) -> Job:
    """Opens the clip and looks at it.

    Raises:
        OnsightError: it cannot be read, or is no recorded video, or the encoder has nothing to encode, or CUDA
            graphs are to run beside a decoder or an encoder on the GPU.
    """
    if encoder != "x264" and not encode:
        raise ConfigError("'encoder' does not go with --no-encode: it is what encodes the labelled video")
    if cuda_graph:
        decoder, encoder = beside_cuda_graph(decoder, encoder)
    source = open_source(spec, decoder=decoder)
    if source.media.still or source.media.live:
        source.close()
        kind = "a camera" if source.media.live else "made of images"
        raise ConfigError(f"{source.name} is {kind}: bench measures a recorded video, or --synthetic WIDTHxHEIGHT")
    decoder = "nvdec" if source.media.decoder == "nvdec" else "cpu"  # what `auto` has taken
    clip = _look_at(source)
    return Job(spec, model, device, encode, clip, "auto", cuda_graph, nhwc, decoder, encoder, workers)


def synthetic_spec(size: str, fps: float, *, live: bool = False, seed: int = 0) -> str:
    """The source of a synthetic picture of `size`, such as 1920x1080."""
    if not _SIZE.fullmatch(size):
        raise ConfigError(f"'{size}' is no size: write --synthetic 1920x1080")
    query = f"live=1&seed={seed}" if live else f"frames={_SYNTHETIC_FRAMES}"
    return f"{PREFIX}{size}@{fps:g}?{query}"


def _look_at(source: Source) -> ClipFacts:
    frames = source.frames(threading.Event())
    first = next(frames, None)
    if first is None:
        raise OnsightError(f"{source.name} has no frames")
    counted = source.media.frames
    if counted is None:
        counted = 1 + sum(1 for _ in frames)
    getattr(frames, "close", lambda: None)()
    files = source.media.files
    return ClipFacts(
        name=Path(source.name).name if files else source.name,
        sha256=sha256(files[0]) if files else None,
        codec=getattr(source, "codec", None),
        width=first.width,
        height=first.height,
        frames=counted,
        seconds=source.media.seconds,
    )


def model_facts(model: OnnxModel) -> ModelFacts:
    """What the file is and what it runs on."""
    size = model.contract.input
    return ModelFacts(
        file=model.path.name,
        sha256=sha256(model.path),
        task=model.contract.task,
        input=f"{size.width}x{size.height}",
        device=model.device,
        reason=model.reason,
        providers=tuple(model.providers),
        nodes=sum(operators.total() for operators in model.nodes.values()),
        cpu_nodes=model.cpu_nodes,
    )
