"""Draws what was recognised: boxes with labels, a panel of the best classes, a status line."""

from __future__ import annotations

from collections.abc import Set

import cv2
import numpy as np

from pipeline.lettering import Lettering, font_size, line_height
from pipeline.palette import BLACK, Colour, colour_of
from pipeline.scene import draw_scene
from pipeline.trails import Trails
from pipeline.types import Annotated, Classification, Detections, Image, Redacted  # noqa: TID251 - takes it, does not make it

_BOLD = 600
_DIMMED = 0.28
_THEN = 12  # times the size of the letters: the most that the name from the second model may take
_TRACK: Colour = (110, 110, 110)


class Overlay:
    """Draws results on frames. Sizes follow the frame's shorter side, colours the names of the classes.

    Use one in one thread: it keeps the latest bitmaps of labels and the paths of tracks.

    Args:
        hidden: label ids of what is hidden in the pictures: it leaves no trail.
    """

    def __init__(self, hidden: Set[int] = frozenset()) -> None:
        self._letters = Lettering()
        self._trails = Trails(hidden)

    def __call__(self, redacted: Redacted, status: str | None = None) -> Annotated:
        """Draws the results, and `status` in the lower left corner.

        The picture is `redacted.frame.image` itself where that can be written and is C-contiguous, otherwise a copy.

        Returns: an `Annotated` with `image` uint8 [H, W, 3], BGR, C-contiguous, writeable.
        """
        image = redacted.frame.image
        if not image.flags.carray:
            image = image.copy(order="C")
        size = font_size(*image.shape[:2])
        if redacted.counts is not None:
            draw_scene(image, redacted.counts, self._letters, size)
        if isinstance(redacted.results, Detections):
            self._trails.draw(image, redacted.frame, redacted.results)
            self._draw_boxes(image, redacted.results, size)
        else:
            taken = line_height(size) + size // 2 if status else 0
            self._draw_panel(image[: max(0, image.shape[0] - taken)], redacted.results, size)
        if status:
            self._draw_status(image, status, size)
        return Annotated(redacted, image)

    def _draw_boxes(self, image: Image, found: Detections, size: int) -> None:
        boxes, indices = _pixel_boxes(found, image)
        thickness = max(1, round(min(image.shape[:2]) / 270))
        names = [found.names[label] for label in found.labels_N[indices].tolist()]
        details = [self._details(found, index, size, image.shape[1]) for index in indices]
        for box, name in zip(reversed(boxes), reversed(names), strict=True):
            _draw_box(image, box, colour_of(name), thickness)
        for box, name, texts in zip(reversed(boxes), reversed(names), reversed(details), strict=True):
            self._draw_label(image, box, name, texts, size)

    def _details(self, found: Detections, index: int, size: int, width: int) -> list[str]:
        """What stands behind the class: the track's number, the score, and the second model's best class and score."""
        texts = [f"{found.scores_N[index]:.2f}"]
        if found.tracks_N is not None and (track := int(found.tracks_N[index])):
            texts.insert(0, f"#{track}")
        if found.then_N is not None and (then := found.then_N[index]):
            name = self._letters.fit(then.names[int(then.labels_K[0])], size, min(_THEN * size, width // 3))
            texts += [f"· {name}", f"{then.scores_K[0]:.2f}"]
        return texts

    def _draw_label(self, image: Image, box: list[int], name: str, details: list[str], size: int) -> None:
        """A strip in the class's colour on top of the box, moved into the frame where it would leave it."""
        paper = colour_of(name)
        pad = size // 3
        strips = [self._letters.strip(text, size, paper) for text in details]
        taken = pad + sum(strip.shape[1] + pad for strip in strips)
        fitting = self._letters.fit(name, size, image.shape[1] - taken - pad, _BOLD)
        strips.insert(0, self._letters.strip(fitting, size, paper, _BOLD))
        width = taken + strips[0].shape[1] + pad
        height = strips[0].shape[0]
        x = max(0, min(box[0], image.shape[1] - width))
        y = max(0, box[1] - height)
        cv2.rectangle(image, (x - 1, y - 1, width + 2, height + 2), BLACK)
        cv2.rectangle(image, (x, y, width, height), paper, cv2.FILLED)
        for strip in strips:
            _paste(image, strip, x + pad, y)
            x += pad + strip.shape[1]

    def _draw_panel(self, image: Image, best: Classification, size: int) -> None:
        """The classes, one below the other: name and score, and a bar below them."""
        height, width = image.shape[:2]
        margin = pad = size // 2
        bar = max(2, size // 6)
        row = line_height(size) + bar + size // 4
        rows = min(len(best), (height - 2 * margin - pad) // row)
        if rows < 1:
            return
        panel = image[margin : margin + rows * row + pad, margin : min(width - margin, margin + 24 * size)]
        _dim(panel)
        inside = panel[pad // 2 :, pad:-pad]
        for index in range(rows):
            name, score = best.names[int(best.labels_K[index])], float(best.scores_K[index])
            self._draw_row(inside[index * row : (index + 1) * row], name, score, size, bar)

    def _draw_row(self, row: Image, name: str, score: float, size: int, bar: int) -> None:
        width = row.shape[1]
        right = self._letters.strip(f"{score:.2f}", size, BLACK)
        left = self._letters.strip(
            self._letters.fit(name, size, width - right.shape[1] - size, _BOLD), size, BLACK, _BOLD
        )
        _shine(row, left, 0)
        _shine(row, right, width - right.shape[1])
        top = left.shape[0]
        row[top : top + bar] = _TRACK
        row[top : top + bar, : round(width * min(max(0.0, score), 1.0))] = colour_of(name)

    def _draw_status(self, image: Image, status: str, size: int) -> None:
        height, width = image.shape[:2]
        pad = size // 2
        text = self._letters.strip(self._letters.fit(status, size, width - 4 * pad), size, BLACK)
        line = image[max(0, height - pad - text.shape[0]) : height - pad, pad : 3 * pad + text.shape[1]]
        _dim(line)
        _shine(line, text, pad)


def _pixel_boxes(found: Detections, image: Image) -> tuple[list[list[int]], list[int]]:
    """The first and last column and row of every box that can be seen, cut at the frame, and the boxes' indices."""
    height, width = image.shape[:2]
    limits = np.array([width, height], np.float32)
    with np.errstate(invalid="ignore"):
        first = np.rint(found.boxes_N4[:, :2])
        last = np.maximum(np.rint(found.boxes_N4[:, 2:]), first + 1)
        seen = np.isfinite(found.boxes_N4).all(axis=1) & (first < limits).all(axis=1) & (last > 0).all(axis=1)
        corners = np.hstack((first.clip(0), last.clip(max=limits) - 1))
    return corners[seen].astype(int).tolist(), np.flatnonzero(seen).tolist()


def _draw_box(image: Image, box: list[int], colour: Colour, thickness: int) -> None:
    """A frame of `thickness` pixels inside the box, with a dark line on either side of it."""
    left, top, right, bottom = box
    last = min(thickness, (right - left) // 2, (bottom - top) // 2)
    for inset in range(-1, last + 1):
        ink = colour if 0 <= inset < thickness else BLACK
        cv2.rectangle(image, (left + inset, top + inset), (right - inset, bottom - inset), ink)


def _paste(image: Image, strip: Image, x: int, y: int) -> None:
    """Copies `strip` to (x, y), as much of it as lies in the image; x and y are not negative."""
    target = image[y : y + strip.shape[0], x : x + strip.shape[1]]
    target[:] = strip[: target.shape[0], : target.shape[1]]


def _dim(area: Image) -> None:
    if area.size:
        area[:] = cv2.convertScaleAbs(area, alpha=_DIMMED)


def _shine(area: Image, strip: Image, x: int) -> None:
    """Lays white text on black over a dark area."""
    target = area[: strip.shape[0], max(x, 0) : max(x, 0) + strip.shape[1]]
    np.maximum(target, strip[: target.shape[0], : target.shape[1]], out=target)
