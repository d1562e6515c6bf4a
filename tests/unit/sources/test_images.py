"""Images of all kinds, and those that cannot be read."""

from __future__ import annotations

import re
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import clips

from pipeline.errors import SourceError
from pipeline.sources import open_source
from pipeline.types import Frame


def only_frame(path: Path) -> Frame:
    (frame,) = open_source(str(path)).frames(threading.Event())
    return frame


@pytest.mark.parametrize(
    ("size", "suffix"), [((1, 1), "png"), ((1, 1), "jpg"), ((8000, 6000), "jpg"), ((161, 121), "bmp")]
)
def test_any_size(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    cv2.imwrite(str(path), np.zeros((size[1], size[0], 3), np.uint8))
    frame = only_frame(path)
    assert (frame.width, frame.height, frame.index, frame.pts, frame.source) == (*size, 0, None, str(path))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((4, 4), 100, np.uint8), (100, 100, 100)),
        (np.full((4, 4), 100 * 256, np.uint16), (100, 100, 100)),
        (np.full((4, 4, 4), (10, 20, 30, 40), np.uint8), (10, 20, 30)),
        (np.full((4, 4, 3), (10 * 256, 20 * 256, 30 * 256), np.uint16), (10, 20, 30)),
    ],
    ids=["grey", "grey-16", "alpha", "colour-16"],
)
def test_any_kind_becomes_uint8_bgr(tmp_path: Path, pixels: np.ndarray, expected: tuple[int, ...]) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), pixels)
    assert tuple(only_frame(tmp_path / "image.png").image[2, 2]) == expected


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    stored = cv2.imencode(".jpg", np.ascontiguousarray(np.rot90(clips.picture(77))))[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    path = tmp_path / "Bild ä.jpg"
    path.write_bytes(stored[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + stored[2:])
    image = only_frame(path).image
    assert image.shape == (120, 160, 3)
    assert clips.number_in(image) == 77
    assert clips.is_upright(image)


def too_large(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))


def cut(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", clips.picture(3))[1].tobytes()[:1500])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (too_large, "larger than OpenCV allows"),
        (cut, "is damaged"),
        (lambda path: path.write_text("hello"), "not an image"),
    ],
)
def test_a_broken_image_is_refused(tmp_path: Path, write, reason: str) -> None:
    path = tmp_path / "image.jpg"
    write(path)
    with pytest.raises(SourceError, match=reason) as caught:
        only_frame(path)
    assert str(path) in str(caught.value)


def test_broken_images_of_a_folder_are_named_after_the_others(tmp_path: Path) -> None:
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.picture(number))
    for number in (1, 3, 4, 6):
        (tmp_path / f"{number}.png").write_text("hello")
    (tmp_path / "6.png").write_bytes(b"")
    frames, message = clips.read_all(open_source(str(tmp_path)))
    assert re.fullmatch(r"4 of 8 images cannot be read: [^\n]+; and 1 more", message)
    assert [clips.number_in(frame.image) for frame in frames] == [0, 2, 5, 7]
    assert str(tmp_path / "1.png") in message
