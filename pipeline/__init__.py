"""The runtime of Onsight: frames in, labels on the frames out.

from pipeline import open_model, recognise, run

run("clip.mp4", model="m.onnx", output="labelled.mp4", records="labelled.jsonl")

for item in recognise("rtsp://camera/stream", open_model("m.onnx")):
    print(item.frame.pts, item.results)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.errors import OnsightError
    from pipeline.stream import open_model, recognise, run
    from pipeline.tally import Summary

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""Else ONNX Runtime, from 1.29 on, tells Microsoft of each machine and model; it looks when it is imported."""

__all__ = ["OnsightError", "Summary", "open_model", "recognise", "run"]

_HOMES = {"OnsightError": "pipeline.errors", "Summary": "pipeline.tally"}


def __getattr__(name: str) -> Any:
    """Imports on first use: `import pipeline` alone costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "pipeline.stream")), name)
