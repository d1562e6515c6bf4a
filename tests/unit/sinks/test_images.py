from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks.images import SUFFIXES, image_folder, one_image
from pipeline.types import Annotated, Image

MakeItem = Callable[..., Annotated]
IMAGE = cv2.resize(np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(3).reshape(16, 16, 3), (64, 48))


def load(path: Path) -> Image:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPG"])
def test_every_format_can_be_read_again(suffix: str, tmp_path: Path, make_item: MakeItem) -> None:
    path = tmp_path / f"größe{suffix}"
    one_image(path).write(make_item(IMAGE))
    assert np.abs(load(path).astype(int) - IMAGE).mean() < 3
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_each_format_is_what_its_suffix_says(tmp_path: Path, make_item: MakeItem) -> None:
    starts = {".jpg": b"\xff\xd8", ".png": b"\x89PNG", ".webp": b"RIFF", ".bmp": b"BM", ".tif": b"II"}
    for suffix, start in starts.items():
        one_image(tmp_path / f"x{suffix}").write(make_item(IMAGE))
        assert (tmp_path / f"x{suffix}").read_bytes().startswith(start)


def test_a_folder_gets_the_names_of_the_sources_once_each(tmp_path: Path, make_item: MakeItem) -> None:
    sink = image_folder(tmp_path)
    for source in ["in/a.jpg", "in/b.gif", "other/a.jpg", "third/A.JPG", "in/a.png", "in/a-1.jpg", "in/c"]:
        sink.write(make_item(IMAGE, source=source))
    sink.close()
    names = ["A-2.JPG", "a-1-1.jpg", "a-1.jpg", "a.jpg", "a.png", "b.jpg", "c.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_like_that_of_a_partial_file_costs_no_image(order: int, tmp_path: Path, make_item: MakeItem) -> None:
    sink = image_folder(tmp_path)
    for value, name in [(10, "a.partial.png"), (200, "a.png")][::order]:
        sink.write(make_item(np.full_like(IMAGE, value), source=f"in/{name}"))
    assert sorted(load(path).mean() for path in tmp_path.iterdir()) == [10, 200]


def test_the_image_that_was_read_is_not_overwritten(tmp_path: Path, make_item: MakeItem) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"the only copy")
    for sink in (image_folder(tmp_path), one_image(source)):
        with pytest.raises(SinkError, match="write to another folder"):
            sink.write(make_item(IMAGE, source=str(source)))
    assert source.read_bytes() == b"the only copy"


def test_an_image_too_large_for_its_format_is_an_error(tmp_path: Path, make_item: MakeItem) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*x\.webp"):
        one_image(tmp_path / "x.webp").write(make_item(np.zeros((1, 20000, 3), np.uint8)))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_written_is_an_error(tmp_path: Path, make_item: MakeItem) -> None:
    sink = image_folder(tmp_path)
    with pytest.raises(SinkError, match="cannot write"):
        sink.write(make_item(IMAGE, source="n" * 300 + ".jpg"))
    assert list(tmp_path.iterdir()) == []
