"""Hides what a detector of its own finds, such as faces, beside the model that does the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pipeline.errors import ConfigError
from pipeline.model import Model
from pipeline.recogniser import Recogniser
from pipeline.settings import Settings, settle
from pipeline.types import Frame, Recognised

_REASONS_LOGGED = 20

_LOG = logging.getLogger(__name__)


class Hider:
    """A recogniser that also marks for redaction everything that `model` finds.

    Where `model` fails, the frame does not say what to hide, and redaction withholds it.

    Args:
        recognise: does the work.
        model: a detector; all of its classes are hidden.
        too: `recognise` says what to hide as well.

    Raises:
        ConfigError: `model` is a classifier.
    """

    def __init__(self, recognise: Callable[[list[Frame]], list[Recognised]], model: Model, too: bool) -> None:
        if model.contract.task != "detect":
            raise ConfigError("'redact_model' needs a detector, which says where things are, but it is a classifier")
        self._recognise = recognise
        self._too = too
        self._find = Recogniser(model, settle(model.contract, redact=model.contract.labels))
        self._reasons: set[str] = set()

    def __call__(self, frames: list[Frame]) -> list[Recognised]:
        """As `Recogniser`; each `hide_N4` has the boxes of both models, or is None where one did not say."""
        recognised = self._recognise(frames)
        return [self._add(each, found) for each, found in zip(recognised, self._look(frames), strict=True)]

    def _look(self, frames: list[Frame]) -> Sequence[Recognised | None]:
        try:
            return self._find(frames)
        except Exception as error:
            self._tell(error)
            return [None] * len(frames)

    def _add(self, recognised: Recognised, found: Recognised | None) -> Recognised:
        parts = [None if found is None else found.hide_N4, *([recognised.hide_N4] if self._too else [])]
        boxes_N4 = [each for each in parts if each is not None]
        return replace(recognised, hide_N4=np.concatenate(boxes_N4) if len(boxes_N4) == len(parts) else None)

    def _tell(self, error: Exception) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if reason not in self._reasons and len(self._reasons) < _REASONS_LOGGED:
            self._reasons.add(reason)
            _LOG.error("the model that says what to hide failed, frames are withheld: %s", reason)


def hiding(
    recognise: Callable[[list[Frame]], list[Recognised]], model: Model | None, settings: Settings
) -> Callable[[list[Frame]], list[Recognised]]:
    """`recognise`, which goes by `settings`, with a `Hider` around it if there is a model to hide with."""
    return recognise if model is None else Hider(recognise, model, settings.hide is not None)
