"""The choices of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.terms import Device


@dataclass(frozen=True, slots=True)
class Options:
    """`precision`: what thresholds have to reach. `split`: the name of a split of the data, or a run's split file for
    data that names a split and does not bring it; without a file, the one beside a model.

    Of classifiers, `slice`: column of the CSV, or folder level below the class. `store_temperature`: write the fitted
    temperature into each checkpoint. Of detectors, `threshold`: from which score on boxes are shown; None: as the
    contract says. `tiles`: the columns and rows that pictures are cut into, too; None: they are looked at as a whole.
    """

    slice: str | None = None
    split: str | Path | None = None
    threshold: float | None = None
    tiles: tuple[int, int] | None = None
    precision: float = 0.95
    device: Device = "auto"
    batch: int = 32
    store_temperature: bool = False
