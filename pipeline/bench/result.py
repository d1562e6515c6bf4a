"""What a benchmark found: the JSON that it writes and that `compare-bench` reads. Times are milliseconds of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

KIND: Literal["onsight bench"] = "onsight bench"
VERSION: Literal[1] = 1
_SAMPLES = {"p50": 2, "p95": 20, "p99": 100}  # frames without which a percentile is only the slowest one
_Amount = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(_Part):
    """A figure of every round: finite, and 0 at least."""

    median: _Amount
    min: _Amount
    max: _Amount
    rounds: Annotated[tuple[_Amount, ...], Field(min_length=1)]

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Self:
        values = [float(value) for value in rounds]
        return cls(median=float(np.median(values)), min=min(values), max=max(values), rounds=tuple(values))


class Percentiles(_Part):
    """Of `n` frames of all rounds; None where there are too few."""

    p50: _Amount | None
    p95: _Amount | None
    p99: _Amount | None
    n: _Count

    @classmethod
    def of(cls, values_N: NDArray[np.float64]) -> Self:
        n = len(values_N)
        told = {name: float(np.percentile(values_N, int(name[1:]))) for name, least in _SAMPLES.items() if n >= least}
        return cls(n=n, **{name: told.get(name) for name in _SAMPLES})


class Alone(_Part):
    """A stage alone on one thread. `ms` and `cpu_ms` are the means of each round, `frame_ms` of single frames."""

    name: str
    ms: Spread
    cpu_ms: Spread
    frame_ms: Percentiles


class Within(_Part):
    """A stage as the run had it, other threads working beside it."""

    name: str
    frame_ms: Percentiles


class Batch(_Part):
    """Inference alone with `batch` frames a call; the times are still those of a frame. `copy_ms`: to a GPU and back,
    which is not in `ms`; None on a CPU.
    """

    batch: int
    ms: Spread
    cpu_ms: Spread
    copy_ms: Spread | None = None


class Together(_Part):
    """Inference on a CPU by as many threads at once as the run has. `ratio`: the CPU time of a frame ÷ that of one
    inference alone; `bound`: what it leaves of the efficiency.
    """

    inferences: int
    ms: Spread
    cpu_ms: Spread
    ratio: Spread
    bound: Spread


class Whole(_Part):
    """The run. `drawn` and `written`: the age of a frame then, since it came out of the decoder. `gpu_ms`: of its
    inferences, without copies; None on a CPU.
    """

    frames: _Count
    fps: Spread
    cpu_ms: Spread
    gpu_ms: Spread | None
    dropped: _Count
    drawn: Percentiles
    written: Percentiles
    stages: tuple[Within, ...]
    peak_memory_bytes: _Count
    frames_per_inference: Spread | None = None


class Limit(_Part):
    """The resource that allows least, and the `fps` it allows. `share`: of the CPU time of a frame; None on a GPU, and
    where the thread of the stage allows less than the cores.
    """

    resource: str
    share: float | None
    fps: Spread


class Streams(_Part):
    """So many live sources at once. `fps` is what the slowest was shown with; `dropped` of the `due` frames were not
    shown. `late`: the pictures could not even be painted in time. `drawn_p99` is None where a round had too few frames.
    """

    streams: int
    taken: bool
    fps: Spread
    due: _Count
    dropped: _Count
    late: bool
    drawn: Percentiles
    drawn_p99: Spread | None
    cpu_ms: Spread
    peak_memory_bytes: _Count


class Gpu(_Part):
    """As NVML tells it. None: this GPU does not tell."""

    name: str
    driver: str
    memory_bytes: int | None
    power_limit_watts: float | None
    clock_mhz: int | None
    highest_clock_mhz: int | None


class Machine(_Part):
    """Where it was measured. None: this system does not tell."""

    system: str
    cpu: str
    cores: int
    cpu_quota: float | None
    memory_bytes: int
    clock_mhz: float | None
    highest_clock_mhz: float | None
    governor: str | None
    load: float | None
    gpu: Gpu | None
    versions: dict[str, str]

    @property
    def usable_cores(self) -> float:
        """What the process may use at once."""
        return min(self.cores, self.cpu_quota or self.cores)


class Conditions(_Part):
    """What the machine did while it was measured. None: this system does not tell.

    `others_cores`: how many cores worked for other processes, `stolen_cores` for other guests of the host.
    """

    others_cores: float
    stolen_cores: float | None
    clock_mhz: Spread | None
    cpu_throttled: int | None
    quota_stops: int | None
    gpu_clock_mhz: Spread | None
    gpu_memory_bytes: int | None
    gpu_throttled: tuple[str, ...] | None


class ModelFacts(_Part):
    """The model, and what it really ran on."""

    file: str
    sha256: str
    task: str
    input: str
    device: str
    reason: str | None
    providers: tuple[str, ...]
    nodes: int
    cpu_nodes: int


class ClipFacts(_Part):
    """What was run. `sha256` is None of a synthetic picture."""

    name: str
    sha256: str | None
    codec: str | None
    width: int
    height: int
    frames: int
    seconds: float | None


class Bench(_Part):
    """A benchmark of a clip (`whole`, `alone`, `batches`, `together`, `limit`, `efficiency`) or of live `streams`.

    `efficiency`: the rate ÷ that of the `limit`; `efficiency_of_cores`: ÷ what the cores alone would allow; None on a
    GPU.
    """

    kind: Literal["onsight bench"] = KIND
    version: Literal[1] = VERSION
    made: str
    machine: Machine
    conditions: Conditions
    model: ModelFacts
    clip: ClipFacts
    workers: int | None = None
    cuda_graph: bool = False
    nhwc: bool = False
    decoder: str = "cpu"
    encode: bool
    encoder: str | None = None
    preset: str | None = None
    seconds: float
    rounds: int
    warm_up_frames: int
    warm_up_seconds: float
    loops: int = 1
    target_fps: float | None = None
    whole: Whole | None = None
    alone: tuple[Alone, ...] = ()
    batches: tuple[Batch, ...] = ()
    together: Together | None = None
    limit: Limit | None = None
    efficiency: Spread | None = None
    efficiency_of_cores: Spread | None = None
    streams: tuple[Streams, ...] = ()
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if (self.whole is None) != bool(self.streams) or (self.streams and not self.target_fps):
            raise ValueError("neither of a clip nor of streams")
        return self
