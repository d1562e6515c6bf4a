"""Pictures of mistakes: the right part, with lines where the boxes are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.boxes import LABELS, Box, found, truth

from training.mistakes import Mistake
from training.sheet_boxes import FOUND, TRUTH, draw_mistake, show_worst


def boxes(*given: Box) -> np.ndarray:
    return np.array(given, np.float32).reshape(-1, 4)


def along(image: np.ndarray, colour: tuple[int, int, int], box: Box) -> float:
    """Which part of the outline of a box has a colour."""
    outline = np.zeros(image.shape[:2], np.uint8)
    x1, y1, x2, y2 = map(round, box)
    cv2.rectangle(outline, (x1, y1), (x2, y2), 255)
    return float((np.abs(image[outline > 0].astype(int) - colour) < 10).all(1).mean())


def test_objects_have_solid_lines_and_found_boxes_dashed_ones() -> None:
    grey = np.full((320, 320, 3), 128, np.uint8)
    real, seen = (80, 100, 200, 240), (100, 80, 240, 220)
    drawn = draw_mistake(grey, boxes(real), boxes(seen), [0], [0])
    assert drawn.shape == (320, 320, 3)
    assert along(drawn, TRUTH, real) > 0.9  # but for the crossings
    assert 0.4 < along(drawn, FOUND, seen) < 0.85
    assert (grey == 128).all()


def test_the_boxes_meant_are_thick() -> None:
    grey, inner = np.full((320, 320, 3), 128, np.uint8), (90, 90, 230, 230)
    both = boxes((80, 80, 240, 240), inner)
    thick, thin = (draw_mistake(grey, both, boxes(), meant, []) for meant in ([0, 1], [0]))
    for drawn in (thick, thin):
        assert along(drawn, TRUTH, inner) == 1
    beside = (92, 92, 228, 228)
    assert along(thick, TRUTH, beside) > 0.9 > 0.1 > along(thin, TRUTH, beside)


@pytest.mark.parametrize(
    ("size", "box", "shown"),
    [
        ((1000, 2000), (10, 10, 30, 20), (0, 0, 200, 200)),
        ((1000, 2000), (1990, 990, 2000, 1000), (1800, 800, 2000, 1000)),
        ((1000, 2000), (800, 400, 1000, 500), (700, 250, 1100, 650)),
        ((40, 900), (200, 0, 700, 40), (0, 0, 900, 40)),
    ],
)
def test_only_the_surroundings_are_shown(size: tuple[int, int], box: Box, shown: Box) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[..., 1] = np.linspace(0, 255, size[0])[:, None]
    image[..., 0] = np.linspace(0, 255, size[1])
    drawn = draw_mistake(image, boxes(box), boxes(), [0], [])
    x1, y1, x2, y2 = shown
    assert drawn.shape == (round(320 * (y2 - y1) / (x2 - x1)), 320, 3)
    for x, y, corner in ((x1, y1, drawn[0, 0]), (x1, y2, drawn[-1, 0]), (x2, y1, drawn[0, -1])):
        assert corner.tolist() == pytest.approx([255 * x / size[1], 255 * y / size[0], 0], abs=8)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (0, 0, 1, 1)])
def test_boxes_without_much_area(box: Box) -> None:
    assert draw_mistake(np.zeros((3, 3, 3), np.uint8), boxes(box), boxes(box), [0], [0]).size


def test_the_worst_come_first(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((480, 640, 3), np.uint8))
    real, seen = (100, 100, 200, 200), (100, 100, 200, 150)
    image = replace(truth((real, 1)), path=path)
    shown = found((seen, 2, 0.75), (seen, 0, 0.1))
    mistakes = [
        Mistake("missed", 0, None, 0, 5.0),
        Mistake("class", 0, 0, 0, 9.0),
        Mistake("background", 0, 0, None, 7.0),
    ]
    cards = list(show_worst(mistakes, [image], [shown], LABELS, 0.5, 2))
    assert [(card.truth, card.found, card.score, card.iou) for card in cards] == [
        ("car", "dog", 0.75, pytest.approx(0.5)),
        (None, "dog", 0.75, None),
    ]
    (card,) = show_worst(mistakes[:1], [image], [shown], LABELS, 0.5, 2)
    assert (card.truth, card.found, card.score, card.iou) == ("car", None, None, None)
    assert card.image.startswith("data:image/jpeg;base64,")
