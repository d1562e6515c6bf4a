"""Words that contracts, configurations and flags share. Imports nothing, so that the command line stays light."""

from __future__ import annotations

from typing import Literal

Decoder = Literal["cpu", "nvdec", "auto"]
Device = Literal["auto", "cpu", "cuda", "tensorrt"]
Encoder = Literal["x264", "nvenc", "auto"]
Interpolation = Literal["nearest", "linear", "cubic", "area"]
Mode = Literal["auto", "throughput", "latency"]
Preset = Literal["auto", "ultrafast", "superfast", "veryfast", "faster", "fast", "medium"]
RedactStyle = Literal["blur", "pixelate", "fill"]
ResizeRule = Literal["stretch", "crop", "letterbox", "graph"]
Task = Literal["classify", "detect"]
