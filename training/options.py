"""The choices of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.terms import Device


@dataclass(frozen=True, slots=True)
class Options:
    """`precision`: what thresholds have to reach.

    Of classifiers, `slice`: column of the CSV, or folder level below the class. `split`: a run's split file, for data
    that brings no splits; None: the one beside a model. `store_temperature`: write the fitted temperature into each
    checkpoint. Of detectors, `threshold`: from which score on boxes are shown; None: as the contract says.
    """

    slice: str | None = None
    split: Path | None = None
    threshold: float | None = None
    precision: float = 0.95
    device: Device = "auto"
    batch: int = 32
    store_temperature: bool = False
