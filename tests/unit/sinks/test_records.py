import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks.records import CsvSink, JsonlSink, StdoutSink, open_records, to_record
from pipeline.types import Annotated, Classification, Detections

MakeItem = Callable[..., Annotated]
NAMES = ('say "cheese"', "größe, 例\nnew line")
IMAGE = np.zeros((48, 64, 3), np.uint8)


def detections() -> Detections:
    boxes = np.array([[1.23456, 2, 3, 4.5], [0, 0.1, 63.999, 48]], np.float32)
    return Detections(boxes, np.array([1, 0]), np.array([0.87654321, 0.5], np.float32), NAMES)


def test_a_detector_gives_boxes(make_item: MakeItem) -> None:
    item = make_item(IMAGE, 3, 0.1234567, detections(), source="a.mp4")
    assert to_record(item.frame, item.results) == {
        "source": "a.mp4",
        "frame": 3,
        "pts": 0.123457,
        "width": 64,
        "height": 48,
        "results": [
            {"label": NAMES[1], "label_id": 1, "score": 0.8765, "box": [1.23, 2.0, 3.0, 4.5]},
            {"label": NAMES[0], "label_id": 0, "score": 0.5, "box": [0.0, 0.1, 64.0, 48.0]},
        ],
    }


def tracked() -> Detections:
    return replace(detections(), tracks_N=np.array([12, 0]))


def test_a_run_that_tracks_gives_numbers(make_item: MakeItem) -> None:
    record = to_record(make_item(IMAGE).frame, tracked())
    assert [result["track"] for result in record["results"]] == [12, None]


def looked_at() -> Detections:
    breed = Classification(np.array([1, 0]), np.array([0.91, 0.05], np.float32), ("beagle", "boxer, bulldog"))
    return replace(detections(), then_N=(breed, None))


def test_a_second_model_gives_classes_to_each_object(make_item: MakeItem) -> None:
    record = to_record(make_item(IMAGE).frame, looked_at())
    assert [result["then"] for result in record["results"]] == [
        [
            {"label": "boxer, bulldog", "label_id": 1, "score": 0.91},
            {"label": "beagle", "label_id": 0, "score": 0.05},
        ],
        None,
    ]


def between_looks(item: Annotated) -> Annotated:
    return replace(item, redacted=replace(item.redacted, frame=replace(item.frame, look="ahead")))


def test_a_run_that_does_not_look_at_every_frame_tells_at_which(make_item: MakeItem) -> None:
    item = make_item(IMAGE, 5, None, tracked())
    record = to_record(item.frame, item.results)
    predicted = to_record(between_looks(item).frame, item.results)
    assert predicted.pop("look") == "ahead"
    assert predicted == record


def test_a_classifier_gives_no_boxes_and_an_image_no_time(make_item: MakeItem) -> None:
    results = Classification(np.array([1]), np.array([0.25], np.float32), NAMES)
    record = to_record(make_item(IMAGE).frame, results)
    assert record["pts"] is None
    assert record["results"] == [{"label": NAMES[1], "label_id": 1, "score": 0.25}]


def test_jsonl_holds_the_records_in_utf8(tmp_path: Path, make_item: MakeItem) -> None:
    items = [make_item(IMAGE, i, i / 25, detections(), source="größe.mp4") for i in range(3)]
    sink = JsonlSink(tmp_path / "x.jsonl")
    for item in items:
        sink.write(item)
    sink.close()
    data = (tmp_path / "x.jsonl").read_bytes()
    assert "例".encode() in data
    assert [json.loads(line) for line in data.decode().splitlines()] == [to_record(i.frame, i.results) for i in items]


def test_a_source_name_that_is_no_utf8_is_escaped(tmp_path: Path, make_item: MakeItem) -> None:
    sink = JsonlSink(tmp_path / "x.jsonl")
    sink.write(make_item(IMAGE, source="\udcff.mp4"))
    sink.close()
    assert json.loads((tmp_path / "x.jsonl").read_text("utf-8"))["source"] == "\udcff.mp4"


def test_csv_has_one_row_a_result_and_quotes(tmp_path: Path, make_item: MakeItem) -> None:
    sink = CsvSink(tmp_path / "x.csv")
    sink.write(make_item(IMAGE, 0, 0.04, detections(), source="a, b.mp4"))
    sink.write(make_item(IMAGE, 1, 0.08, source="a, b.mp4"))
    sink.write(make_item(IMAGE, 2, None, Classification(np.array([0]), np.array([1], np.float32), NAMES)))
    sink.write(make_item(IMAGE, 3, None, tracked()))
    sink.write(make_item(IMAGE, 4, None, looked_at()))
    sink.write(between_looks(make_item(IMAGE, 5, None, tracked())))
    sink.close()
    text = (tmp_path / "x.csv").read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header[:8] == ["source", "frame", "pts", "width", "height", "label", "label_id", "score"]
    assert header[8:] == ["x1", "y1", "x2", "y2", "track", "then", "then_score", "look"]
    first, second = (
        (NAMES[1], "1", "0.8765", "1.23", "2.0", "3.0", "4.5"),
        (NAMES[0], "0", "0.5", "0.0", "0.1", "64.0", "48.0"),
    )
    assert rows == [
        ["a, b.mp4", "0", "0.04", "64", "48", *first, "", "", "", ""],
        ["a, b.mp4", "0", "0.04", "64", "48", *second, "", "", "", ""],
        ["clip.mp4", "2", "", "64", "48", NAMES[0], "0", "1.0", *[""] * 8],
        ["clip.mp4", "3", "", "64", "48", *first, "12", "", "", ""],
        ["clip.mp4", "3", "", "64", "48", *second, "", "", "", ""],
        ["clip.mp4", "4", "", "64", "48", *first, "", "boxer, bulldog", "0.91", ""],
        ["clip.mp4", "4", "", "64", "48", *second, "", "", "", ""],
        ["clip.mp4", "5", "", "64", "48", *first, "12", "", "", "ahead"],
        ["clip.mp4", "5", "", "64", "48", *second, "", "", "", "ahead"],
    ]


@pytest.mark.parametrize(("kind", "name", "lines"), [(JsonlSink, "x.jsonl", 3), (CsvSink, "x.csv", 7)])
def test_records_of_live_sources_are_appended_frame_by_frame(
    kind: type[JsonlSink | CsvSink], name: str, lines: int, tmp_path: Path, make_item: MakeItem
) -> None:
    def written() -> int:
        return (tmp_path / name).read_text("utf-8").replace(" 例\nnew line", "").count("\n")

    first, second = kind(tmp_path / name, append=True), kind(tmp_path / name, append=True)
    first.write(make_item(IMAGE, 0, 0.0, detections()))
    begun = written()
    first.write(make_item(IMAGE, 1, 0.1, detections()))
    assert written() > begun > 0
    first.close(whole=False)
    second.write(make_item(IMAGE, 0, 0.0, detections()))
    second.close()
    assert written() == lines


def test_rows_are_not_appended_below_other_columns(tmp_path: Path) -> None:
    older = "source,frame,pts,width,height,label,label_id,score,x1,y1,x2,y2\nclip.mp4,0,,64,48,cat,0,1.0,,,,\n"
    (tmp_path / "x.csv").write_text(older)
    with pytest.raises(SinkError, match=r"x\.csv has other columns .* choose another file$"):
        CsvSink(tmp_path / "x.csv", append=True)
    assert (tmp_path / "x.csv").read_text() == older
    CsvSink(tmp_path / "x.csv")


def test_the_suffix_and_the_dash_choose(tmp_path: Path) -> None:
    assert isinstance(open_records("-", live=False), StdoutSink)
    assert isinstance(open_records(str(tmp_path / "x.CSV"), live=False), CsvSink)
    assert isinstance(open_records(str(tmp_path / "x.jsonl"), live=True), JsonlSink)
    with pytest.raises(SinkError, match=r"x\.txt has an unknown suffix; give it one of: \.jsonl \.csv"):
        open_records(str(tmp_path / "x.txt"), live=False)


def test_standard_output_takes_json_lines(make_item: MakeItem, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = StdoutSink()
    sink.write(make_item(IMAGE, 7, source="例.mp4"))
    sink.close()
    sink.close()
    line = capfdbinary.readouterr().out
    assert json.loads(line)["source"] == "例.mp4"
    assert json.loads(line)["frame"] == 7


WRITER = """
import sys
import numpy as np
from pipeline.errors import SinkError, StopStream
from pipeline.sinks.records import StdoutSink
from pipeline.types import Annotated, Classification, Frame, Redacted

image = np.zeros((4, 4, 3), np.uint8)
nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))
sink = StdoutSink()
try:
    for i in range(100_000):
        sink.write(Annotated(Redacted(Frame(image, "clip", i, None), nothing), image))
except (StopStream, SinkError) as end:
    print(type(end).__name__, end, i < 99_999, file=sys.stderr)
sink.close()
"""


def test_a_reader_that_goes_away_ends_the_run() -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["frame"] == 0
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert (process.wait(), errors.strip()) == (0, "StopStream  True")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_standard_output_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", WRITER], stdout=full, stderr=subprocess.PIPE, text=True, check=True
        )
    assert done.stderr.strip() == "SinkError cannot write standard output: No space left on device True"


def test_a_file_that_cannot_be_opened_is_an_error_and_leaves_no_final_name(tmp_path: Path, make_item: MakeItem) -> None:
    (tmp_path / "x.partial.jsonl").mkdir()
    sink = JsonlSink(tmp_path / "x.jsonl")
    with pytest.raises(SinkError, match=r"cannot write .*x\.jsonl: "):
        sink.write(make_item(IMAGE))
    sink.close(whole=False)
    assert not (tmp_path / "x.jsonl").exists()
