"""`onsight data check` and `onsight data unpack`, as a user or a CI job calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.pictures import draw_picture, write_splits

from pipeline.errors import ConfigError, OnsightError, SinkError
from training.cli_data import data
from training.recipe import DataSpec
from training.samples import read_samples

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def onsight_data(*arguments: object) -> Any:
    return data.main([str(argument) for argument in arguments], "onsight data", standalone_mode=False)


def test_good_data_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_splits(tmp_path / "photos", 12, 3, 2)
    assert onsight_data("check", photos, "--strict") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{photos}: 51 images, 3 classes, train 36, val 9, test 6",
        "classes: red 17, green 17, blue 17",
        "errors: 0, warnings: 0",
    ]


def test_errors_end_with_2_and_the_worst_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_splits(tmp_path, 12, 3, 2)
    (photos / "train" / "blue" / "0.png").write_bytes(b"")
    draw_picture("red", 1).save(photos / "test" / "red" / "copy.png")
    assert onsight_data("check", photos) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == [
        "error: 1 picture in more than one split: keep each in one",
        "    train/red/1.png = test/red/copy.png",
    ]
    assert lines[4].startswith("error: 1 image cannot be read (train/blue/0.png: empty file)")
    assert lines[-1] == "errors: 2, warnings: 0"


def test_warnings_are_errors_if_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_splits(tmp_path, 5, 2, 0)
    assert onsight_data("check", photos) == 0
    assert "warning: 3 classes have fewer than 10 images to train on" in capsys.readouterr().out
    assert onsight_data("check", photos, "--strict") == 2


def test_a_program_gets_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_splits(tmp_path, 12, 3, 0)
    for number in range(5):
        (photos / "val" / "red" / f"{number}.jpg").write_bytes(b"")
    assert onsight_data("check", photos, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {
        *("path", "images", "splits", "classes", "slices", "imbalance", "errors", "warnings", "findings")
    }
    (finding,) = told["findings"]
    assert (finding["kind"], finding["severity"], finding["count"]) == ("unreadable", "error", 5)
    assert len(finding["files"]) == 5


def test_a_wrong_path_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OnsightError, match="photso does not exist: check the path"):
        onsight_data("check", tmp_path / "photso", "--json")


def test_its_help_loads_nothing_heavy() -> None:
    code = "import sys, training.cli_data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"numpy", "PIL", "cv2", "torch", "pydantic", "rich"} & set(done.stdout.split())


def test_names_that_are_no_utf_8_are_printed_escaped(tmp_path: Path) -> None:
    photos = write_splits(tmp_path / "photos", 12, 3, 2)
    (photos / "train" / "red" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    code = f"from training.cli_data import data; data.main(['check', {str(photos)!r}, *{{}}], standalone_mode=False)"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    for flags in ([], ["--json"]):
        command = [sys.executable, "-c", code.format(flags)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert r"train/red/caf\udce9.png" in done.stdout


# CIFAR's binary version


def write_cifar(folder: Path, fine: bool) -> Path:
    """Records as CIFAR's: the label, for CIFAR-100 the coarse one before it, then red, green and blue planes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = CIFAR10 if not fine else tuple(f"class_{number}" for number in range(100))
    (folder / ("fine_label_names.txt" if fine else "batches.meta.txt")).write_text("\n".join(names) + "\n\n")
    files = ("train", "test") if fine else (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
    for file in files:
        labels = np.arange(200, dtype=np.uint8)[:, None] % len(names)
        coarse = [labels // 5] if fine else []
        pixels = rng.integers(0, 256, (200, 3072), np.uint8)
        np.concatenate([*coarse, labels, pixels], 1).tofile(folder / f"{file}.bin")
    return folder


@pytest.mark.parametrize("fine", [False, True])
def test_cifar_is_unpacked_to_class_folders(tmp_path: Path, fine: bool) -> None:
    source, output = write_cifar(tmp_path / "binary", fine), tmp_path / "cifar"
    with pytest.raises(ConfigError, match="onsight data unpack"):
        read_samples(DataSpec(path=source))
    onsight_data("unpack", source, "--output", output)
    samples = read_samples(DataSpec(path=output, layout="cifar", val_fraction=0, test_fraction=0))
    assert len(samples.classes) == (100 if fine else 10)
    assert (len(samples.train), len(samples.test)) == ((200, 200) if fine else (1000, 200))
    sample = next(sample for sample in samples.test if sample.path.name == "00013.png")
    assert samples.classes[sample.label] == ("class_13" if fine else "cat")
    record = np.fromfile(source / ("test.bin" if fine else "test_batch.bin"), np.uint8).reshape(200, -1)[13]
    assert np.array_equal(np.asarray(Image.open(sample.path)).transpose(2, 0, 1).ravel(), record[-3072:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["binary", "cifar"]


def break_cifar(source: Path, output: Path, what: str) -> None:
    match what:
        case "no version":
            (source / "batches.meta.txt").unlink()
        case "cut short":
            (source / "test_batch.bin").write_bytes(b"\0" * 3000)
        case "missing":
            (source / "data_batch_3.bin").unlink()
        case "unknown class":
            (source / "data_batch_3.bin").write_bytes(b"\x0b" * 3073)
        case "names in bytes":
            (source / "batches.meta.txt").write_bytes(b"airplane caf\xe9")
        case "names with folders":
            (source / "batches.meta.txt").write_text("\n".join((*CIFAR10[:9], "../truck")))
        case "there":
            output.mkdir()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no version", "is not CIFAR's binary version"),
        ("cut short", "test_batch.bin is damaged"),
        ("missing", "data_batch_3.bin is missing"),
        ("unknown class", "has a class 11 of 10"),
        ("names in bytes", "batches.meta.txt is no text in UTF-8"),
        ("names with folders", "has the class name '../truck', which cannot be a folder"),
        ("there", "cifar exists"),
    ],
)
def test_what_cannot_be_unpacked_leaves_nothing(tmp_path: Path, what: str, message: str) -> None:
    source, output = write_cifar(tmp_path / "binary", fine=False), tmp_path / "cifar"
    break_cifar(source, output, what)
    with pytest.raises(ConfigError, match=message):
        onsight_data("unpack", source, "-o", output)
    assert not list(tmp_path.glob("*partial*"))
    assert not output.exists() or not list(output.iterdir())
    assert not (tmp_path / "truck").exists()


def test_a_package_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "training.unpack", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"needs the package PIL: pip install 'onsight\[training\]'"):
        onsight_data("unpack", tmp_path, "-o", tmp_path / "cifar")


def test_unpacking_into_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="does not exist"):
        onsight_data("unpack", write_cifar(tmp_path / "binary", fine=False), "-o", tmp_path / "none" / "cifar")
