"""Each stage alone, in a loop of its own, on one thread, and nothing runs beside it.

A loop takes some frames in a row, then the loop of the next stage takes what came out of it. So every stage has the
caches for itself, and a machine that gets slower does so for all of them. The stages are the run's own objects. CPU
time is that of the process, so that a helper thread of a library counts, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import cycle, islice
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from pipeline import cuda, schedule
from pipeline.bench.calls import Call, repeat, repeat_at_once
from pipeline.bench.job import Job
from pipeline.bench.laps import Laps
from pipeline.model import OnnxModel
from pipeline.outputs import Outputs, plan_outputs
from pipeline.preprocess import Geometry
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.settings import settle
from pipeline.sources import Source
from pipeline.tally import Tally
from pipeline.trip import painter
from pipeline.types import Frame, Frames, Image, Recognised

_BLOCK = 16
"""Frames in a row for each stage."""
_LONG_BLOCK, _LONG_BLOCK_BYTES = 64, 2**28
"""And for an encoder with threads: it takes the first frames of a row faster than it encodes."""
_KEPT = 8  # inputs of the model, to make batches of


class Stages:
    """The stages of a job. Opens a model with one thread of its own on the CPU; on a GPU, `model` serves.

    `workers`: how many threads of the run infer at once.
    """

    def __init__(self, job: Job, model: OnnxModel, workers: int) -> None:
        self._job = job
        gpu = model.device != "cpu"
        self._model: OnnxModel = model if gpu else OnnxModel(job.model, "cpu", threads=1)
        self._threads = schedule.plan(latency=False, gpu=gpu, workers=workers, batch=self._model.contract.input.batch)
        self._opencv = self._threads.opencv if gpu else 1
        self._long = job.encode and job.encoder == "x264" and self._threads.encode > 1
        picture = job.clip.width * job.clip.height * 3
        self._block = max(1, min(_LONG_BLOCK, _LONG_BLOCK_BYTES // picture)) if self._long else _BLOCK
        self._inputs: list[Image] = []

    def measure(self, frames: int, seconds: float) -> Laps:
        """The first `frames` of the clip, which is read again when it ends, or as many as `seconds` allow."""
        self._model.prepare(1)
        laps = Laps()
        with schedule.opencv_threads(self._opencv):
            while laps.frames < frames and perf_counter() - laps.began < seconds:
                self._read_clip(laps, frames, laps.began + seconds)
        return laps

    def infer(self, batch: int, seconds: float) -> Call:
        """Inference of batches made of inputs that `measure` has seen, for so long; on a GPU with as many batches in
        flight as the run has.
        """
        inputs_BHW3 = np.concatenate(list(islice(cycle(self._inputs), batch)))
        if self._model.device == "cpu":
            return repeat(self._model.parts(inputs_BHW3)["infer"], batch, seconds)
        self._model.prepare(batch)
        pinned_BHW3 = cuda.pinned(inputs_BHW3.nbytes).reshape(inputs_BHW3.shape)
        pinned_BHW3[:] = inputs_BHW3
        copied = repeat(self._model.parts(pinned_BHW3)["copy"], batch, seconds / 2)
        return self._at_once(self.sessions, pinned_BHW3, seconds / 2)._replace(copy=copied.wall)

    @property
    def sessions(self) -> int:
        """How many threads of the run infer at once."""
        return self._threads.workers

    def infer_together(self, threads: int, seconds: float) -> Call:
        """Inference of single frames by so many threads at once, which share the model as the run's do."""
        return self._at_once(threads, self._inputs[0], seconds)

    @property
    def batch(self) -> int:
        """Frames that share an inference of the run at most."""
        return self._threads.batch

    def batches(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """Those of the batch sizes that the model can take at once, and beside a GPU that of the run."""
        if self._model.contract.input.batch == 1:
            return (1,)
        return tuple(wanted) if self._model.device == "cpu" else tuple(sorted({*wanted, self.batch}))

    def _at_once(self, threads: int, inputs_BHW3: Image, seconds: float) -> Call:
        def prepare() -> Callable[[], object]:
            return self._model.parts(inputs_BHW3)["infer"]

        return repeat_at_once(prepare, threads, len(inputs_BHW3), seconds)

    def _read_clip(self, laps: Laps, most: int, until: float) -> None:
        """As in the run, the clock starts when the source is there and the outputs are planned, and stops when all is
        closed.
        """
        with TemporaryDirectory(prefix="onsight-bench-", ignore_cleanup_errors=True) as folder:
            with closing(self._job.open()) as source:
                pictures, records = self._outputs(folder, source)
                with records:
                    with pictures:
                        self._read_frames(laps, source, pictures, records, most, until)
                        laps.end("decode")
                    if self._job.encode:
                        laps.end("encode")
                laps.end("records")
            laps.end("decode")

    def _read_frames(
        self, laps: Laps, source: Source, pictures: Outputs, records: Outputs, most: int, until: float
    ) -> None:
        redact, draw = Redactor(False, "blur"), painter(self._job.encode, False, frozenset())
        recognisers = [Recogniser(self._model, settle(self._model.contract)) for _ in range(self._block)]
        frames = source.frames(threading.Event())
        laps.start()
        while laps.frames < most and perf_counter() < until:
            block = []
            for frame in islice(frames, min(self._block, most - laps.frames)):
                block.append(frame)
                laps.lap("decode")
            laps.end("decode")
            if not block:
                return
            annotated = []
            for recognised in self._recognise(laps, recognisers[: len(block)], block):
                redacted = redact(recognised)
                assert redacted is not None
                annotated.append(draw(redacted))
                laps.lap("draw")
            for each in annotated if self._job.encode else ():
                pictures.write(each)
                laps.lap("encode")
            if self._long:
                laps.settle("encode")
            for each in annotated:
                records.write(each)
                laps.lap("records")
            laps.frames += len(block)

    def _recognise(self, laps: Laps, recognisers: list[Recogniser], block: list[Frame]) -> list[Recognised]:
        """Each frame has a recogniser of its own, since that owns the input."""
        batches: list[tuple[list[Frame], list[Geometry]]] = []
        inputs: list[Frames] = []
        for recognise, frame in zip(recognisers, block, strict=True):
            batches += recognise.batches([frame])
            inputs.append(recognise.inputs(*batches[-1]))
            laps.lap("resize")
        for each in inputs[: _KEPT - len(self._inputs)]:
            self._keep(each)
        laps.start()
        outputs = []
        for each in inputs:
            outputs.append(self._model.infer(each))
            laps.lap("infer")
        seen: list[Recognised] = []
        for recognise, found, batch in zip(recognisers, outputs, batches, strict=True):
            seen += recognise.results(found, *batch)
            laps.lap("results")
        return seen

    def _outputs(self, folder: str, source: Source) -> tuple[Outputs, Outputs]:
        """What the run writes, pictures apart from records."""
        config = self._job.config(folder, (self._job.spec,))
        pictures, records = (
            plan_outputs(config.model_copy(update={other: None}), [source], [Tally("")], self._threads.encode)
            for other in ("records", "output")
        )
        return pictures, records

    def _keep(self, inputs: Any) -> None:
        inputs_1HW3 = inputs if isinstance(inputs, np.ndarray) else np.stack([each.download() for each in inputs])
        if not self._inputs or self._inputs[0].shape == inputs_1HW3.shape:
            self._inputs.append(inputs_1HW3.copy())
