"""A place from which a run can be looked at while it goes on: `bench` notes when each stage began and ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from pipeline.contract import ModelContract
    from pipeline.model import Model, Outputs
    from pipeline.types import Frames

P = ParamSpec("P")
R = TypeVar("R")


class Watch(Protocol):
    """Is given the name and the callable of a stage, and returns what the run calls in its place.

    The stages: `decode` (returns an iterator of frames), `gate`, `recognise`, `infer` (within it), `track`, `look` (the
    second model), `repeat`, `count`, `draw`, `write`.
    """

    def __call__(self, stage: str, call: Callable[P, R], /) -> Callable[P, R]: ...


def unwatched(stage: str, call: Callable[P, R], /) -> Callable[P, R]:
    """Nobody looks."""
    return call


def watch_model(model: Model, watch: Watch) -> Model:
    """`model`, whose inferences `watch` sees."""
    return _Watched(model.contract, model.device, watch("infer", model.infer))


@dataclass(frozen=True, slots=True)
class _Watched:
    contract: ModelContract
    device: str
    infer: Callable[[Frames], Outputs]
