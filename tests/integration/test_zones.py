"""Zones and lines through the command line, on a clip whose story is known."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.models import tiny_detector

from pipeline import cli

pytest.importorskip("trackers")

WIDTH, HEIGHT, SIDE = 160, 120, 24
RED, GREEN = (0, 0, 220), (0, 220, 0)  # far enough from each other in every channel
SECONDS = 6.0
PACE = 20.0  # pixels a second

ZONES = """
zones:
  yard:
    points: [[0.5, 0.0], [0.75, 0.0], [0.75, 1.0], [0.5, 1.0]]
    classes: [green]
lines:
  gate:
    points: [[0.0, 0.6], [0.5, 0.6]]
"""


def red_at(pts: float) -> tuple[float, float]:
    """Stands on x = 40; goes up from y = 100 to 40 and, after three seconds, down again: over y = 72 at 1.4 and 4.6."""
    return 40.0, 100 - PACE * min(pts, SECONDS - pts)


def green_at(pts: float) -> tuple[float, float]:
    """Goes to the right on y = 60 from x = 60: into the zone, which is x 80 to 120, at 1 and out at 3."""
    return 60.0 + PACE * pts, 60.0


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Both things, as boxes with the middle of their lower edge at their place; frames 20 to 60 ms apart."""
    times = np.cumsum(np.tile([0.02, 0.06, 0.04], 60))
    path = tmp_path / "story.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for pts in [0.0, *times[times < SECONDS]]:
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            for place, colour in ((red_at(pts), RED), (green_at(pts), GREEN)):
                left, top = round(place[0] - SIDE / 2), round(place[1] - SIDE)
                cv2.rectangle(image, (left, top), (left + SIDE - 1, top + SIDE - 1), colour, cv2.FILLED)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(pts * 1000), stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def here(here: Path) -> Path:
    (here / "zones.yaml").write_text(ZONES)
    return here


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_detector(tmp_path / "m.onnx", size=(HEIGHT, WIDTH))


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def onsight(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_what_happened_is_counted_written_and_drawn(story, here, model, capsys):
    outputs = ["--output", "out.mp4", "--records", "out.jsonl", "--events", "out.csv", "--heatmap", "heat.png"]
    outputs += ["--counts", "counts.csv", "--counts-every", "2.5s"]
    assert onsight("run", story, "--model", model, "--track", "--zones", "zones.yaml", *outputs, "--json") == 0

    rows = rows_of("out.csv")
    told = [(row["place"], row["event"], row["label"]) for row in rows]
    assert sorted(told) == [
        ("gate", "in", "red"),
        ("gate", "out", "red"),
        ("yard", "enter", "green"),
        ("yard", "leave", "green"),
    ]
    at = {row["event"]: float(row["pts"]) for row in rows}
    assert [at["in"], at["out"]] == pytest.approx([1.4, 4.6], abs=0.1)
    assert [at["enter"], at["leave"]] == pytest.approx([1.0, 3.0], abs=0.15)
    assert [float(row["dwell"]) for row in rows if row["dwell"]] == pytest.approx([2.0], abs=0.2)
    assert rows[0]["source"] == str(story)

    told = {(row["place"], row["label"], float(row["from"])): row for row in rows_of("counts.csv")}
    assert list(told) == [
        *(("yard", "green", 0.0), ("gate", "red", 0.0)),
        *(("yard", "green", 2.5), ("gate", "red", 2.5)),
        *(("yard", "green", 5.0), ("gate", "red", 5.0)),
    ]
    yard, gate = (list(told.values())[first::2] for first in (0, 1))
    assert [(row["entered"], row["left"], row["inside"]) for row in yard] == [
        ("1", "0", "1"),
        ("0", "1", "0"),
        ("0", "0", "0"),
    ]
    assert float(yard[1]["mean_dwell"]) == pytest.approx(2.0, abs=0.2)
    assert [(row["in"], row["out"]) for row in gate] == [("1", "0"), ("0", "1"), ("0", "0")]
    assert float(gate[-1]["to"]) == pytest.approx(SECONDS, abs=0.1)

    summary = json.loads(capsys.readouterr().out.splitlines()[-1])["sources"][0]
    assert summary["lines"] == {"gate": {"in": {"red": 1}, "out": {"red": 1}}}
    assert summary["zones"]["yard"]["entered"] == summary["zones"]["yard"]["left"] == {"green": 1}

    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    inside = [record["pts"] for record in records if record["zones"]["yard"]["inside"] == {"green": 1}]
    assert [inside[0], inside[-1]] == pytest.approx([1.0, 3.0], abs=0.15)
    assert sum(len(record["events"]) for record in records) == len(rows)

    with av.open("out.mp4") as container:
        halfway = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0) if frame.time < 3.0][-1]
    assert halfway[72, 45:70].min() > 180, "the line"
    assert halfway[90:110, 120].min() > 180, "an edge of the zone"
    heat = cv2.imread("heat.png")
    assert heat.shape[1] == WIDTH
    assert np.ptp(heat[40:100, 40].astype(int), axis=1).max() > 100, "colour where red walked"
    made = ["counts.csv", "heat.png", "out.csv", "out.jsonl", "out.mp4", "zones.yaml"]
    assert sorted(path.name for path in here.iterdir()) == made


def test_who_is_hidden_is_counted(story, here, model, capsys):
    flags = ["--track", "--zones", "zones.yaml", "--redact", "red", "--json"]
    assert onsight("run", story, "--model", model, *flags) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])["sources"][0]
    assert summary["lines"] == {"gate": {"in": {"red": 1}, "out": {"red": 1}}}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--zones", "zones.yaml"], "'zones' needs 'track'"),
        (["--track", "--counts", "out.csv"], "'counts' needs 'zones'"),
        (["--track", "--zones", "zones.yaml", "--counts-every", "1h"], "'counts_every' needs 'counts'"),
        (["--track", "--zones", "spike.yaml"], "edge 2 runs back over edge 1"),
        (["--track", "--zones", "missing.yaml"], "cannot be read"),
        (["--track", "--zones", "empty.yaml"], "neither a zone nor a line"),
        (["--track", "--zones", "two.yaml"], "at least three points, not 2"),
        (["--track", "--zones", "outside.yaml"], "is outside the frame"),
        (["--track", "--zones", "class.yaml"], "no label 'gren'; did you mean green"),
        (["--track", "--zones", "zones.yaml", "--classes", "red"], "counts green, but 'classes' leaves it out"),
        (["--track", "--zones", "zones.yaml", "--counts", "out.txt"], "unknown suffix"),
        (["--heatmap", "out.jpg"], "unknown suffix"),
        (["--heatmap", "heat.png", "--model", "CLASSIFIER"], "needs the boxes of a detector"),
        (["--track", "--zones", "zones.yaml", "--model", "CLASSIFIER"], "needs the boxes of a detector"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gives_one_line_and_leaves_nothing(arguments, told, story, here, model, classifier_path, capsys):
    (here / "empty.yaml").touch()
    (here / "two.yaml").write_text("zones: {a: {points: [[0, 0], [1, 1]]}}")
    (here / "outside.yaml").write_text("zones: {a: {points: [[0, 0], [1, 1], [0, 120]]}}")
    (here / "spike.yaml").write_text("zones: {a: {points: [[0.2, 0.55], [0.3, 0.7], [0.22, 0.58], [0.81, 0.55]]}}")
    (here / "class.yaml").write_text(ZONES.replace("green", "gren"))
    before = sorted(here.iterdir())
    command = [classifier_path if argument == "CLASSIFIER" else argument for argument in arguments]
    command += [] if "--model" in command else ["--model", model]
    assert onsight("run", story, *command, "--output", "out.mp4") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("device:")]
    assert told in line
    assert sorted(here.iterdir()) == before
