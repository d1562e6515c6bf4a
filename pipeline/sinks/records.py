"""Records: what was seen in each frame, as JSON lines or as CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SinkError, StopStream
from pipeline.sinks.base import Sink
from pipeline.sinks.partial import check_file, check_suffix, finish, partial_path, writing
from pipeline.types import Annotated, Counts, Detections, Frame, Results

COLUMNS = (
    *("source", "frame", "pts", "width", "height"),
    *("label", "label_id", "score", "x1", "y1", "x2", "y2", "track", "then", "then_score", "look"),
)


def open_records(path: str, live: bool) -> Sink:
    """The sink for `--records PATH`: `-` is standard output as JSON lines, else the suffix tells.

    Args:
        path: `-` or a file called *.jsonl or *.csv.
        live: the source has no end: append to the file in place, frame by frame.

    Raises:
        SinkError: the file cannot be made.
    """
    if path == "-":
        return StdoutSink()
    kinds = {".jsonl": JsonlSink, ".csv": CsvSink}
    return kinds[check_suffix(Path(path), kinds)](path, append=live)


def to_record(frame: Frame, results: Results, counts: Counts | None = None) -> dict[str, Any]:
    """The record of a frame: plain values, ready for JSON.

    `pts` is in seconds or None, `box` is [x1, y1, x2, y2] in pixels of the frame and absent for classifiers. `track` is
    there where the run tracks: a number from 1, or None of an object that is not known yet. `then` is there where the
    run has a second model: its classes, best first, or None of an object that it does not look at. `zones`, `lines` and
    `events` are there where the source has zones or lines. `look` is there where the run does not look at every frame.
    """
    record = {
        "source": frame.source,
        "frame": frame.index,
        "pts": None if frame.pts is None else round(frame.pts, 6),
        "width": frame.width,
        "height": frame.height,
        **({} if frame.look is None else {"look": frame.look}),
        "results": _to_results(results),
    }
    return record if counts is None else {**record, **counts.to_json()}


def _to_results(results: Results) -> list[dict[str, Any]]:
    names = results.names
    if isinstance(results, Detections):
        rows = zip(results.labels_N.tolist(), _rounded(results.scores_N, 4), _rounded(results.boxes_N4, 2), strict=True)
        records = [{"label": names[i], "label_id": i, "score": score, "box": box} for i, score, box in rows]
        if results.tracks_N is not None:
            for record, track in zip(records, results.tracks_N.tolist(), strict=True):
                record["track"] = track or None
        if results.then_N is not None:
            for record, then in zip(records, results.then_N, strict=True):
                record["then"] = None if then is None else _to_results(then)
        return records
    pairs = zip(results.labels_K.tolist(), _rounded(results.scores_K, 4), strict=True)
    return [{"label": names[i], "label_id": i, "score": score} for i, score in pairs]


def _rounded(values: NDArray[np.float32], digits: int) -> list[Any]:
    return np.round(values.astype(np.float64), digits).tolist()  # type: ignore[no-any-return]


class RecordFile:
    """A file in UTF-8 that grows with every frame. Each kind tells its suffix, its header, how a record is written, and
    what stands at the end.

    Args:
        path: the final name.
        append: add to the file in place and flush every frame, instead of a new file that gets its name when whole.
    """

    draws = False
    suffix: ClassVar[str]
    header: ClassVar[str] = ""

    def __init__(self, path: str | Path, append: bool = False) -> None:
        self._path = check_file(path, (self.suffix,))
        self._append = append
        self._file: BinaryIO | None = None
        self._closed = False
        if append and self._path.exists() and not os.access(self._path, os.W_OK):
            raise SinkError(f"{self._path} cannot be written to; change its permissions or choose another file")
        if append and self.header and _first_line(self._path) not in ("", self.header):
            raise SinkError(f"{self._path} has other columns than the records to append: choose another file")

    def write(self, item: Annotated) -> None:
        text = self._format(item)
        with writing(self._path):
            file = self._file or self._open()
            file.write(_encode(text))
            if self._append:
                file.flush()

    def close(self, whole: bool = True) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            with writing(self._path):
                self._finish(whole)
        except SinkError:
            if whole:
                raise

    def _format(self, item: Annotated) -> str:
        raise NotImplementedError

    def _end(self) -> str:
        return ""

    def _open(self) -> BinaryIO:
        self._file = open(self._path, "ab") if self._append else open(partial_path(self._path), "wb")  # noqa: SIM115
        if self._file.tell() == 0:
            self._file.write(self.header.encode())
        return self._file

    def _finish(self, whole: bool) -> None:
        if self._file is None and not whole:
            return
        with self._file or self._open() as file:
            file.write(_encode(self._end()))
        if whole and not self._append:
            finish(self._path)


class JsonlSink(RecordFile):
    """One JSON object a frame, one frame a line."""

    suffix = ".jsonl"

    def _format(self, item: Annotated) -> str:
        return _to_line(item)


class CsvSink(RecordFile):
    """One row a result, `COLUMNS` as the header; a frame without results gives no row."""

    suffix = ".csv"
    header = ",".join(COLUMNS) + "\n"

    def _format(self, item: Annotated) -> str:
        record = to_record(item.frame, item.results)
        results, look = record.pop("results"), record.pop("look", None)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for result in results:
            box = result.get("box", ("", "", "", ""))
            best = (result.get("then") or [{}])[0]
            cells = (result["label"], result["label_id"], result["score"], *box, result.get("track"))
            rows.writerow([*record.values(), *cells, best.get("label"), best.get("score"), look])
        return text.getvalue()


class StdoutSink:
    """JSON lines on standard output, flushed every frame. A reader that goes away (`| head`) ends the run."""

    draws = False

    def __init__(self) -> None:
        if sys.stdout is None:
            raise SinkError("standard output is closed; write the records to a file")
        self._file = sys.stdout.buffer

    def write(self, item: Annotated) -> None:
        try:
            with writing("standard output"):
                self._file.write(_encode(_to_line(item)))
                self._file.flush()
        except SinkError as error:
            _abandon_stdout()
            if isinstance(error.__cause__, BrokenPipeError):
                raise StopStream from None
            raise

    def close(self, whole: bool = True) -> None:
        """Standard output is not ours to close."""


def _first_line(path: Path) -> str:
    """The first line of a file, empty if there is none."""
    if not path.is_file():
        return ""
    with writing(path), path.open(encoding="utf-8", errors="replace", newline="") as file:
        return file.readline()


def _to_line(item: Annotated) -> str:
    record = to_record(item.frame, item.results, item.counts)
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _encode(text: str) -> bytes:
    # File names that are no UTF-8 reach us with lone surrogates: these are escaped, as JSON allows.
    return text.encode("utf-8", "backslashreplace")


def _abandon_stdout() -> None:
    """Sends what is left in the buffer nowhere, or the interpreter would fail once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
