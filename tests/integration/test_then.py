"""A second model through the command line, on a clip whose left half is red and whose right half is green."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import write_clip
from support.models import tiny_classifier

from pipeline import cli, recognise

STONES = ("sapphire", "emerald", "ruby")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def stones(tmp_path: Path) -> Path:
    """A classifier of blue, green and red, which has its own names for them."""
    return tiny_classifier(tmp_path / "stones.onnx", labels=STONES)


def onsight(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def records_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


def last_picture(name: str) -> np.ndarray:
    with av.open(name) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)][-1].astype(int)


def test_what_was_found_is_named_in_picture_and_records(clip, here, detector_path, stones):
    common = ["run", clip, "--model", detector_path, "--classes", "red,green"]
    then = ["--then", stones, "--on", "red"]
    assert onsight(*common, *then, "--output", "out.mp4", "--records", "out.jsonl") == 0
    assert onsight(*common, *then, "--records", "out.csv") == 0
    assert onsight(*common, "--output", "without.mp4", "--records", "without.jsonl") == 0

    records = records_of("out.jsonl")
    assert len(records) == 20
    for result in (result for record in records for result in record["results"]):
        if result["label"] == "green":
            assert result["then"] is None
            continue
        best, other = result["then"]
        assert (best["label"], best["label_id"]) == ("ruby", 2)
        assert best["score"] > other["score"] > 0
    assert [{**r, "results": [{**each, "then": None} for each in r["results"]]} for r in records] == [
        {**r, "results": [{**each, "then": None} for each in r["results"]]} for r in records_of("without.jsonl")
    ]
    assert not any("then" in result for record in records_of("without.jsonl") for result in record["results"])

    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["label"], row["then"], bool(row["then_score"])) for row in rows} == {
        ("red", "ruby", True),
        ("green", "", False),
    }

    changed = np.abs(last_picture("out.mp4") - last_picture("without.mp4")).max(axis=2) > 60
    rows_changed = np.flatnonzero(changed.any(axis=1))
    assert changed.sum() > 100
    assert rows_changed.max() < 40, "only the label above the boxes has changed"


def test_the_answer_for_a_track_stays_and_is_there_though_the_object_is_hidden(clip, here, detector_path, stones):
    pytest.importorskip("trackers")
    flags = ["--track", "--then", stones, "--on", "red", "--redact", "red", "--redact-style", "fill", "--no-draw"]
    assert onsight("run", clip, "--model", detector_path, *flags, "--output", "out.mp4", "--records", "out.jsonl") == 0
    first, *others = [[r for r in record["results"] if r["label"] == "red"] for record in records_of("out.jsonl")]
    assert [result["then"] for result in first] == [None]
    told = [result["then"][0]["label"] for results in others for result in results if result["track"] == 1]
    assert told == ["ruby"] * 19
    # The box grows by a third when the numbers of the picture reach into its half, once: two looks.
    scores = {result["then"][0]["score"] for results in others for result in results if result["track"] == 1}
    assert len(scores) <= 2
    assert last_picture("out.mp4")[40:110, 10:60].max() < 40


def test_it_is_there_in_python(clip, detector_path, stones):
    for item in recognise(clip, detector_path, classes="red", then=stones):
        (answer,) = item.results.then_N
        assert answer.names[answer.labels_K[0]] == "ruby"
    assert all(item.results.then_N is None for item in recognise(clip, detector_path))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--on", "red"], "'on' needs 'then'"),
        (["--then", "missing.onnx"], "there is no model file missing.onnx"),
        (["--then", "DETECTOR"], "'then' needs a classifier, but"),
        (
            ["--then", "STONES", "--model", "STONES"],
            "'then' needs the boxes of a detector, but this model is a classif",
        ),
        (["--then", "STONES", "--on", "gren"], "'on': the model has no label 'gren'; did you mean green"),
        (["--then", "STONES", "--on", "red,green", "--classes", "red"], "'on' has green, but 'classes' leaves it out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gives_one_line_and_leaves_nothing(arguments, told, clip, here, detector_path, stones, capsys):
    names = {"DETECTOR": detector_path, "STONES": stones}
    command = [names.get(argument, argument) for argument in arguments]
    command += [] if "--model" in command else ["--model", detector_path]
    assert onsight("run", clip, *command, "--output", "out/", "--records", "out.jsonl") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert list(here.iterdir()) == []
