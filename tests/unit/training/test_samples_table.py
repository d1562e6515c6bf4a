from __future__ import annotations

from pathlib import Path

import pytest
from support.pictures import CLASSES, write_folders, write_table

from pipeline.errors import ConfigError
from training.recipe import DataSpec
from training.samples import read_samples, read_split


def rows_of(split: str | None = None) -> list[dict[str, str]]:
    extra = {"split": split} if split else {}
    return [{"path": f"img/{label}/{n}.png", "label": label, **extra} for label in CLASSES for n in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folders(tmp_path / "img", 4)
    return tmp_path


def test_paths_are_relative_to_the_table(folder: Path) -> None:
    table = write_table(folder / "labels.csv", rows_of())
    samples = read_samples(DataSpec(path=table, val_fraction=0.25, test_fraction=0.25))
    assert samples.classes == CLASSES
    assert (len(samples.train), len(samples.val), len(samples.test)) == (6, 3, 3)
    assert all(sample.path.is_file() for sample in samples.train)


def test_names_do_not_depend_on_how_the_table_is_called(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "path": folder / row["path"] if n % 2 else row["path"]} for n, row in enumerate(rows_of())]
    table = write_table(folder / "labels.csv", rows)
    read_samples(DataSpec(path=table)).write_split(folder / "split.csv")
    monkeypatch.chdir(folder)
    again = read_samples(DataSpec(path=Path("labels.csv")), split=folder / "split.csv")
    assert again == read_samples(DataSpec(path=table), split=folder / "split.csv")


def test_a_column_gives_the_split(folder: Path) -> None:
    names = ("train", "Train", "validation", "test")
    rows = [{**row, "split": names[n % 4]} for n, row in enumerate(rows_of())]
    table = write_table(folder / "labels.csv", rows)
    samples = read_samples(DataSpec(path=table))
    assert (len(samples.train), len(samples.val), len(samples.test)) == (6, 3, 3)
    assert read_split(table / "val")[1] == samples.val
    with pytest.raises(ConfigError, match="has several splits"):
        read_split(table)


def test_a_column_gives_the_group(folder: Path) -> None:
    rows = [{**row, "camera": ("north", "")[n % 2]} for n, row in enumerate(rows_of())]
    table = write_table(folder / "labels.csv", rows)
    _, samples = read_split(table, slice="camera")
    assert [sample.group for sample in samples[:2]] == ["north", None]
    with pytest.raises(ConfigError, match="has no column 'light'; its first line is: path,label,camera"):
        read_split(table, slice="light")


def test_a_table_of_a_spreadsheet_is_read(folder: Path) -> None:
    table = folder / "labels.csv"
    table.write_text("\r\n".join(["path,label", *(f'"{r["path"]}", {r["label"]}' for r in rows_of()), ""]), "utf-8-sig")
    assert read_split(table)[0] == CLASSES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'path'"),
        ("path;label\na.png;x\n", "has no column 'path'; its first line is: path;label"),
        ("path,label\n", "holds no images"),
        ("path,label\nimg/red/0.png\n", "line 2 has not the 2 columns of the first line"),
        ("path,label\nimg/red/0.png,red,more\n", "line 2 has not the 2 columns of the first line"),
        ("path,label\nimg/red/0.png,\n", "line 2 has no label"),
        ("path,label\nimg/red/0.png,red\nimg/red/0.png,blue\n", "line 3 repeats img/red/0.png of line 2: keep one"),
        ("path,label\nimg/red/0.png,red\n./img/red/0.png,red\n", "line 3 repeats ./img/red/0.png of line 2"),
        ("path,label,split\nimg/red/0.png,red,test\nimg/blue/0.png,blue,test\n", "has no picture to train on"),
        (f"path,label\n{'x' * 5000},red\n", "names 1 file that does not exist"),
        ("path,label,split\nimg/red/0.png,red,dev\n", "line 2 has the split 'dev'; give one of: train, val"),
        ("path,label\nimg/red/0.png,red\nimg/x.png,blue\n", r"names 1 file that does not exist: img/x.png \(line 3\)"),
        ("path,label\nimg/red/0.png,red\n", "has one class only, 'red'"),
        ("path,label\n\udcff,red\n", "is no CSV in UTF-8"),
    ],
)
def test_a_broken_table_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    table = folder / "labels.csv"
    table.write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=message) as error:
        read_samples(DataSpec(path=table))
    assert "\n" not in str(error.value)
