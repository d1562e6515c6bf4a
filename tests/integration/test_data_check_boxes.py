"""`onsight data check` on detection data, as a user or a CI job calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.annotations import WRITERS, Object, Scene, write_coco, write_voc, write_yolo
from support.pictures import write_folders

from pipeline.cli import main

CAT, DOG = Object("cat", (4, 5, 40, 30)), Object("dog", (10, 10, 60, 40))


def given(*more: Scene) -> dict[str, list[Scene]]:
    return {"train": [Scene(f"a{n}", [CAT, DOG]) for n in range(12)] + [*more], "val": [Scene("b", [CAT, DOG])]}


@pytest.mark.parametrize("layout", WRITERS)
def test_good_data_passes(tmp_path: Path, layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = WRITERS[layout](tmp_path / "set", given(), ("cat", "dog"))
    for flags in ([], ["--layout", layout]):
        assert main(["data", "check", str(root), "--strict", *flags]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{root}: 13 images, 26 boxes, 2 classes, train 12, val 1",
            "boxes: dog 13, cat 13",
            "errors: 0, warnings: 0",
        ]


def test_errors_end_with_2_and_notes_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_coco(tmp_path / "note", given(Scene("empty")), ("cat", "dog"))
    assert main(["data", "check", str(root), "--strict"]) == 0
    assert "note: 1 image without any box: they teach what is none" in capsys.readouterr().out
    root = write_coco(tmp_path / "error", given(Scene("odd", [Object("cat", (70, 5, 90, 30))])), ("cat", "dog"))
    assert main(["data", "check", str(root)]) == 2
    assert capsys.readouterr().out.splitlines()[2:] == [
        "error: 1 box in 1 image lying outside it: of another picture, or of another size? draw them again "
        "(images/odd.png: cat at 70, 5)",
        "    images/odd.png",
        "errors: 1, warnings: 0",
    ]


def test_a_program_gets_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_voc(tmp_path / "set", given(Scene("odd", [CAT, CAT])))
    assert main(["data", "check", str(root), "--json"]) == 0
    told: Any = json.loads(capsys.readouterr().out)
    assert (told["images"], told["boxes"], told["splits"]) == (14, 28, {"train": 13, "val": 1})
    assert told["classes"] == {"cat": {"train": 14, "val": 1}, "dog": {"train": 12, "val": 1}}
    (finding,) = told["findings"]
    assert (finding["kind"], finding["files"]) == ("repeated_box", [["JPEGImages/odd.png"]])
    assert (told["errors"], told["warnings"]) == (0, 1)


def test_a_preview_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yolo(tmp_path / "set", given(), ("cat", "dog"))
    file = tmp_path / "sheet.jpg"
    assert main(["data", "check", str(root), "--preview", str(file), "--seed", "3"]) == 0
    assert cv2.imread(str(file)).shape[1] == 5 * 408 + 8
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sheet.jpg"]


def bad(root: Path, what: str) -> Path:
    match what:
        case "no names":
            (root / "labels").mkdir()
            return root
        case "json":
            (root / "x.json").write_text('{"images": [')
            return root / "x.json"
        case "yaml":
            (root / "data.yaml").write_text("names: [cat]\ntrain: images\n")
            return root
        case "slice":
            return write_coco(root, given(), ("cat", "dog"))
        case _:
            return write_folders(root, 2)


@pytest.mark.parametrize(
    ("what", "flags", "told"),
    [
        ("no names", ["--layout", "yolo"], "has labels/ and no YAML with the names of their classes"),
        ("json", [], "x.json is no valid JSON: EOF while parsing a list at line 1 column 12"),
        ("yaml", [], "data.yaml: its train, images, does not exist in"),
        ("slice", ["--slice", "1"], "holds boxes: --slice counts the images of a classifier"),
        ("classes", ["--preview", "sheet.png"], "holds no boxes: --preview draws those of detection data"),
        ("classes", ["--layout", "voc"], "holds no annotations that can be read: give the layout voc"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    tmp_path: Path, what: str, flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(bad(tmp_path, what)), *flags]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1
