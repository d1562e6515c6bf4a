from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from support.pictures import CLASSES, draw_picture, write_folders, write_splits, write_table

from pipeline.errors import ConfigError, SourceError
from pipeline.sources.images import read_image
from training.check import Report, check_data
from training.examine import Facts
from training.findings import Finding
from training.recipe import DataSpec
from training.samples import read_samples

FILES = 12  # of a class: enough not to be told


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "photos", FILES, size=(40, 48))


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def only(report: Report) -> Finding:
    (finding,) = report.findings
    assert "\n" not in finding.message
    return finding


def photograph() -> Image.Image:
    return Image.fromarray(load_sample_images().images[0]).resize((320, 213))


# A good one


def test_good_data_has_no_findings(tmp_path: Path) -> None:
    report = check_data(write_splits(tmp_path, FILES, 3, 2))
    assert report.findings == ()
    assert report.images == 3 * (FILES + 5)
    assert report.splits == {"train": 36, "val": 9, "test": 6}
    assert report.counts == {label: {"train": FILES, "val": 3, "test": 2} for label in CLASSES}
    assert report.imbalance == 1
    assert report.to_json()["splits"] == {"train": 36, "val": 9, "test": 6}


def test_generated_pictures_are_no_twins_of_each_other(tmp_path: Path) -> None:
    assert check_data(write_folders(tmp_path, 100)).findings == ()


# Files that cannot be read


def test_files_that_cannot_be_read_are_told_with_the_reason(folders: Path) -> None:
    whole = (folders / "red" / "0.png").read_bytes()
    (folders / "red" / "0.png").write_bytes(whole[: len(whole) // 2])
    (folders / "red" / "1.png").write_bytes(b"")
    (folders / "blue" / "2.png").write_text("not a picture")
    finding = only(check_data(folders))
    assert (finding.severity, finding.kind) == ("error", "unreadable")
    assert finding.files == (("blue/2.png",), ("red/0.png",), ("red/1.png",))
    assert finding.message.startswith("3 images cannot be read (blue/2.png: no image, red/0.png: ")
    assert finding.message.endswith("red/1.png: empty file); remove, copy again or convert")


def test_a_jpeg_cut_short_is_unreadable(folders: Path) -> None:
    photograph().save(folders / "red" / "p.jpg")
    data = (folders / "red" / "p.jpg").read_bytes()
    (folders / "red" / "p.jpg").write_bytes(data[:-2000])
    assert "red/p.jpg: truncated" in only(check_data(folders)).message


def test_files_that_the_table_names_and_are_not_there_are_told(folders: Path) -> None:
    rows = [{"path": f"{label}/{n}.png", "label": label} for label in CLASSES for n in range(FILES)]
    table = write_table(folders / "labels.csv", [*rows, {"path": "./red/x.png", "label": "red"}])
    finding = only(check_data(table))
    assert (finding.severity, finding.kind, finding.files) == ("error", "missing_file", (("red/x.png",),))


UNLIKE = {
    "float.tif": (draw_picture("red", 50, (40, 40)).convert("F"), "TIFF"),
    "int.tif": (draw_picture("red", 50, (40, 40)).convert("I"), "TIFF"),
    "tga.png": (draw_picture("red", 50, (40, 40)), "TGA"),
    "pcx.bmp": (draw_picture("red", 50, (40, 40)), "PCX"),
    "lab.tif": (Image.merge("LAB", draw_picture("red", 50, (40, 40)).split()), "TIFF"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_training_decides_what_can_be_read(folders: Path, name: str) -> None:
    image, kind = UNLIKE[name]
    path = folders / "red" / name
    image.save(path, format=kind)
    try:
        read_image(path)
    except SourceError:
        expected = [(f"red/{name}",)]
    else:
        expected = []
    assert bool(expected) == (name != "lab.tif")
    findings = check_data(folders).findings
    assert [files for finding in findings if finding.kind == "unreadable" for files in finding.files] == expected


def test_no_picture_is_too_large_for_the_check_alone(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert check_data(folders).findings == ()
    assert Image.MAX_IMAGE_PIXELS == 100


# The same picture again


def test_the_same_picture_in_two_splits_is_told_first(tmp_path: Path) -> None:
    write_splits(tmp_path, FILES, 3, 3)
    (tmp_path / "test" / "red" / "0.png").unlink(missing_ok=True)
    draw_picture("red", 2).save(tmp_path / "test" / "red" / "copy.bmp")
    (tmp_path / "val" / "green" / "broken.png").write_bytes(b"")
    report = check_data(tmp_path)
    assert kinds(report) == ["leak", "unreadable"]
    assert report.findings[0].files == (("train/red/2.png", "test/red/copy.bmp"),)
    assert report.number("error") == 2


def test_the_same_picture_under_two_labels_is_an_error(folders: Path) -> None:
    draw_picture("red", 2, (40, 48)).save(folders / "blue" / "copy.png")
    finding = only(check_data(folders))
    assert (finding.severity, finding.kind) == ("error", "contradiction")
    assert finding.files == (("blue/copy.png", "red/2.png"),)


def test_the_same_picture_in_its_own_class_is_a_warning(folders: Path) -> None:
    for name in ("a.png", "b.bmp"):
        draw_picture("red", 2, (40, 48)).save(folders / "red" / name)
    finding = only(check_data(folders))
    assert (finding.severity, finding.kind) == ("warning", "duplicate")
    assert finding.files == (("red/2.png", "red/a.png", "red/b.bmp"),)
    assert finding.message == "2 images repeat another (1 byte by byte): keep one of each"


CHANGES = {
    "smaller": lambda image: image.resize((200, 133)),
    "brighter": lambda image: image.point(lambda value: min(255, value * 5 // 4)),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "cropped": lambda image: image.crop((3, 2, 317, 211)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nearly_the_same_picture_in_two_splits_is_a_leak(tmp_path: Path, change: str) -> None:
    write_splits(tmp_path, FILES, 3, 0)
    photograph().save(tmp_path / "train" / "red" / "p.png")
    CHANGES[change](photograph()).save(tmp_path / "val" / "red" / "q.jpg", quality=70)
    finding = only(check_data(tmp_path))
    assert (finding.severity, finding.kind) == ("error", "near_leak")
    assert finding.files == (("train/red/p.png", "val/red/q.jpg"),)
    assert check_data(tmp_path, distance=0).findings == ()


@pytest.mark.parametrize(("label", "kind"), [("red", "near_duplicate"), ("blue", "near_contradiction")])
def test_nearly_the_same_picture_in_one_split_is_a_warning(folders: Path, label: str, kind: str) -> None:
    photograph().save(folders / "red" / "p.png")
    photograph().save(folders / label / "q.jpg")
    finding = only(check_data(folders))
    assert (finding.severity, finding.kind) == ("warning", kind)
    assert set(finding.files[0]) == {"red/p.png", f"{label}/q.jpg"}


def test_the_split_of_a_run_is_looked_at(tmp_path: Path) -> None:
    data = write_folders(tmp_path / "photos", FILES)
    for number in range(FILES):
        draw_picture("red", number).save(data / "red" / f"copy{number}.png")
    read_samples(DataSpec(path=data, val_fraction=0.3)).write_split(tmp_path / "split.csv")
    assert kinds(check_data(data)) == ["duplicate"]
    report = check_data(data, split=tmp_path / "split.csv")
    assert report.findings[0].kind == "leak"
    assert set(report.splits) == {"train", "val", "test"}


# Classes


def test_faults_of_the_layout_are_told_with_the_others(folders: Path) -> None:
    (folders / "violet").mkdir()
    (folders / "red" / "0.png").write_bytes(b"")
    assert kinds(check_data(folders)) == ["unreadable", "empty_class"]


def test_one_class_is_an_error(tmp_path: Path) -> None:
    assert only(check_data(write_folders(tmp_path, {"red": FILES}))).kind == "one_class"


def test_unequal_and_small_classes_are_told(tmp_path: Path) -> None:
    report = check_data(write_folders(tmp_path, {"red": 33, "blue": 3}))
    assert kinds(report) == ["small_class", "imbalance"]
    assert report.imbalance == 11
    assert "fewer than 10 images to train on: blue (3)" in report.findings[0].message
    assert "'red' has 33 images to train on, 'blue' 3" in report.findings[1].message


def test_slices_are_counted_and_missing_ones_told(tmp_path: Path) -> None:
    write_splits(tmp_path, FILES, 3, 0)
    for number, file in enumerate(sorted(tmp_path.glob("*/*/*.png"))):
        place = "night" if "train" in file.parts and number % 2 else "day"
        (file.parent / place).mkdir(exist_ok=True)
        file.rename(file.parent / place / file.name)
    report = check_data(tmp_path, slice="1")
    assert report.slices == {"day": {"train": 18, "val": 9}, "night": {"train": 18}}
    assert only(report).message == "val has no images of night: nothing will be known of them"


# Odd pictures


ODD = {
    "mode": [
        (Image.new("L", (40, 40)).convert("CMYK"), "a.tif", "is not RGB but CMYK"),
        (draw_picture("red", 50, (40, 40)).convert("L"), "a.png", "is not RGB but grey (L)"),
        (draw_picture("red", 50, (40, 40)).convert("RGBA"), "a.png", "is not RGB but transparent (RGBA)"),
        (draw_picture("red", 50, (40, 40)).convert("P"), "a.png", "is not RGB but with a palette (P)"),
        (Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)), "a.png", "deeper than 8 bits (I;16)"),
    ],
    "tiny": [(draw_picture("red", 50, (31, 60)), "a.png", "1 image with a side of less than 32 pixels")],
    "shape": [(draw_picture("red", 50, (40, 121)), "a.png", "1 image with one side more than 3 times as long")],
    "suffix": [(draw_picture("red", 50, (40, 40)), "a.jpg", "another format than the suffix says: red/a.jpg is PNG")],
    "blank": [(Image.new("RGB", (40, 40), (9, 9, 9)), "a.png", "1 image with one colour only")],
}


@pytest.mark.parametrize(
    ("kind", "image", "name", "message"), [(k, *case) for k, cases in ODD.items() for case in cases]
)
def test_odd_pictures_are_warnings(folders: Path, kind: str, image: Image.Image, name: str, message: str) -> None:
    image.save(folders / "red" / name, format="PNG" if kind == "suffix" else None)
    findings = {finding.kind: finding for finding in check_data(folders).findings}
    assert findings[kind].severity == "warning"
    assert findings[kind].files == ((f"red/{name}",),)
    assert message in findings[kind].message
    assert set(findings) <= {kind, "blank"}


def test_deep_pictures_are_compared_over_their_own_range(folders: Path) -> None:
    values = np.asarray(photograph().convert("L"), np.uint16)
    for factor, name in ((200, "a.png"), (250, "b.png")):
        Image.fromarray(values * factor).save(folders / "red" / name)
    assert kinds(check_data(folders)) == ["mode", "near_duplicate"]


def test_a_data_set_in_grey_is_not_odd(folders: Path) -> None:
    for file in folders.glob("*/*.png"):
        Image.open(file).convert("L").save(file)
    assert check_data(folders).findings == ()


def test_a_picture_lying_on_its_side_by_exif_is_the_one_upright(folders: Path) -> None:
    image = photograph()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folders / "red" / "a.png")
    image.rotate(90, expand=True).save(folders / "red" / "b.png", exif=exif)
    assert kinds(check_data(folders)) == ["duplicate"]


# The run


def test_many_files_are_examined_by_several_processes_in_order(tmp_path: Path) -> None:
    write_folders(tmp_path, 110, size=(32, 32))
    (tmp_path / "red" / "105.png").write_bytes(b"")
    seen: list[int] = []

    def watch(facts: Iterable[Facts], total: int) -> Iterator[Facts]:
        for each in facts:
            seen.append(total)
            yield each

    assert only(check_data(tmp_path, watch=watch)).files == (("red/105.png",),)
    assert seen == [330] * 330


def test_a_report_is_json(folders: Path) -> None:
    (folders / "red" / "0.png").write_bytes(b"")
    told = json.loads(json.dumps(check_data(folders).to_json()))
    assert (told["errors"], told["warnings"], told["images"]) == (1, 0, 36)
    assert told["classes"]["blue"] == {"all": FILES}
    assert told["findings"][0]["files"] == [["red/0.png"]]


def test_a_wrong_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        check_data(tmp_path / "photso")
