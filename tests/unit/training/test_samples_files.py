"""Data sets with odd files: links, names, folders that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.pictures import CLASSES, write_folders

from pipeline.errors import ConfigError
from training.check import check_data
from training.recipe import DataSpec
from training.samples import list_data, read_samples


def test_a_link_that_leads_nowhere_is_a_broken_picture(tmp_path: Path) -> None:
    write_folders(tmp_path, 12, size=(40, 40))
    (tmp_path / "red" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    samples = read_samples(DataSpec(path=tmp_path))
    assert len(samples.train + samples.val + samples.test) == 37
    (finding,) = check_data(tmp_path).findings
    assert (finding.kind, finding.files) == ("unreadable", (("red/gone.png",),))


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    (tmp_path / "red" / "loop").symlink_to(tmp_path / "red", target_is_directory=True)
    elsewhere = write_folders(tmp_path.with_name("elsewhere"), 2, first=20)
    (tmp_path / "red" / "more").symlink_to(elsewhere / "red", target_is_directory=True)
    assert len(list_data(tmp_path).entries) == 11


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, 3)
    write_folders(tmp_path / "red", 3, classes=("green",))
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == tmp_path / "red" / "green":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError, match=r"red/green cannot be read: Permission denied"):
        list_data(tmp_path)


def test_a_name_that_is_too_long_is_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        list_data(tmp_path / ("x" * 5000))


def test_names_of_any_bytes_and_spaces_are_read_back(tmp_path: Path) -> None:
    data, split = write_folders(tmp_path / "photos", 5), tmp_path / "split.csv"
    (data / "red").rename(data / " red ")
    for old, new in (("0.png", b"caf\xe9.png"), ("1.png", b" a,b.png")):
        (data / "blue" / old).rename(data / "blue" / os.fsdecode(new))
    samples = read_samples(DataSpec(path=data))
    assert samples.classes == (" red ", *CLASSES[:2])
    samples.write_split(split)
    assert read_samples(DataSpec(path=data, seed=3), split=split) == samples


def test_synsets_in_another_encoding_are_told(tmp_path: Path) -> None:
    write_folders(tmp_path, 2, classes=CLASSES)
    (tmp_path / "LOC_synset_mapping.txt").write_bytes(b"n01440764 caf\xe9")
    with pytest.raises(ConfigError, match=r"LOC_synset_mapping.txt is no text in UTF-8"):
        list_data(tmp_path)
