"""The model that all cameras share, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from pipeline import schedule
from pipeline.config import Recognition
from pipeline.counting import SceneCounter
from pipeline.gate import Gate, Repeater
from pipeline.hide import hiding
from pipeline.model import OnnxModel
from pipeline.recogniser import VIEWS, Recogniser
from pipeline.redact import Redactor
from pipeline.second import open_second
from pipeline.serve.stagger import Staggered
from pipeline.track import LOST_AFTER, Tracker
from pipeline.trip import Stage, check_wait, open_gate, open_hider, painter, settle_batch, settle_recognition
from pipeline.types import Annotated, Frame, Recognised, Redacted  # noqa: TID251 - passes it on
from pipeline.zones import Places


class Eye:
    """Opens the model, and makes the stages of each camera.

    Args:
        cameras: how many there will be, as far as that is known.

    Raises:
        OnsightError: the model cannot be used, or a setting does not fit it.
    """

    def __init__(self, config: Recognition, cameras: int = 0) -> None:
        config.check()
        self.config = config
        plan = schedule.plan(latency=True, gpu=False)
        self.model = OnnxModel(config.model, config.device, plan.model, cuda_graph=config.cuda_graph, nhwc=config.nhwc)
        self.settings = settle_recognition(config, self.model.contract)
        self._hider = open_hider(config, self.model, plan.model)
        self._second = open_second(config, self.model, self.settings, plan.model) if config.then else None
        self.plan = schedule.plan(
            latency=True,
            gpu=self.model.device != "cpu",
            batch=settle_batch(config, self.model),
            wait=config.batch_wait,
            cameras=cameras,
        )
        check_wait(config, self.plan)

    @cached_property
    def recognisers(self) -> Sequence[Callable[[list[Frame]], list[Recognised]]]:
        self.model.prepare(self.plan.batch if self.settings.tiles is None else VIEWS)
        if self._hider is not None:
            self._hider.prepare(self.plan.batch)
        return [
            hiding(Recogniser(self.model, self.settings), self._hider, self.settings) for _ in range(self.plan.workers)
        ]

    def wanted(self, every: int | None) -> Recognition:
        """What is wanted of a camera that may have an `every` of its own.

        Raises:
            ConfigError: it does not go with the rest.
        """
        wanted = self.config if every is None else self.config.model_copy(update={"every": every})
        wanted.check()
        return wanted

    def gate(self, stream: int, wanted: Recognition) -> Callable[[Frame], Frame]:
        """That of one camera."""
        if not wanted.gated:
            return lambda frame: frame
        return Staggered(lambda: _gate(wanted), stream % wanted.every)

    @property
    def labels(self) -> Sequence[str]:
        return self.model.contract.labels

    def stages(self, stream: int, places: Places | None, wanted: Recognition) -> list[Stage]:
        """Those of one camera, in the order of the journey."""
        stages: list[Stage] = []
        if self.config.track:
            stages.append(Tracker(self.settings.thresholds_C, self.settings.classes, self.settings.hide or frozenset()))
        if self._second is not None:
            stages.append(self._second)
        if wanted.gated and not wanted.track:
            stages.append(Repeater())
        if places is not None:
            stages.append(SceneCounter({stream: places}, LOST_AFTER))
        return stages

    def forget(self, stream: int) -> None:
        """The camera whose frames carry this number has gone."""
        if self._second is not None:
            self._second.forget(stream)

    def redactor(self) -> Redactor:
        return Redactor(self.config.hides, self.config.redact_style)

    def overlay(self) -> Callable[[Redacted], Annotated]:
        return painter(self.config.draw, self.config.status, self.settings.hide or frozenset())


def _gate(wanted: Recognition) -> Gate:
    gate = open_gate(wanted)
    assert gate is not None
    return gate
