"""What every sink promises. The window has a display of its own to be tested on: tests/unit/sinks/test_window.py."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks.base import Sink
from pipeline.sinks.counts import CountsSink
from pipeline.sinks.encoder import Effort
from pipeline.sinks.events import EventsSink
from pipeline.sinks.heatmap import HeatmapSink
from pipeline.sinks.images import image_folder, one_image
from pipeline.sinks.memory import MemorySink
from pipeline.sinks.records import CsvSink, JsonlSink, open_records
from pipeline.sinks.video import VideoSink
from pipeline.types import (
    Annotated,
    Classification,
    Counts,
    Detections,
    Frame,
    LineCount,
    Media,
    Redacted,
    Results,
    ZoneEvent,
)

NAMES = ("cat", "dog, small")
FPS = 10
MEDIA = Media(time_base=Fraction(1, 1000), frames=4, seconds=0.4)


def detections(count: int = 2) -> Detections:
    boxes = np.array([[1, 2, 3, 4.5], [0, 0, 10, 10]], np.float32)[:count]
    return Detections(boxes, np.arange(count), np.linspace(0.9, 0.5, count, dtype=np.float32), NAMES)


def classes() -> Classification:
    return Classification(np.array([1, 0]), np.array([0.75, 0.25], np.float32), NAMES)


def item(index: int, size: tuple[int, int] = (48, 64), results: Results | None = None) -> Annotated:
    """A frame of `size` (height, width) that gets brighter with its index, in which one more cat has crossed a line."""
    image = np.full((*size, 3), 40 + 20 * index, np.uint8)
    frame = Frame(image, f"shots/{index}.png", index, index / FPS)
    gate = LineCount("gate", ((0, 0), (1, 1)), {"cat": index + 1}, {})
    counts = Counts((), (gate,), (ZoneEvent("in", "gate", 7, "cat", index / FPS),))
    return Annotated(Redacted(frame, results or detections(), counts), image)


@dataclass(frozen=True)
class Case:
    """One kind of sink: how to make it in a folder, what it leaves for n frames there, how to count those in a file."""

    make: Callable[[Path], Sink]
    finals: Callable[[int], list[str]]
    count: Callable[[Path], int]
    in_place: bool = False
    empty: bytes | None = None

    def frames(self, written: int) -> int:
        """How many of the frames written can be found: an image holds one, everything else holds all."""
        return len(self.finals(written)) if self.count is count_image else written * len(self.finals(written))


def count_video(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def count_jsonl(path: Path) -> int:
    return len([json.loads(line) for line in path.read_text("utf-8").splitlines()])


def count_csv(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return len({row["frame"] for row in csv.DictReader(file)})


def count_crossings(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(int(row["in"]) for row in csv.DictReader(file))


def count_image(path: Path) -> int:
    return int(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None)


COUNTS_HEADER = b"source,from,to,place,kind,label,entered,left,inside,mean_dwell,in,out\n"
EVENTS_HEADER = b"source,frame,pts,place,event,track,label,dwell\n"
HEADER = b"source,frame,pts,width,height,label,label_id,score,x1,y1,x2,y2,track,then,then_score,look\n"
CASES = {
    "video": Case(lambda at: VideoSink(at / "x.mp4", MEDIA), lambda n: ["x.mp4"], count_video),
    "video, preset to be found": Case(
        lambda at: VideoSink(at / "x.mp4", MEDIA, Effort("auto")), lambda n: ["x.mp4"], count_video
    ),
    "jsonl": Case(lambda at: JsonlSink(at / "x.jsonl"), lambda n: ["x.jsonl"], count_jsonl, empty=b""),
    "csv": Case(lambda at: CsvSink(at / "x.csv"), lambda n: ["x.csv"], count_csv, empty=HEADER),
    "jsonl-append": Case(
        lambda at: JsonlSink(at / "x.jsonl", append=True), lambda n: ["x.jsonl"], count_jsonl, True, b""
    ),
    "csv-append": Case(lambda at: CsvSink(at / "x.csv", append=True), lambda n: ["x.csv"], count_csv, True, HEADER),
    "counts": Case(lambda at: CountsSink(at / "x.csv"), lambda n: ["x.csv"], count_crossings, empty=COUNTS_HEADER),
    "counts-append": Case(
        lambda at: CountsSink(at / "x.csv", 2 / FPS, True), lambda n: ["x.csv"], count_crossings, True, COUNTS_HEADER
    ),
    "events": Case(lambda at: EventsSink(at / "x.csv"), lambda n: ["x.csv"], count_csv, empty=EVENTS_HEADER),
    "events-append": Case(
        lambda at: EventsSink(at / "x.csv", append=True), lambda n: ["x.csv"], count_csv, True, EVENTS_HEADER
    ),
    "heatmap": Case(lambda at: HeatmapSink(at / "x.png"), lambda n: ["x.png"], count_image),
    "images": Case(image_folder, lambda n: [f"{i}.png" for i in range(n)], count_image, in_place=True),
    "image": Case(lambda at: one_image(at / "x.jpg"), lambda n: ["x.jpg"], count_image, in_place=True),
    "memory": Case(lambda at: MemorySink(), lambda n: [], lambda path: 0),
}
FILES = {name: case for name, case in CASES.items() if name not in ("images", "memory")}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def frames_in(folder: Path, case: Case) -> int:
    return sum(case.count(path) for path in folder.iterdir())


def test_a_whole_output_has_its_final_name(case: Case, tmp_path: Path) -> None:
    sink = case.make(tmp_path)
    for index in range(4):
        sink.write(item(index))
    sink.close()
    assert left_in(tmp_path) == case.finals(4)
    assert frames_in(tmp_path, case) == case.frames(4)


def test_a_failed_output_is_readable_under_its_partial_name(case: Case, tmp_path: Path) -> None:
    sink = case.make(tmp_path)
    sink.write(item(0))
    sink.write(item(1))
    sink.close(whole=False)
    finals = case.finals(2)
    assert left_in(tmp_path) == (finals if case.in_place else [name.replace(".", ".partial.") for name in finals])
    assert frames_in(tmp_path, case) == case.frames(2)


@pytest.mark.parametrize("first", [True, False])
def test_the_second_close_does_nothing(case: Case, tmp_path: Path, first: bool) -> None:
    sink = case.make(tmp_path)
    sink.write(item(0))
    sink.close(whole=first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sink.close(whole=not first)
    sink.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_a_frame_nothing_is_left_but_empty_records(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path).close(whole=False)
    assert left_in(tmp_path) == []
    case.make(tmp_path).close()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if case.empty is None else [case.empty])


def test_an_older_partial_file_is_overwritten(tmp_path: Path) -> None:
    for name in ("video", "jsonl", "csv", "heatmap"):
        case = CASES[name]
        final = case.finals(1)[0]
        (tmp_path / final.replace(".", ".partial.")).write_bytes(b"left by a killed run\n" * 1000)
        (tmp_path / final).write_bytes(b"of an older run")
        sink = case.make(tmp_path)
        sink.write(item(0))
        sink.close()
        assert case.count(tmp_path / final) == 1
    assert left_in(tmp_path) == ["x.csv", "x.jsonl", "x.mp4", "x.png"]


@pytest.mark.parametrize("name", [name for name in CASES if name != "memory"])
def test_a_missing_folder_is_named_at_construction(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="does not exist"):
        CASES[name].make(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"is not a folder|does not exist"):
        CASES[name].make(tmp_path / "file")
    assert left_in(tmp_path) == ["file"]


@pytest.mark.parametrize("name", [name for name in CASES if name != "memory"])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc takes no files from anybody")
def test_an_unwritable_folder_is_an_error_at_construction(name: str) -> None:
    with pytest.raises(SinkError, match="cannot write /proc"):
        CASES[name].make(Path("/proc"))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_of_the_final_name_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / FILES[name].finals(1)[0]).mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        FILES[name].make(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: VideoSink(path, MEDIA),
        JsonlSink,
        CsvSink,
        CountsSink,
        EventsSink,
        HeatmapSink,
        one_image,
        lambda path: open_records(str(path), live=False),
    ],
)
@pytest.mark.parametrize("name", ["x.xyz", "x"])
def test_an_unknown_suffix_is_an_error(make: Callable[[Path], Sink], name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="unknown suffix"):
        make(tmp_path / name)


def test_both_kinds_of_results_pass(case: Case, tmp_path: Path) -> None:
    sink = case.make(tmp_path)
    for index, results in enumerate([detections(), classes(), detections(0), classes()]):
        sink.write(item(index, results=results))
    sink.close()
    assert left_in(tmp_path) == case.finals(4)


def test_a_path_may_hold_any_letters(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "Ünter größe 例 %d"
    folder.mkdir()
    sink = case.make(folder)
    sink.write(item(0))
    sink.close()
    assert left_in(folder) == case.finals(1)


@pytest.mark.parametrize("first", [(1, 1), (17, 31), (48, 64)])
def test_odd_and_changing_sizes_pass(case: Case, tmp_path: Path, first: tuple[int, int]) -> None:
    sink = case.make(tmp_path)
    for index, size in enumerate([first, (48, 64), (1, 200), (33, 7)]):
        sink.write(item(index, size))
    sink.close()
    assert left_in(tmp_path) == case.finals(4)


def test_sinks_say_whether_they_want_drawings(tmp_path: Path) -> None:
    draw = {name for name, case in CASES.items() if case.make(tmp_path).draws}
    assert draw == {"video", "video, preset to be found", "images", "image", "memory"}
