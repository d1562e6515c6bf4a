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

import pipeline
from pipeline.errors import ConfigError
from pipeline.redact import Redactor
from pipeline.types import Classification, Detections, Frame, Image, Recognised

NAMES = ("person", "car", "face")
PERSON, CAR, FACE = range(3)
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


def found(*objects: tuple[Sequence[float], int, float]) -> Detections:
    boxes, labels, scores = zip(*objects, strict=True) if objects else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32), NAMES
    )


def seen(image: Image, results: Detections | Classification) -> Recognised:
    return Recognised(Frame(image, "clip.mp4", 0, 0.0), results)


def person(*box: float, score: float = 0.9) -> Detections:
    return found((box, PERSON, score))


def detail(image: Image) -> float:
    """The energy of differences between neighbouring pixels: what edges and texture are made of."""
    grey = image.astype(np.float32).mean(axis=2)
    return float(np.square(np.diff(grey, axis=0)).mean() + np.square(np.diff(grey, axis=1)).mean())


@pytest.mark.parametrize("style", STYLES)
def test_inside_is_gone_and_outside_untouched(style):
    before = noise()
    redacted = Redactor([PERSON], style)(seen(before.copy(), person(100, 60, 200, 180)))
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
    after = Redactor([PERSON], style)(seen(image, person(pad, pad, pad + side, pad + side))).frame.image
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
    redact = Redactor([PERSON], style)
    box = person(0, 0, 160, 160)
    first, second = (redact(seen(image, box)).frame.image for image in (stripes, columns))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_fill_leaves_black():
    after = Redactor([PERSON], "fill")(seen(noise(), person(50, 50, 100, 100))).frame.image
    assert not after[45:105, 45:105].any()
    assert after[44, 45:105].any()
    assert after[105, 45:105].any()


def test_hides_what_is_not_shown():
    image = noise()
    results = found(([10, 10, 60, 60], CAR, 0.95), ([100, 100, 180, 200], PERSON, 0.4), ([5, 5, 9, 9], CAR, 0.5))
    redacted = Redactor([PERSON], "fill", show=[CAR], threshold=0.9)(seen(image, results))
    assert not redacted.frame.image[100:200, 100:180].any()
    assert redacted.frame.image[10:60, 10:60].any()
    assert redacted.results.labels_N.tolist() == [CAR]
    assert redacted.results.scores_N.tolist() == pytest.approx([0.95])


def test_hides_several_classes_and_overlapping_boxes():
    results = found(([10, 10, 60, 60], FACE, 0.9), ([40, 40, 120, 120], PERSON, 0.8), ([130, 10, 200, 60], CAR, 0.8))
    before = noise()
    after = Redactor([PERSON, FACE], "fill")(seen(before.copy(), results)).frame.image
    assert not after[10:60, 10:60].any()
    assert not after[40:120, 40:120].any()
    assert np.array_equal(after[10:60, 130:200], before[10:60, 130:200])


def test_shows_scores_from_the_threshold_on():
    results = found(([0, 0, 5, 5], CAR, 0.5), ([0, 0, 6, 6], CAR, 0.49), ([0, 0, 7, 7], PERSON, float("nan")))
    shown = Redactor(threshold=0.5)(seen(noise(), results)).results
    assert shown.boxes_N4[:, 2].tolist() == [5]


def test_nothing_to_hide_passes_the_same_values_through():
    recognised = seen(noise(), person(1, 2, 3, 4))
    before = recognised.frame.image.copy()
    redacted = Redactor()(recognised)
    assert redacted.frame is recognised.frame
    assert redacted.results is recognised.results
    assert np.array_equal(redacted.frame.image, before)


def test_works_in_place():
    recognised = seen(noise(), person(50, 50, 100, 100))
    assert Redactor([PERSON])(recognised).frame is recognised.frame


def test_read_only_image_is_copied():
    image = noise()
    image.flags.writeable = False
    before = image.copy()
    recognised = seen(image, person(50, 50, 100, 100))
    redacted = Redactor([PERSON], "fill")(recognised)
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
    results = person(20, 30, 70, 80)
    redact = Redactor([PERSON], style)
    wanted = redact(seen(plain, results)).frame.image
    assert np.array_equal(redact(seen(strided, results)).frame.image, wanted)
    assert redact.withheld == 0


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
    after = Redactor([PERSON], style)(seen(before.copy(), person(*box))).frame.image
    changed = np.argwhere((after != before).any(axis=2))
    assert (changed.min(axis=0) >= [rows[0], columns[0]]).all()
    assert (changed.max(axis=0) < [rows[1], columns[1]]).all()
    area = (slice(*rows), slice(*columns))
    assert (after[area] != before[area]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("box", [(400, 10, 500, 60), (10, -90, 60, -40), (-9e9, 0, -8e9, 10)])
def test_boxes_outside_the_frame_change_nothing(box):
    before = noise()
    redact = Redactor([PERSON], "fill")
    assert np.array_equal(redact(seen(before.copy(), person(*box))).frame.image, before)
    assert redact.withheld == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("style", STYLES)
def test_tiny_frames(style, shape):
    image = noise(*shape)
    redact = Redactor([PERSON], style)
    assert redact(seen(image, person(0, 0, shape[1], shape[0]))) is not None
    assert redact.withheld == 0


def broken(results: Detections, **changes: object) -> Detections:
    return replace(results, **changes)


FAILURES = {
    "nan": person(float("nan"), 0, 10, 10),
    "infinite": person(0, 0, float("inf"), 10),
    "padding": broken(person(0, 0, 10, 10), labels_N=np.array([-1])),
    "unknown class": broken(person(0, 0, 10, 10), labels_N=np.array([3])),
    "fewer boxes": broken(person(0, 0, 10, 10), boxes_N4=np.zeros((0, 4), np.float32)),
    "more boxes": broken(found(), boxes_N4=np.zeros((1, 4), np.float32)),
    "no boxes": broken(person(0, 0, 10, 10), boxes_N4=None),
    "five columns": broken(person(0, 0, 10, 10), boxes_N4=np.zeros((1, 5), np.float32)),
}


@pytest.mark.parametrize("results", FAILURES.values(), ids=FAILURES)
def test_failure_withholds_the_frame(results, caplog):
    redact = Redactor([PERSON])
    with caplog.at_level(logging.ERROR):
        assert redact(seen(noise(), results)) is None
        assert redact(seen(noise(), results)) is None
    assert redact.withheld == 2
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    assert "\n" not in caplog.text.strip()
    assert redact(seen(noise(), person(1, 1, 5, 5))) is not None


def test_failure_half_way_withholds_the_frame(monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cv2, "resize", fail)
    redact = Redactor([PERSON])
    assert redact(seen(noise(), person(1, 1, 50, 50))) is None
    assert redact.withheld == 1


def test_reasons_logged_are_bounded(caplog):
    redact = Redactor([PERSON])
    for names in range(100):
        results = broken(person(0, 0, 10, 10), boxes_N4=np.zeros((1, 5 + 2 * names), np.float32))
        assert redact(seen(noise(20, 20), results)) is None
    assert redact.withheld == 100
    assert 1 < len(caplog.records) <= 20


def test_a_nan_box_of_a_class_that_is_not_hidden_withholds_nothing():
    results = found(([float("nan")] * 4, CAR, 0.9), ([10, 10, 20, 20], PERSON, 0.9))
    assert Redactor([PERSON])(seen(noise(), results)) is not None


def test_classifications_pass_whole():
    results = Classification(np.array([2, 0]), np.array([0.6, 0.1], np.float32), NAMES)
    assert Redactor(show=[1], threshold=0.5)(seen(noise(), results)).results is results


def test_a_classifier_cannot_redact():
    results = Classification(np.array([0]), np.array([0.6], np.float32), NAMES)
    with pytest.raises(ConfigError, match="detector"):
        Redactor([PERSON])(seen(noise(), results))


def test_unknown_style():
    with pytest.raises(ConfigError, match="blur, pixelate, fill"):
        Redactor([PERSON], "smear")


@settings(max_examples=150, deadline=None)
@given(
    boxes=st.lists(st.tuples(*[st.floats(width=32)] * 4), max_size=4),
    style=st.sampled_from(STYLES),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_boxes_are_hidden_or_the_frame_is_withheld(boxes, style, shape):
    before = np.maximum(noise(*shape), 1)
    results = found(*((box, PERSON, 0.5) for box in boxes))
    redacted = Redactor([PERSON], style)(seen(before.copy(), results))
    if not np.isfinite(results.boxes_N4).all():
        assert redacted is None
        return
    after = redacted.frame.image
    assert after.shape == before.shape
    hidden, near = np.zeros(shape, bool), np.zeros(shape, bool)
    for box in results.boxes_N4.astype(float):
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
