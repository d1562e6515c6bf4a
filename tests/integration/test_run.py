"""The command line from outside: what users and scripts see."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.clips import write_clip
from support.faults import fail_at
from support.models import constant_detector

from pipeline import cli

ONSIGHT = [sys.executable, "-c", "import sys; from pipeline.cli import main; sys.exit(main())"]


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", sound=True)


def onsight(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_decoder_that_fails_ends_its_source_alone(clip, classifier_path, tmp_path, capsys, monkeypatch):
    bad = write_clip(tmp_path / "bad.ts")
    fail_at(10, av.error.MemoryError(12, "Cannot allocate memory"), monkeypatch)
    assert onsight("run", bad, clip, "--model", classifier_path, "--records", "-", "--json") == 2
    told = capsys.readouterr()
    *records, last = [json.loads(line) for line in told.out.splitlines()]
    counts = [each["frames"] for each in last["sources"]]
    assert [record["source"] for record in records] == [str(bad)] * counts[0] + [str(clip)] * 20
    assert 0 < counts[0] <= 10
    assert f"{bad} cannot be decoded after {counts[0]} frames: Cannot allocate memory" in told.err
    assert "Traceback" not in told.err


def test_json_is_the_last_line_and_keeps_its_keys(clip, classifier_path, capsys):
    assert onsight("run", clip, "--model", classifier_path, "--records", "-", "--json") == 0
    *records, last = capsys.readouterr().out.splitlines()
    summary = json.loads(last)
    assert list(summary) == [
        "frames",
        "looked",
        "seconds",
        "fps",
        "dropped",
        "device",
        "providers",
        "mode",
        "workers",
        "sources",
    ]
    assert (summary["frames"], summary["looked"], summary["dropped"]) == (20, 20, 0)
    assert summary["sources"][0] == {
        "source": str(clip),
        "frames": 20,
        "looked": 20,
        "dropped": 0,
        "withheld": 0,
        "decoder": "cpu",
    }
    assert summary["fps"] == pytest.approx(20 / summary["seconds"], rel=0.2)
    assert [json.loads(line)["frame"] for line in records] == list(range(20))


def test_a_record_keeps_its_keys(clip, detector_path, capsys):
    assert onsight("run", clip, "--model", detector_path, "--records", "-") == 0
    record = json.loads(capsys.readouterr().out.splitlines()[0])
    assert list(record) == ["source", "frame", "pts", "width", "height", "results"]
    assert list(record["results"][0]) == ["label", "label_id", "score", "box"]


def test_tiles_and_thresholds_of_classes_go_with_tracking(clip, detector_path, capsys):
    flags = ["--tiles", "2x2", "--class-thresholds", "red=1,GREEN=0.1", "--track", "--redact", "blue"]
    assert onsight("run", clip, "--model", detector_path, "--records", "-", *flags) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 20
    found = [result for record in records for result in record["results"]]
    assert {result["track"] for result in found} > {None}
    assert {result["label"] for result in found} >= {"blue", "green"}
    assert all(result["score"] == 1 or result["track"] for result in found if result["label"] == "red")


def test_a_record_tells_whether_the_model_looked(clip, detector_path, here, capsys):
    flags = ["--every", "3", "--track", "--records", "-", "--json"]
    assert onsight("run", clip, "--model", detector_path, *flags) == 0
    printed = capsys.readouterr()
    *records, summary = [json.loads(line) for line in printed.out.splitlines()]
    assert list(records[0]) == ["source", "frame", "pts", "width", "height", "look", "results"]
    assert [record["look"] for record in records] == ["ahead" if n % 3 else "anew" for n in range(20)]
    assert (summary["frames"], summary["looked"], summary["sources"][0]["looked"]) == (20, 7, 7)
    assert onsight("run", clip, "--model", detector_path, "--motion-gate", "--every", "2", "--records", "x.csv") == 0
    assert "20 frames in" in (told := capsys.readouterr().err.splitlines()[-1])
    assert "looked at" in told
    rows = list(csv.DictReader(io.StringIO((here / "x.csv").read_text())))
    assert {row["look"] for row in rows if int(row["frame"]) == 0} == {"anew"}
    assert {row["look"] for row in rows} == {"anew", "ahead"}


def test_csv_has_a_row_a_result(clip, detector_path, here):
    assert onsight("run", clip, "--model", detector_path, "--records", "out.csv", "--classes", "red,green") == 0
    rows = list(csv.DictReader(io.StringIO((here / "out.csv").read_text())))
    assert {row["label"] for row in rows} == {"red", "green"}
    assert {row["frame"] for row in rows} == {str(number) for number in range(20)}


def test_flags_win_over_the_file(clip, classifier_path, here):
    (here / "run.yaml").write_text(f"model: {classifier_path}\nrecords: file.jsonl\noutput: out.mp4\ntop-k: 1\n")
    assert onsight("run", "--config", "run.yaml", clip, "--records", "flag.jsonl") == 0
    assert sorted(path.name for path in here.iterdir()) == ["flag.jsonl", "out.mp4", "run.yaml"]
    assert len(json.loads((here / "flag.jsonl").read_text().splitlines()[0])["results"]) == 1


def test_every_flag_can_stand_in_the_file():
    from pipeline.config import RunConfig

    flags = {option.name for option in cli.run.params} - {"config"}
    assert flags == {field.alias or name for name, field in RunConfig.model_fields.items()}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.mp4"], "missing.mp4 does not exist"),
        (["empty.mp4"], "empty"),
        (["text.mp4"], "not a video"),
        (["cut.mp4"], "cut off"),
        (["folder"], "no images"),
        (["CLIP", "--model", "missing.onnx"], "no model file"),
        (["CLIP", "--model", "empty.onnx"], "cannot be loaded"),
        (["CLIP", "--model", "noise.onnx"], "cannot be loaded"),
        (["CLIP", "--model", "foreign.onnx"], "onsight adopt"),
        (["CLIP", "--output", "no/such/out.mp4"], "does not exist"),
        (["CLIP", "--output", "out.xyz"], "unknown suffix"),
        (["CLIP", "--output", "out.png"], "unknown suffix"),
        (["CLIP", "--output", "text.mp4/out.mp4"], "not a folder"),
        (["CLIP", "--records", "no/such/out.jsonl"], "does not exist"),
        (["CLIP", "--records", "out.txt"], "unknown suffix"),
        (["CLIP", "--classes", "bleu"], "did you mean blue"),
        (["CLIP", "--class-thresholds", "bleu=0.5"], "did you mean blue"),
        (["CLIP", "--class-thresholds", "blue"], "as in person=0.5,car=0.4"),
        (["CLIP", "--tiles", "0x2"], "COLUMNSxROWS"),
        (["CLIP", "--every", "0"], "every"),
        (["CLIP", "--every", "2", "--redact", "red"], "'every' does not go with 'redact'"),
        (["CLIP", "--motion-gate", "--redact", "red"], "'motion_gate' does not go with 'redact'"),
        (["CLIP", "--motion-threshold", "0.1"], "'motion_threshold' needs 'motion_gate'"),
        (["CLIP", "--redact", "person"], "no label 'person'"),
        (["CLIP", "--threshold", "1.5"], "threshold"),
        (["CLIP", "--top-k", "3"], "classifiers"),
        (["CLIP", "--iou", "0.5"], "no effect"),
        (["CLIP", "--config", "wrong.yaml"], "did you mean 'model'"),
        (["CLIP", "--config", "missing.yaml"], "cannot be read"),
        (["CLIP", "--device", "cuda"], "cuda cannot be used"),
        ([], "source"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gives_one_line_and_leaves_nothing(arguments, told, clip, detector_path, here, capsys):
    if "cuda" in arguments and os.environ.get("ONSIGHT_REQUIRE_CUDA") == "1":
        pytest.skip("there is a GPU")
    (here / "empty.mp4").touch()
    (here / "text.mp4").write_text("not a video\n")
    (here / "cut.mp4").write_bytes(clip.read_bytes()[:2000])
    (here / "folder").mkdir()
    (here / "empty.onnx").touch()
    (here / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(4000))
    strip_contract(detector_path, here / "foreign.onnx")
    (here / "wrong.yaml").write_text("modle: m.onnx\n")
    before = sorted(here.rglob("*"))

    command = [clip if argument == "CLIP" else argument for argument in arguments]
    if "--model" not in command:
        command += ["--model", detector_path]
    if "--output" not in command:
        command += ["--output", "out.mp4"]
    assert onsight("run", *command) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("device:")]
    assert len(lines) == 1
    assert told in lines[0]
    assert sorted(here.rglob("*")) == before


def strip_contract(model, path):
    import onnx

    proto = onnx.load(model)
    del proto.metadata_props[:]
    onnx.save(proto, path)


@pytest.mark.parametrize("size", [(1, 1), (6000, 8000)])
def test_images_of_any_size(size, detector_path, here, capsys):
    cv2.imwrite("in.png", np.full((*size, 3), (0, 0, 255), np.uint8))
    assert onsight("run", "in.png", "--model", detector_path, "--output", "out.jpg", "--records", "-") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["height"], record["width"]) == size
    assert cv2.imread("out.jpg").shape == (*size, 3)


def test_images_of_a_glob_are_records_of_their_own(detector_path, here, capsys):
    for name in ("img2.png", "img10.png", "other.txt"):
        cv2.imwrite(name, np.zeros((20, 20, 3), np.uint8)) if name.endswith("png") else Path(name).touch()
    assert onsight("run", "img*.png", "--model", detector_path, "--records", "-") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["source"], record["frame"]) for record in records] == [("img2.png", 0), ("img10.png", 0)]


@pytest.mark.parametrize("json_summary", [False, True])
def test_a_run_whose_every_frame_was_withheld_has_failed_and_says_so(clip, here, capsys, json_summary):
    model = constant_detector(here / "m.onnx", [((float("nan"),) * 4, 0.9, 0)])
    flags = ["--redact", "person", "--output", "out.mp4", "--records", "-", *["--json"] * json_summary]
    assert onsight("run", clip, "--model", model, *flags) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "onsight: redaction failed for every frame: nothing was shown or written"
    assert not (here / "out.mp4").exists()
    if json_summary:
        (summary,) = map(json.loads, printed.out.splitlines())
        assert (summary["frames"], summary["sources"][0]["withheld"]) == (0, 20)
    else:
        assert printed.out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_whole_files(number, code, classifier_path, here):
    source = "synthetic:320x240@30?frames=100000"
    command = [
        *ONSIGHT,
        "run",
        source,
        "--model",
        str(classifier_path),
        "--output",
        "out.mp4",
        "--records",
        "out.jsonl",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        wait_for(Path("out.partial.mp4"))
        run.send_signal(number)
        _, told = run.communicate(timeout=20)
    assert run.returncode == code
    assert "Traceback" not in told
    assert sorted(path.name for path in here.iterdir()) == ["out.jsonl", "out.mp4"]
    with av.open("out.mp4") as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == len(Path("out.jsonl").read_text().splitlines()) > 0


def test_a_reader_that_leaves_ends_the_run(classifier_path):
    command = [*ONSIGHT, "run", "synthetic:320x240@30?frames=100000", "--model", str(classifier_path), "--records", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        json.loads(run.stdout.readline())
        run.stdout.close()
        assert run.wait(timeout=20) == 0
        assert "Traceback" not in run.stderr.read()


def wait_for(path, seconds=20.0):
    end = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)
