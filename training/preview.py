"""A sheet of annotated pictures to look at: do the boxes lie where they should, under the right names?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np

from pipeline.errors import ConfigError, SourceError
from pipeline.lettering import Lettering, line_height
from pipeline.palette import BLACK, Colour, colour_of
from pipeline.sinks.partial import check_file, finish, partial_path, writing
from pipeline.sources.images import read_image
from pipeline.types import Image
from training.box_layouts import need_boxes
from training.box_listing import BoxEntry, BoxLayout

SUFFIXES = (".jpg", ".jpeg", ".png")
PICTURES = 20

_COLUMNS = 5
_WIDTH, _HEIGHT = 400, 300  # of a picture
_GAP = 8
_SMALL, _LARGE = 11, 15  # letters
_PAPER: Colour = (32, 32, 32)
_BOLD = 600


def write_preview(path: Path, file: Path, *, layout: BoxLayout | Literal["auto"] = "auto", seed: int = 0) -> None:
    """Draws 20 pictures of the detection data at `path`, chosen by `seed` among those with boxes, with their boxes.

    Args:
        file: `.jpg` or `.png`; it appears when it is whole.

    Raises:
        ConfigError: there is no data set of that layout, or none of its pictures can be drawn.
        SinkError: the file cannot be written.
    """
    check_file(file, SUFFIXES)
    listing = need_boxes(path, layout).read()
    entries = [entry for entry in listing.entries if entry.labels]
    letters = Lettering()
    cells: dict[int, Image] = {}
    for index in np.random.default_rng(seed).permutation(len(entries)).tolist():
        if len(cells) == PICTURES:
            break
        try:
            image = read_image(entries[index].path)
        except SourceError:
            continue  # the check tells of it
        cells[index] = _draw_cell(entries[index], image, listing.name(entries[index].path), letters)
    if not cells:
        raise ConfigError(f"{path} has no picture with boxes that can be read: there is nothing to preview")
    shown = sorted(cells)
    boxes = Counter(label for index in shown for label in entries[index].labels)
    legend = _draw_legend({name: boxes[name] for name in listing.classes if boxes[name]}, letters)
    sheet = np.concatenate([*_rows([cells[index] for index in shown]), legend])
    framed = _blank(_GAP + sheet.shape[0], _GAP + sheet.shape[1])
    _paste(framed, sheet, _GAP, _GAP)
    _write(framed, file)


def _draw_cell(entry: BoxEntry, image: Image, name: str, letters: Lettering) -> Image:
    """uint8 [H, W, 3]: the picture, as large as it fits, its boxes, and its name below."""
    scale = min(_WIDTH / image.shape[1], _HEIGHT / image.shape[0])
    size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
    picture = cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST))
    _draw_boxes(picture, entry, scale, letters)
    cell = _blank(_HEIGHT + line_height(_LARGE) + _GAP, _WIDTH + _GAP)
    _paste(cell, picture, (_WIDTH - size[0]) // 2, (_HEIGHT - size[1]) // 2)
    caption = f"{name} ({entry.split})" if entry.split else name
    _paste(cell, letters.strip(letters.fit(caption, _LARGE, _WIDTH), _LARGE, _PAPER), 0, _HEIGHT)
    return cell


def _draw_boxes(picture: Image, entry: BoxEntry, scale: float, letters: Lettering) -> None:
    """Large boxes first, then all names: what is small stays visible."""
    limits = [picture.shape[1], picture.shape[0]]
    corners_N22 = np.rint(entry.boxes_N4 * scale).reshape(-1, 2, 2).clip(-_GAP, np.add(limits, _GAP)).astype(int)
    order = np.argsort(-(entry.boxes_N4[:, 2:] - entry.boxes_N4[:, :2]).prod(1), kind="stable").tolist()
    corners = corners_N22.tolist()
    for index in order:
        first, last = corners[index]
        for ink, thickness in ((BLACK, 4), (colour_of(entry.labels[index]), 2)):
            cv2.rectangle(picture, first, last, ink, thickness)
    for index in order:
        name = entry.labels[index]
        text = f"{name} (crowd)" if entry.crowd_N[index] else name
        strip = letters.strip(letters.fit(text, _SMALL, picture.shape[1]), _SMALL, colour_of(name), _BOLD)
        (x, y), _ = corners[index]
        _paste(picture, strip, max(0, min(x, limits[0] - strip.shape[1])), max(0, min(y, limits[1]) - strip.shape[0]))


def _draw_legend(boxes: Mapping[str, int], letters: Lettering) -> Image:
    """uint8 [H, W, 3], as wide as the sheet: each class in its colour, with its number of boxes on the sheet."""
    width, height = _COLUMNS * (_WIDTH + _GAP), line_height(_LARGE)
    lines, x = [_blank(height, width)], 0
    for name, number in boxes.items():
        text = letters.fit(f" {name} {number:,} ", _LARGE, width)
        strip = letters.strip(text, _LARGE, colour_of(name), _BOLD)
        if x + strip.shape[1] > width:
            lines += [_blank(height // 3, width), _blank(height, width)]
            x = 0
        _paste(lines[-1], strip, x, 0)
        x += strip.shape[1] + _GAP
    return np.concatenate([*lines, _blank(_GAP, width)])


def _rows(cells: Sequence[Image]) -> Iterator[Image]:
    for start in range(0, len(cells), _COLUMNS):
        row = [*cells[start : start + _COLUMNS]]
        row += [np.full_like(row[0], _PAPER)] * (_COLUMNS - len(row))
        yield np.concatenate(row, 1)


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _paste(image: Image, piece: Image, x: int, y: int) -> None:
    """Copies as much of `piece` to (x, y) as lies in the image; x and y are not negative."""
    target = image[y : y + piece.shape[0], x : x + piece.shape[1]]
    target[:] = piece[: target.shape[0], : target.shape[1]]


def _write(sheet: Image, file: Path) -> None:
    _, data = cv2.imencode(file.suffix.lower(), sheet, [cv2.IMWRITE_JPEG_QUALITY, 92])
    with writing(file):
        partial_path(file).write_bytes(data.tobytes())
        finish(file)
