import ast
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.surfaces import FakeSurface

import pipeline
from pipeline.redact import Redactor
from pipeline.types import Classification, Counts, Detections, Frame, Image, Recognised, ZoneEvent

STYLES = ("blur", "pixelate", "fill")


def noise(height: int = 240, width: int = 320) -> Image:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def portrait(height: int, width: int) -> Image:
    """A face-like picture with fine stripes, so that there is something to recognise at every scale."""
    image = np.full((height, width, 3), (150, 180, 220), np.uint8)
    image[:: max(2, height // 24)] = 40
    for x in (0.3, 0.7):
        cv2.circle(image, (int(width * x), int(height * 0.35)), max(1, min(height, width) // 12), (0, 0, 0), -1)
    cv2.rectangle(image, (int(width * 0.3), int(height * 0.7)), (int(width * 0.7), int(height * 0.75)), (0, 0, 255), -1)
    return image


def seen(image: Image, *boxes: Sequence[float]) -> Recognised:
    """A frame with `boxes` to hide, and a car that is shown."""
    shown = Detections(np.float32([[10, 10, 60, 60]]), np.int64([0]), np.float32([0.9]), ("car",))
    return Recognised(Frame(image, "clip.mp4", 0, 0.0), shown, np.array(boxes, np.float32).reshape(-1, 4))


def detail(image: Image) -> float:
    """The energy of differences between neighbouring pixels: what edges and texture are made of."""
    grey = image.astype(np.float32).mean(axis=2)
    return float(np.square(np.diff(grey, axis=0)).mean() + np.square(np.diff(grey, axis=1)).mean())


@pytest.mark.parametrize("style", STYLES)
def test_inside_is_gone_and_outside_untouched(style):
    before = noise()
    redacted = Redactor(True, style)(seen(before.copy(), (100, 60, 200, 180)))
    after = redacted.frame.image
    outside = np.ones(before.shape[:2], bool)
    outside[60 - 12 : 180 + 12, 100 - 10 : 200 + 10] = False
    assert np.array_equal(after[outside], before[outside])
    inside = (slice(48, 192), slice(90, 210))
    assert detail(after[inside]) < 0.02 * detail(before[inside])
    correlation = np.corrcoef(after[inside].ravel(), before[inside].ravel())[0, 1] if style != "fill" else 0.0
    assert abs(correlation) < 0.15


@pytest.mark.parametrize("style", ["blur", "pixelate"])
@pytest.mark.parametrize("side", [3, 6, 12, 24, 60, 200, 500])
def test_no_detail_survives_at_any_size(style, side):
    pad = 60
    image = noise(side + 2 * pad, side + 2 * pad)
    image[pad:-pad, pad:-pad] = portrait(side, side)
    after = Redactor(True, style)(seen(image, (pad, pad, pad + side, pad + side))).frame.image
    grown = side + 2 * max(2, side // 10)
    start = pad - max(2, side // 10)
    area = after[start : start + grown, start : start + grown]
    cells = min(8, grown // 4)
    colours = len(np.unique(area.reshape(-1, 3), axis=0))
    if style == "pixelate":
        assert 1 <= colours <= cells**2
    # What remains is described by so few numbers that shrinking to the grid and back loses next to nothing.
    coarse = cv2.resize(area, (cells, cells), interpolation=cv2.INTER_AREA)
    again = cv2.resize(coarse, (grown, grown), interpolation=cv2.INTER_CUBIC if style == "blur" else cv2.INTER_NEAREST)
    assert np.abs(again.astype(int) - area).mean() < (12 if style == "pixelate" else 4)


@pytest.mark.parametrize("style", ["blur", "pixelate"])
def test_pictures_with_equal_patches_become_equal(style):
    """What differs below the grid is lost for good: nobody can tell the two originals apart."""
    stripes = np.zeros((160, 160, 3), np.uint8)
    stripes[::2] = 200
    columns = np.ascontiguousarray(stripes.swapaxes(0, 1))
    redact = Redactor(True, style)
    first, second = (redact(seen(image, (0, 0, 160, 160))).frame.image for image in (stripes, columns))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_fill_leaves_black():
    after = Redactor(True, "fill")(seen(noise(), (50, 50, 100, 100))).frame.image
    assert not after[45:105, 45:105].any()
    assert after[44, 45:105].any()
    assert after[105, 45:105].any()


def test_what_is_shown_is_no_matter_of_what_is_hidden():
    before = noise()
    recognised = seen(before.copy(), (100, 100, 180, 200))
    redacted = Redactor(True, "fill")(recognised)
    assert not redacted.frame.image[100:200, 100:180].any()
    assert np.array_equal(redacted.frame.image[10:60, 10:60], before[10:60, 10:60])
    assert redacted.results is recognised.results


@pytest.mark.parametrize("hide", [False, True])
def test_counts_pass_with_the_frame(hide):
    counts = Counts((), (), (ZoneEvent("in", "gate", 1, "car", 0.0),))
    recognised = replace(seen(noise(), (50, 50, 100, 100)), counts=counts)
    assert Redactor(hide)(recognised).counts is counts
    assert Redactor(True)(replace(recognised, hide_N4=None)) is None


def test_overlapping_boxes_are_all_hidden():
    before = noise()
    after = Redactor(True, "fill")(seen(before.copy(), (10, 10, 60, 60), (40, 40, 120, 120))).frame.image
    assert not after[10:60, 10:60].any()
    assert not after[40:120, 40:120].any()
    assert np.array_equal(after[10:60, 135:200], before[10:60, 135:200])


@pytest.mark.parametrize("hide", [False, True])
def test_nothing_to_hide_passes_the_same_values_through(hide):
    recognised = seen(noise())
    before = recognised.frame.image.copy()
    redacted = Redactor(hide)(recognised)
    assert redacted.frame is recognised.frame
    assert redacted.results is recognised.results
    assert np.array_equal(redacted.frame.image, before)


def test_a_frame_that_does_not_say_what_to_hide_is_withheld_where_there_is_something():
    recognised = replace(seen(noise()), hide_N4=None)
    assert Redactor(True)(recognised) is None
    assert Redactor(False)(recognised) is not None


def test_works_in_place():
    recognised = seen(noise(), (50, 50, 100, 100))
    assert Redactor(True)(recognised).frame is recognised.frame


def test_a_picture_on_a_gpu_is_left_behind_when_it_is_redacted():
    surface = FakeSurface(noise())
    redacted = Redactor(True, "fill")(seen(surface, (50, 50, 100, 100)))
    assert redacted.frame.on_device is None
    assert not redacted.frame.image[50:100, 50:100].any()


def test_read_only_image_is_copied():
    image = noise()
    image.flags.writeable = False
    before = image.copy()
    recognised = seen(image, (50, 50, 100, 100))
    redacted = Redactor(True, "fill")(recognised)
    assert not redacted.frame.image[50:100, 50:100].any()
    assert np.array_equal(image, before)
    assert redacted.frame.source == recognised.frame.source


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "view",
    [
        lambda base: base[:, ::-1],
        lambda base: base[::-1],
        lambda base: base[..., ::-1],
        lambda base: base[::2, 10:-10],
        lambda base: base.swapaxes(0, 1),
    ],
)
def test_any_strides(style, view):
    plain = np.ascontiguousarray(view(noise()))
    strided = view(noise())
    box = (20, 30, 70, 80)
    redact = Redactor(True, style)
    wanted = redact(seen(plain, box)).frame.image
    assert np.array_equal(redact(seen(strided, box)).frame.image, wanted)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0, 0, 320, 240), (0, 240), (0, 320)),
        ((-1e30, -1e30, 1e30, 1e30), (0, 240), (0, 320)),
        ((-50, -50, 20, 20), (0, 27), (0, 27)),
        ((300, 220, 400, 300), (212, 240), (290, 320)),
        ((100, 100, 101, 101), (98, 103), (98, 103)),
        ((100, 100, 100, 100), (98, 102), (98, 102)),
        ((180, 150, 100, 100), (95, 155), (92, 188)),
        ((319, 0, 320, 240), (0, 240), (317, 320)),
    ],
)
def test_edges(style, box, rows, columns):
    before = noise()
    after = Redactor(True, style)(seen(before.copy(), box)).frame.image
    changed = np.argwhere((after != before).any(axis=2))
    assert (changed.min(axis=0) >= [rows[0], columns[0]]).all()
    assert (changed.max(axis=0) < [rows[1], columns[1]]).all()
    area = (slice(*rows), slice(*columns))
    assert (after[area] != before[area]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("box", [(400, 10, 500, 60), (10, -90, 60, -40), (-9e9, 0, -8e9, 10)])
def test_boxes_outside_the_frame_change_nothing(box):
    before = noise()
    redact = Redactor(True, "fill")
    assert np.array_equal(redact(seen(before.copy(), box)).frame.image, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("style", STYLES)
def test_tiny_frames(style, shape):
    image = noise(*shape)
    redact = Redactor(True, style)
    assert redact(seen(image, (0, 0, shape[1], shape[0]))) is not None


NAN, INFINITE = float("nan"), float("inf")
FAILURES = {
    "nan": np.float32([[NAN, 0, 10, 10]]),
    "infinite": np.float32([[0, 0, INFINITE, 10]]),
    "infinite on both sides": np.float32([[-INFINITE, -INFINITE, INFINITE, INFINITE]]),
    "one of two": np.float32([[1, 1, 5, 5], [0, -INFINITE, 10, 10]]),
    "five columns": np.zeros((1, 5), np.float32),
    "no columns": np.zeros(4, np.float32),
    "no boxes": None,
}


@pytest.mark.parametrize("boxes", FAILURES.values(), ids=FAILURES)
def test_failure_withholds_the_frame(boxes, caplog):
    redact = Redactor(True)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert redact(replace(seen(noise()), hide_N4=boxes)) is None
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    assert "\n" not in caplog.text.strip()
    assert redact(seen(noise(), (1, 1, 5, 5))) is not None


def test_failure_half_way_withholds_the_frame(monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cv2, "resize", fail)
    redact = Redactor(True)
    assert redact(seen(noise(), (1, 1, 50, 50))) is None


def test_reasons_logged_are_bounded(caplog):
    redact = Redactor(True)
    for more in range(100):
        boxes = np.zeros((1, 5 + 2 * more), np.float32)
        assert redact(replace(seen(noise(20, 20)), hide_N4=boxes)) is None
    assert 1 < len(caplog.records) <= 20


def test_a_classification_passes_whole():
    results = Classification(np.array([2, 0]), np.array([0.6, 0.1], np.float32), ("a", "b", "c"))
    assert Redactor(False)(replace(seen(noise()), results=results, hide_N4=None)).results is results


@settings(max_examples=150, deadline=None)
@given(
    boxes=st.lists(st.tuples(*[st.floats(width=32)] * 4), max_size=4),
    style=st.sampled_from(STYLES),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_boxes_are_hidden_or_the_frame_is_withheld(boxes, style, shape):
    before = np.maximum(noise(*shape), 1)
    recognised = seen(before.copy(), *boxes)
    redacted = Redactor(True, style)(recognised)
    if not np.isfinite(recognised.hide_N4).all():
        assert redacted is None
        return
    after = redacted.frame.image
    assert after.shape == before.shape
    hidden, near = np.zeros(shape, bool), np.zeros(shape, bool)
    for box in recognised.hide_N4.astype(float):
        x1, x2 = sorted(box[[0, 2]])
        y1, y2 = sorted(box[[1, 3]])
        for mask, grow in ((hidden, 0.0), (near, 1.0)):
            dx, dy = grow * max(2, 0.1 * (x2 - x1)), grow * max(2, 0.1 * (y2 - y1))
            rows = slice(int(np.clip(np.floor(y1 - dy), 0, shape[0])), int(np.clip(np.ceil(y2 + dy), 0, shape[0])))
            columns = slice(int(np.clip(np.floor(x1 - dx), 0, shape[1])), int(np.clip(np.ceil(x2 + dx), 0, shape[1])))
            mask[rows, columns] = True
    assert np.array_equal(after[~near], before[~near])
    if style == "fill":
        assert not after[near].any()
    elif hidden.sum() > 100:
        assert (after != before).any(axis=2)[hidden].mean() > 0.9


def makings_of_redacted(source: str) -> list[int]:
    """The lines of `source` that make a `Redacted`, or give it another name under which it could be made."""

    def is_redacted(node: ast.expr) -> bool:
        return "Redacted" in (getattr(node, "id", None), getattr(node, "attr", None))

    def makes(node: ast.AST) -> bool:
        match node:
            case ast.Call():
                return is_redacted(node.func)
            case ast.Assign():
                return is_redacted(node.value)
            case ast.ImportFrom():
                return any(alias.name == "Redacted" and alias.asname for alias in node.names)
        return False

    return [node.lineno for node in ast.walk(ast.parse(source)) if makes(node)]


def test_only_redact_makes_redacted():
    root = Path(pipeline.__file__).parent
    makers = {
        path.relative_to(root).as_posix() for path in root.rglob("*.py") if makings_of_redacted(path.read_text("utf-8"))
    }
    assert makers == {"redact.py"}


@pytest.mark.parametrize(
    "source",
    [
        "Redacted(frame, results)",
        "types.Redacted(frame, results)",
        "from pipeline.types import Redacted as R",
        "make = Redacted",
        "make = pipeline.types.Redacted",
    ],
)
def test_the_search_for_redacted_finds(source):
    assert makings_of_redacted(source) == [1]


def test_the_search_for_redacted_lets_types_be_named():
    assert not makings_of_redacted("def show(redacted: Redacted) -> None: isinstance(redacted, Redacted)")
