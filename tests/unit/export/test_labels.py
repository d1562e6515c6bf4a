from __future__ import annotations

from pathlib import Path

import pytest

from export.labels import BUILT_IN, read_labels
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        ("coco", 80, {0: "person", 2: "car", 79: "toothbrush"}),
        ("coco91", 91, {0: "N/A", 1: "person", 12: "N/A", 90: "toothbrush"}),
        ("imagenet", 1000, {0: "tench", 207: "golden retriever", 999: "toilet tissue"}),
    ],
)
def test_built_in_lists(name: str, count: int, some: dict[int, str]) -> None:
    labels = read_labels(name)
    assert name in BUILT_IN
    assert len(labels) == count
    assert {i: labels[i] for i in some} == some


def test_coco91_is_coco_with_gaps() -> None:
    assert tuple(label for label in read_labels("coco91") if label != "N/A") == read_labels("coco")


def test_a_file_keeps_its_order_and_loses_its_blanks(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffzebra\r\n Käfer \r\nzebra\r\n\r\n".encode())
    assert read_labels(str(path)) == ("zebra", "Käfer", "zebra")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a\n\nb\n", "no label in line 2"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_list(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_labels(str(path))


def test_an_unknown_list_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no labels file koko; .* coco, coco91, imagenet"):
        read_labels("koko")
