"""All that a journey needs, opened and checked: the sources, the model, what happens to a frame, the schedule."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pipeline import schedule
from pipeline.config import Recognition, RunConfig
from pipeline.contract import ModelContract
from pipeline.counting import SceneCounter
from pipeline.errors import ConfigError
from pipeline.gate import MOTION, Gate, Repeater
from pipeline.mask import Masked, read_masks, settle_masks
from pipeline.meter import Meter
from pipeline.model import OnnxModel
from pipeline.overlay import Overlay
from pipeline.recogniser import VIEWS
from pipeline.second import open_second
from pipeline.settings import Settings, settle
from pipeline.sources import Source, open_source
from pipeline.tally import Tally
from pipeline.track import LOST_AFTER, Tracker
from pipeline.types import Annotated, Recognised, Redacted  # noqa: TID251 - passes it on
from pipeline.zones import read_zones, settle_zones

_LOG = logging.getLogger(__name__)

_STILL = 5  # frames, of which one is looked at, about, where little moves

Stage: TypeAlias = Callable[[Recognised], Recognised]


@dataclass(frozen=True)
class Trip:
    """All that a journey needs, opened and checked."""

    config: RunConfig
    sources: Sequence[Source]
    model: OnnxModel
    settings: Settings
    gate: Gate | None
    hider: OnnxModel | None
    stages: Mapping[str, Stage]
    plan: schedule.Schedule
    tallies: list[Tally]
    stop: threading.Event


def prepare(config: RunConfig, model: OnnxModel | None, stop: threading.Event, stack: ExitStack) -> Trip:
    """Opens and checks what `config` asks for; `stack` closes it again.

    Args:
        model: one that is loaded already; None: it is loaded.
        stop: ends the journey when it is set.

    Raises:
        OnsightError: something cannot be opened, or does not fit the rest.
    """
    zones = read_zones(Path(config.zones)) if config.zones else None
    masks = read_masks(Path(config.masks)) if config.masks else None
    sources: list[Source] = []
    for stream, spec in enumerate(config.sources):
        sources.append(open_source(spec, stream, decode_threads=schedule.DECODE_THREADS, decoder=config.decoder))
        stack.callback(sources[-1].close)
    live = sum(source.media.live for source in sources)
    _refuse_images(config, sources)
    threads = _schedule(config, live).model
    if model is None:
        model = OnnxModel(config.model, config.device, threads, cuda_graph=config.cuda_graph, nhwc=config.nhwc)
    if config.heatmap and model.contract.task == "classify":
        raise ConfigError("'heatmap' needs the boxes of a detector, but this model is a classifier")
    settings = settle_recognition(config, model.contract)
    names = [source.name for source in sources]
    if masks is not None:
        settled_masks = settle_masks(masks, names)
        sources = [Masked(source, settled_masks[source.stream]) for source in sources]
    stages: dict[str, Stage] = {}
    if config.track:
        stages["track"] = Tracker(settings.thresholds_C, settings.classes, settings.hide or frozenset())
    if config.then:
        stages["look"] = open_second(config, model, settings, threads)
    if config.gated and not config.track:
        stages["repeat"] = Repeater()
    if zones is not None:
        settled = settle_zones(zones, model.contract.labels, settings.classes, names)
        stages["count"] = SceneCounter(dict(enumerate(settled)), LOST_AFTER)
    hider = open_hider(config, model, threads)
    plan = _schedule(config, live, model)
    check_wait(config, plan)
    model.prepare(plan.batch if settings.tiles is None else VIEWS)
    if hider is not None:
        hider.prepare(plan.batch)
    gate = open_gate(config)
    tallies = [Tally(source.name, decoder=source.media.decoder) for source in sources]
    return Trip(config, sources, model, settings, gate, hider, stages, plan, tallies, stop)


def settle_recognition(config: Recognition, contract: ModelContract) -> Settings:
    """Settings for the model of a run; see `settle`."""
    return settle(
        contract,
        threshold=config.threshold,
        class_thresholds=config.class_thresholds,
        iou=config.iou,
        top_k=config.top_k,
        classes=config.classes,
        redact=config.redact,
        track=config.track,
        tiles=config.tiles,
    )


def open_hider(config: Recognition, model: OnnxModel, threads: int) -> OnnxModel | None:
    """The model that says what to hide, on the device of the one that does the work; None: there is none."""
    if config.redact_model is None:
        return None
    return OnnxModel(config.redact_model, model.device, threads, cuda_graph=config.cuda_graph, nhwc=config.nhwc)


def _schedule(config: RunConfig, live: int, model: OnnxModel | None = None) -> schedule.Schedule:
    """`live`: how many sources are live. Without a model, that of one on the CPU."""
    latency = live > 0 if config.mode == "auto" else config.mode == "latency"
    if model is None:
        return schedule.plan(latency=latency, gpu=False, workers=config.workers)
    return schedule.plan(
        latency=latency,
        gpu=model.device != "cpu",
        workers=config.workers,
        threads=model.threads,
        batch=settle_batch(config, model),
        wait=config.batch_wait,
        cameras=live,
        stride=max(config.every, _STILL if config.motion_gate else 1),
    )


def settle_batch(config: Recognition, model: OnnxModel) -> int | None:
    """How many frames are to share an inference; None: the schedule decides.

    Raises:
        ConfigError: more than the graph takes.
    """
    fixed = model.contract.input.batch
    if fixed and config.batch and config.batch > fixed:
        raise ConfigError(f"'batch' cannot be {config.batch}: {model.path} takes one frame at a time; leave it out")
    return config.batch or fixed


def check_wait(config: Recognition, plan: schedule.Schedule) -> None:
    """Warns where nothing will be waited for."""
    if config.batch_wait and plan.batch == 1:
        _LOG.warning("goes on without 'batch_wait': each frame has an inference of its own")


def open_gate(config: Recognition) -> Gate | None:
    """The gate that `config` asks for; None: the model looks at every frame."""
    if not config.gated:
        return None
    threshold = MOTION if config.motion_threshold is None else config.motion_threshold
    return Gate(config.every, threshold if config.motion_gate else None, track=config.track)


def _refuse_images(config: RunConfig, sources: Sequence[Source]) -> None:
    needing = {"track": config.track, "every": config.every > 1, "motion_gate": config.motion_gate}
    for key in (key for key, asked in needing.items() if asked):
        for source in sources:
            if source.media.still:
                raise ConfigError(f"'{key}' needs videos or cameras; the images of {source.name} have no time")


def painter(draw: bool, status: bool, hidden: frozenset[int]) -> Callable[[Redacted], Annotated]:
    """The stage that draws, or one that does not; `status` and `hidden` as for `Overlay`."""
    if not draw:
        return lambda redacted: Annotated(redacted)
    overlay = Overlay(hidden)
    if not status:
        return overlay
    meter = Meter()
    return lambda redacted: overlay(redacted, meter.tick(redacted.frame))
