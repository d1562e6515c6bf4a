from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.pictures import CLASSES, draw_picture, write_folders, write_splits, write_table

from pipeline.errors import ConfigError, SinkError
from training.recipe import DataSpec
from training.samples import Sample, Samples, read_samples, read_split


def spec(path: Path, **keys: Any) -> DataSpec:
    return DataSpec(path=path, **{"val_fraction": 0.2, "test_fraction": 0.2, **keys})


def names(root: Path, samples: tuple[Sample, ...]) -> list[str]:
    return [sample.path.relative_to(root).as_posix() for sample in samples]


def by_class(samples: Samples, part: tuple[Sample, ...]) -> dict[str, int]:
    return dict(Counter(samples.classes[sample.label] for sample in part))


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"-")


# Given splits


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_given_splits_are_kept_whole(tmp_path: Path, val: str) -> None:
    write_splits(tmp_path, 4, 2, 1)
    (tmp_path / "val").rename(tmp_path / val)
    samples = read_samples(spec(tmp_path))
    assert samples.classes == CLASSES
    assert (len(samples.train), len(samples.val), len(samples.test)) == (12, 6, 3)
    assert names(tmp_path, samples.val) == [f"{val}/{label}/{n}.png" for label in CLASSES for n in (4, 5)]
    assert [sample.label for sample in samples.test] == [0, 1, 2]


def test_the_split_that_is_not_given_is_cut_from_train(tmp_path: Path) -> None:
    write_splits(tmp_path, train=10, val=0, test=3)
    samples = read_samples(spec(tmp_path))
    assert (len(samples.train), len(samples.val), len(samples.test)) == (24, 6, 9)
    assert all(name.startswith("train/") for name in names(tmp_path, samples.val))


def test_order_is_natural(tmp_path: Path) -> None:
    for label in ("class10", "class2", "Class2"):
        for name in ("img10.jpg", "img2.jpg", "deep/img3.jpg", ".hidden.jpg", ".cache/img1.jpg"):
            touch(tmp_path / label / name)
    samples = read_samples(spec(tmp_path, val_fraction=0, test_fraction=0))
    assert samples.classes == ("Class2", "class2", "class10")
    assert names(tmp_path, samples.train)[3:6] == ["class2/img2.jpg", "class2/img10.jpg", "class2/deep/img3.jpg"]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for label in ("train", "plane"):
        touch(tmp_path / label / "a.jpg")
    assert read_samples(spec(tmp_path)).classes == ("plane", "train")


def test_an_image_is_grouped_by_a_folder_below_its_class(tmp_path: Path) -> None:
    for name in ("cat/day/a.jpg", "cat/night/cam1/b.jpg", "dog/c.jpg"):
        touch(tmp_path / name)
    first = read_samples(spec(tmp_path, slice=1, val_fraction=0, test_fraction=0))
    assert [sample.group for sample in first.train] == ["day", "night", None]
    _, second = read_split(tmp_path, slice="2")
    assert [sample.group for sample in second] == [None, "cam1", None]


# The cut


def test_a_cut_is_stratified_seeded_and_loses_nothing(tmp_path: Path) -> None:
    write_folders(tmp_path, {"blue": 20, "red": 10})
    samples = read_samples(spec(tmp_path))
    assert by_class(samples, samples.train) == {"blue": 12, "red": 6}
    assert by_class(samples, samples.val) == by_class(samples, samples.test) == {"blue": 4, "red": 2}
    assert len({sample.path for part in (samples.train, samples.val, samples.test) for sample in part}) == 30
    assert read_samples(spec(tmp_path)) == samples
    assert read_samples(spec(tmp_path, seed=1)).val != samples.val


@pytest.mark.parametrize(
    ("images", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (10, (6, 2, 2))]
)
def test_a_small_class_stays_in_train_first(tmp_path: Path, images: int, expected: tuple[int, int, int]) -> None:
    for label, count in (("large", 20), ("small", images)):
        for number in range(count):
            touch(tmp_path / label / f"{number}.jpg")
    samples = read_samples(spec(tmp_path))
    found = tuple(by_class(samples, part).get("small", 0) for part in (samples.train, samples.val, samples.test))
    assert found == expected
    told = [split for split in ("val", "test") if any(f"in {split}: small" in note for note in samples.notes)]
    assert told == [split for split, count in zip(("val", "test"), expected[1:], strict=True) if not count]


def test_a_large_share_of_a_small_class_leaves_one_for_each_split(tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    samples = read_samples(spec(tmp_path, val_fraction=0.5, test_fraction=0.2))
    assert [by_class(samples, part) for part in (samples.train, samples.val, samples.test)] == [
        dict.fromkeys(CLASSES, 1)
    ] * 3


def test_no_fraction_no_cut(tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    samples = read_samples(spec(tmp_path, val_fraction=0, test_fraction=0))
    assert (len(samples.train), samples.val, samples.test, samples.notes) == (9, (), (), ())


def test_fractions_must_leave_something(tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        read_samples(spec(tmp_path, val_fraction=0.5, test_fraction=0.5))


# Written down and used again


def test_a_split_is_written_and_used_again(tmp_path: Path) -> None:
    data, file = write_folders(tmp_path / "photos", 10), tmp_path / "split.csv"
    samples = read_samples(spec(data))
    samples.write_split(file)
    assert sorted(file.read_text().splitlines())[0] == "blue/0.png,blue,train"
    assert read_samples(spec(data, seed=7, val_fraction=0.5), split=file) == samples
    file.rename(data / "split.csv")
    as_table = read_samples(spec(data / "split.csv"))
    assert {sample.path for sample in as_table.val} == {sample.path for sample in samples.val}


def test_a_split_of_another_data_set_is_refused(tmp_path: Path) -> None:
    data, file = write_folders(tmp_path / "photos", 5), tmp_path / "split.csv"
    read_samples(spec(data)).write_split(file)
    (data / "blue" / "0.png").unlink()
    (data / "red" / "1.png").rename(data / "green" / "new.png")
    with pytest.raises(ConfigError) as error:
        read_samples(spec(data), split=file)
    assert "2 files are gone (" in str(error.value)
    assert "blue/0.png" in str(error.value)
    assert "1 file is new (green/new.png)" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_split_that_disagrees_with_the_table_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, 2)
    rows = [{"path": f"{c}/{n}.png", "label": c, "split": ("train", "val")[n]} for c in CLASSES for n in (0, 1)]
    data = write_table(tmp_path / "labels.csv", rows)
    read_samples(spec(data)).write_split(tmp_path / "split.csv")
    write_table(data, [{**row, "split": "val"} for row in rows])
    with pytest.raises(ConfigError, match=r"3 files are in another class or split \(blue/0.png, green/0.png"):
        read_samples(spec(data), split=tmp_path / "split.csv")


def test_a_split_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    samples = read_samples(spec(write_folders(tmp_path, 2)))
    with pytest.raises(SinkError, match="cannot write"):
        samples.write_split(tmp_path / "missing" / "split.csv")


def test_the_fingerprint_is_that_of_names_classes_and_sizes(tmp_path: Path) -> None:
    first = read_samples(spec(write_folders(tmp_path / "a", 3)))
    same = read_samples(spec(write_folders(tmp_path / "b", 3), seed=5))
    assert first.fingerprint == same.fingerprint
    with (tmp_path / "b" / "red" / "0.png").open("ab") as file:
        file.write(b"!")
    assert read_samples(spec(tmp_path / "b")).fingerprint != first.fingerprint
    (tmp_path / "a" / "red" / "0.png").rename(tmp_path / "a" / "red" / "9.png")
    assert read_samples(spec(tmp_path / "a")).fingerprint != first.fingerprint


# ImageNet and CIFAR


def test_synsets_get_their_names_where_the_mapping_lies(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for synset in ("n01440764", "n02012849", "n03126707"):
            touch(tmp_path / split / synset / f"{synset}_1.JPEG")
    assert read_samples(spec(tmp_path)).classes == ("n01440764", "n02012849", "n03126707")
    mapping = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text(mapping)
    samples = read_samples(spec(tmp_path, layout="imagenet"))
    assert samples.classes == ("tench", "crane (n02012849)", "crane (n03126707)")  # in the order of the synsets
    assert read_split(tmp_path / "val", samples.classes) == (samples.classes, samples.val)


def test_a_flat_imagenet_val_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "n01440764" / "a.JPEG")
    touch(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ConfigError, match=r"val holds images without class folders: sort them by LOC_val_solution.csv"):
        read_samples(spec(tmp_path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("data_batch_1", "download CIFAR's binary version"), ("test_batch.bin", "onsight data unpack")],
)
def test_cifar_as_it_is_downloaded_is_told_what_to_do(tmp_path: Path, name: str, hint: str) -> None:
    touch(tmp_path / name)
    with pytest.raises(ConfigError, match=hint):
        read_samples(spec(tmp_path))


# Bad input


def make_bad(root: Path, what: str) -> Path:
    match what:
        case "nothing":
            return root / "photso"
        case "a file":
            touch(root / "photos.zip")
            return root / "photos.zip"
        case "no folders":
            touch(root / "a.jpg")
        case "empty":
            (root / "cat").mkdir()
        case "one class":
            write_folders(root, {"blue": 4})
        case "empty class":
            write_folders(root, 2)
            (root / "violet").mkdir()
        case "no class in val":
            write_splits(root)
            for file in (root / "val" / "red").iterdir():
                file.unlink()
            (root / "val" / "red").rmdir()
        case "class only in val":
            write_splits(root, classes=("blue", "green"))
            write_folders(root / "val", 2, classes=("red",))
        case "two vals":
            write_splits(root)
            write_folders(root / "valid", 1)
        case "flat train":
            touch(root / "train" / "a.jpg")
            touch(root / "val" / "cat" / "a.jpg")
    return root


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "photso does not exist: check the path"),
        ("a file", "is neither a folder nor a .csv file"),
        ("no folders", "holds images but no class folders: sort them into a folder per class"),
        ("empty", "holds no images in its class folders"),
        ("one class", "has one class only, 'blue': a classifier needs two or more"),
        ("empty class", "violet/ in .* holds no images; fill or remove"),
        ("no class in val", "val has no images of red, which train has"),
        ("class only in val", "val has classes that train has not: red"),
        ("two vals", "has both val/ and valid/: keep one"),
        ("flat train", "has no train/ with class folders beside train, val"),
    ],
)
def test_bad_data_is_one_clear_line(tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read_samples(spec(make_bad(tmp_path, what)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layout", "slice", "message"),
    [
        ("csv", None, "the layout 'csv' needs the path of a .csv file"),
        ("imagenet", None, "has no folder train/ with class folders"),
        ("cifar", None, "has no folder train/ with class folders"),
        ("auto", "camera", "slice 'camera' is no folder level"),
        ("auto", 0, "slice 0 is no folder level"),
        ("auto", 2, "slice 2 fits no image of .*: none has 2 folders below its class"),
    ],
)
def test_a_layout_or_slice_that_does_not_fit_is_told(
    tmp_path: Path, layout: Any, slice: str | int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_samples(spec(write_folders(tmp_path, 2), layout=layout, slice=slice))


def test_what_is_no_image_is_left_out_and_told(tmp_path: Path) -> None:
    write_folders(tmp_path, 4)
    touch(tmp_path / "red" / "a.heic")
    draw_picture("red", 0).save(tmp_path / "loose.png")
    touch(tmp_path / "README.md")
    samples = read_samples(spec(tmp_path))
    assert len(samples.train + samples.val + samples.test) == 12
    assert samples.notes == ("2 files or folders are left out: no images by their names, or outside the class folders",)


# What is evaluated


def test_a_split_is_read_from_its_own_folder(tmp_path: Path) -> None:
    write_splits(tmp_path, 4, 2, 2)
    classes, samples = read_split(tmp_path / "val")
    assert classes == CLASSES
    assert names(tmp_path, samples) == [f"val/{label}/{n}.png" for label in CLASSES for n in (4, 5)]


def test_labels_are_numbered_as_the_model_has_them(tmp_path: Path) -> None:
    write_folders(tmp_path, 1)
    classes, samples = read_split(tmp_path, ["red", "white", "green", "blue"])
    assert classes == ("red", "white", "green", "blue")
    assert [sample.label for sample in samples] == [3, 2, 0]


@pytest.mark.parametrize(
    ("known", "hint"), [(["blue", "green", "reds"], "did you mean 'reds'"), (["x"], "they are: x")]
)
def test_a_label_that_the_model_has_not_is_told(tmp_path: Path, known: list[str], hint: str) -> None:
    with pytest.raises(ConfigError, match=f"is none of the model's {len(known)} class.*{hint}"):
        read_split(write_folders(tmp_path, 1), known)


def test_a_split_cut_by_a_run_is_read_by_its_file(tmp_path: Path) -> None:
    data = write_folders(tmp_path / "photos", 10)
    samples = read_samples(spec(data))
    samples.write_split(tmp_path / "split.csv")
    assert read_split(data / "val", split=tmp_path / "split.csv") == (CLASSES, samples.val)
    assert read_split(data / "test", split=tmp_path / "split.csv") == (CLASSES, samples.test)
    with pytest.raises(ConfigError, match=r"val does not exist, and .*photos brings no split 'val'"):
        read_split(data / "val")


def test_of_several_splits_one_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has several splits: give .*/train or .*/val or .*/test"):
        read_split(write_splits(tmp_path))


def test_evaluation_needs_no_second_class(tmp_path: Path) -> None:
    write_folders(tmp_path, {"red": 2})
    (tmp_path / "blue").mkdir()
    assert [sample.label for sample in read_split(tmp_path, CLASSES)[1]] == [2, 2]
