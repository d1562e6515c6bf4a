from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.zones import Place, Places, read_zones, settle_zones

LABELS = ("person", "car", "Truck")
SQUARE = "[[0.1, 0.1], [0.5, 0.1], [0.5, 0.5], [0.1, 0.5]]"
CORNERS = ((0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.5))
LINE = "[[0, 0.5], [1, 0.5]]"
ENDS = ((0.0, 0.5), (1.0, 0.5))


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "zones.yaml"
        path.write_text(text)
        return path

    return write


def places(file: Path, sources=("a.mp4",), classes=None) -> list[Places]:
    return settle_zones(read_zones(file), LABELS, classes, sources)


def test_zones_and_lines_are_read_with_their_defaults(written):
    file = written(f"zones: {{yard: {{points: {SQUARE}}}}}\nlines: {{gate: {{points: {LINE}}}}}")
    assert places(file) == [Places((Place("yard", CORNERS),), (Place("gate", ENDS),))]


def test_everything_can_be_said(written):
    file = written(
        f"""
        zones:
          1: {{points: {SQUARE}, classes: "car, TRUCK", anchor: center, sources: 0}}
          front door: {{points: [[0, 0], [1, 0], [1, 1]], classes: [person], sources: [0, b.mp4]}}
        """
    )
    first, second = places(file, ("0", "b.mp4"))
    assert first.zones[0] == Place("1", CORNERS, frozenset({1, 2}), "center")
    assert [zone.name for zone in first.zones] == ["1", "front door"]
    assert [zone.name for zone in second.zones] == ["front door"]
    assert second.zones[0].classes == {0}


def test_a_camera_is_named_as_in_the_sources_but_its_password_is_in_no_message(written):
    file = written(f"lines: {{gate: {{points: {LINE}, sources: 'rtsp://me:secret@192.0.2.10/stream'}}}}")
    assert len(places(file, ("rtsp://192.0.2.10/stream",))[0].lines) == 1
    with pytest.raises(ConfigError) as caught:
        places(file, ("a.mp4",))
    assert "'gate' of the zones file belongs to rtsp://192.0.2.10/stream, but the sources are: a.mp4" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "points",
    [
        "[[0, 0], [1, 0], [1, 1], [0, 1]]",
        "[[0, 0], [1, 0], [0.5, 0.5], [1, 1], [0, 1]]",
        "[[0.2, 0.2], [0.4, 0.2], [0.6, 0.2], [0.6, 0.6]]",
        "[[0.5, 0.1], [0.6, 0.4], [0.9, 0.4], [0.7, 0.6], [0.8, 0.9], [0.5, 0.7], [0.2, 0.9], [0.3, 0.6], [0.1, 0.4]]",
    ],
    ids=["whole frame", "concave", "a corner on an edge's way", "star"],
)
def test_any_simple_polygon_is_a_zone(written, points):
    assert len(places(written(f"zones: {{a: {{points: {points}}}}}"))[0].zones) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has neither a zone nor a line"),
        ("# nothing yet", "has neither a zone nor a line"),
        ("zones: {}", "has neither a zone nor a line"),
        ("zones: [yard]", "zones cannot be ['yard']: give names, each with its keys below it"),
        ("zones: {a: null}", "zones.a cannot be empty: give it keys, such as 'points'"),
        ("zones: {a: {points: 4}}", "zones.a.points cannot be 4: give a list of [x, y] pairs"),
        ("zones: {a: {points: [[0, 0], [null, 0], [1, 1]]}}", "zones.a.points cannot be empty: give a list of [x, y]"),
        ("zone: {}", "unknown key 'zone'; did you mean 'zones'?"),
        (f"zones: {{a: {{point: {SQUARE}}}}}", "unknown key 'zones.a.point'; did you mean 'points'?"),
        (f"zones: {{a: {{coordinates: {SQUARE}}}}}", "known are: anchor, classes, points, sources"),
        ("zones: {a: {}}", "zones.a.points is missing"),
        ("zones: {a: {points: [[0, 0], [1, 1]]}}", "zones.a.points: a polygon has at least three points, not 2"),
        ("zones: {a: {points: [[0, 0], [640, 0], [1, 1]]}}", "zones.a.points: [640, 0] is outside the frame"),
        ("zones: {a: {points: [[0, 0], [1, -0.1], [1, 1]]}}", "zones.a.points: [1, -0.1] is outside the frame"),
        ("zones: {a: {points: [[0, 0], [1, .nan], [1, 1]]}}", "zones.a.points: [1, nan] is outside the frame"),
        ("zones: {a: {points: [[0, 0], [1], [1, 1]]}}", "zones.a.points cannot be [1]"),
        ("zones: {a: {points: [[0, 0], [x, 0], [1, 1]]}}", "zones.a.points cannot be 'x'"),
        ("zones: {a: {points: [[0, 0], [0.5, 0.5], [1, 1]]}}", "the points lie on one line"),
        ("zones: {a: {points: [[0, 0], [1, 1], [0, 1], [1, 0]]}}", "edges 1 and 3 meet"),
        ("zones: {a: {points: [[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]}}", "edges 1 and 3 meet"),
        ("zones: {a: {points: [[0, 0], [1, 0], [1, 1], [0, 0]]}}", "a point comes twice"),
        ("zones: {a: {points: [[0, 0], [1, 0], [0.5, 0], [0.5, 1]]}}", "edges 1 and 3 meet"),
        (f"zones: {{a: {{points: {SQUARE}, anchor: top}}}}", "zones.a.anchor cannot be 'top': give 'bottom_center' or"),
        (f"zones: {{a: {{points: {SQUARE}, classes: 5}}}}", "zones.a.classes cannot be 5: give one or a list"),
        (f"zones: {{'': {{points: {SQUARE}}}}}", "at least 1 character"),
        (f"zones: {{a: {{points: {SQUARE}}}, a: {{points: {SQUARE}}}}}", "line 1: 'a' comes twice"),
        (f"zones: {{a: {{points: {SQUARE}}}}}\nlines: {{a: {{points: {LINE}}}}}", "'a' is a zone and a line"),
        ("lines: {a: {points: [[0.5, 0.5], [0.5, 0.5]]}}", "the two points of a line are less than 0.001 of the frame"),
        ("lines: {a: {points: [[0, 0], [0, 1.0e-200]]}}", "the two points of a line are less than 0.001 of the frame"),
        ("lines: {a: {points: [[0.5, 0.5]]}}", "a line has two points, not 1"),
        ("lines: {a: {points: [[0, 0], [0.5, 0.5], [1, 0]]}}", "a line has two points, not 3"),
        ("lines: {a: {points: [[0, 0], [0.5, 1.5]]}}", "[0.5, 1.5] is outside the frame"),
        (f"lines: {{a: {{points: {LINE}, classes: kar}}}}", "'a' of the zones file: the model has no label 'kar'"),
        (f"lines: {{a: {{points: {LINE}, sources: b.mp4}}}}", "belongs to b.mp4, but the sources are: a.mp4"),
        (f"lines: {{a: {{points: {LINE}, sources: []}}}}", "lines.a.sources cannot be []: give at least one"),
        ("lines: {a: [", "is not valid YAML, line 1"),
        ("- a", "must hold keys and values, not a list"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(written, text, told):
    with pytest.raises(ConfigError) as caught:
        places(written(text))
    assert told in str(caught.value)
    assert "zones file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", range(4))
def test_a_spike_is_refused_though_its_edges_are_one_line_but_for_rounding(written, first):
    corners = [[0.2, 0.55], [0.3, 0.7], [0.22, 0.58], [0.81, 0.55]]  # out to the second corner, and back
    points = corners[first:] + corners[:first]
    edge = (1 - first) % 4
    with pytest.raises(
        ConfigError, match=f"zones.a.points: edge {edge + 1} runs back over edge {edge or 4}; leave out"
    ):
        places(written(f"zones: {{a: {{points: {points}}}}}"))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"the zones file .*zones\.yaml cannot be read: No such file"):
        read_zones(tmp_path / "zones.yaml")


def test_a_class_that_the_run_leaves_out_cannot_be_counted(written):
    file = written(f"zones: {{a: {{points: {SQUARE}, classes: [car, person]}}}}")
    assert places(file, classes=frozenset({0, 1}))
    with pytest.raises(ConfigError, match="'a' of the zones file counts person, but 'classes' leaves it out"):
        places(file, classes=frozenset({1}))
