"""What an export tells people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.exporting import Exported
from export.gate import Parity
from export.quality import Quality
from export.table import describe, describe_parity
from pipeline.contract import ClassifierSpec, InputSpec, ModelContract, Resize

CONTRACT = ModelContract(
    task="classify",
    labels=("a", "b"),
    input=InputSpec(height=8, width=8),
    resize=Resize(rule="stretch"),
    classifier=ClassifierSpec(),
)


def exported(milliseconds: float, **changes: Any) -> Exported:
    values: dict[str, Any] = {
        "contract": CONTRACT,
        "precision": "int8",
        "parity": Parity(scores=0.01, logits=0.02, checks=9),
        "sizes": {"fp32": 40_000_000, "int8": 10_000_000},
        "timings": {"fp32": 10.0, "int8": milliseconds},
        "device": "cpu",
        "quality": Quality("accuracy", 100, "", {"network": 0.92, "fp32": 0.92, "int8": 0.915}),
    }
    return Exported(**{**values, **changes})


def test_a_row_for_each_precision() -> None:
    rows = [line.split() for line in describe(exported(4.0), Path("m.onnx"))]
    assert ["network", "92.00", "%"] in rows
    assert ["fp32", "40.0", "MB", "92.00", "%", "10.0", "ms"] in rows
    assert ["int8", "10.0", "MB", "91.50", "%", "4.0", "ms"] in rows


def test_without_labels_there_is_no_quality() -> None:
    rows = [line.split() for line in describe(exported(4.0, quality=None), Path("m.onnx"))]
    assert ["int8", "10.0", "MB", "4.0", "ms"] in rows
    assert not any(row[0] == "network" for row in rows if row)


@pytest.mark.parametrize(("milliseconds", "told"), [(14.0, True), (10.1, False), (5.0, False)])
def test_a_slower_precision_is_told(milliseconds: float, told: bool) -> None:
    text = "\n".join(describe(exported(milliseconds), Path("m.onnx")))
    assert ("int8 is slower than fp32 here, 1.4 times the time on cpu" in text) is told


def test_parity_in_words() -> None:
    assert "logits within 0 of their range" in describe_parity(Parity(logits=0.0, checks=9))
    assert "40 boxes within 0.5 pixels" in describe_parity(Parity(boxes=40, pixels=0.5, checks=9))
    assert "no box stands out" in describe_parity(Parity(checks=9))
