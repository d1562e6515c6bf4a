from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.lettering import Lettering, font_size, line_height
from pipeline.overlay import Overlay
from pipeline.palette import BLACK, PALETTE, WHITE, colour_of, contrast, ink_on
from pipeline.types import Classification, Detections, Frame, Image, Redacted

NAMES = ("person", "car", "traffic light", "日本語", "a" * 300)


def grey(height: int, width: int, level: int = 128) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def boxes(*objects: tuple[tuple[float, ...], int, float]) -> Detections:
    corners, labels, scores = zip(*objects, strict=True) if objects else ((), (), ())
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32), NAMES
    )


def best(*scores: float, names: tuple[str, ...] = NAMES) -> Classification:
    return Classification(np.arange(len(scores)), np.array(scores, np.float32), names)


def shown(image: Image, results: Detections | Classification) -> Redacted:
    return Redacted(Frame(image, "clip.mp4", 0, 0.0), results)


def draw(image: Image, results: Detections | Classification, status: str | None = None) -> Image:
    return Overlay()(shown(image, results), status).image


def changed(before: Image, after: Image) -> tuple[int, int, int, int]:
    """First and last row and column that differ."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def has(image: Image, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(axis=-1).any())


def test_colours_stay_the_same():
    assert colour_of("person") == (142, 170, 3)
    assert colour_of("car") == (255, 139, 91)


def test_common_classes_have_colours_of_their_own():
    street = ("person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "cat", "dog")
    assert len({colour_of(name) for name in street}) == len(street)


def test_contrast_is_that_of_wcag():
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast((0, 0, 255), WHITE) == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("paper", [*PALETTE, BLACK, WHITE, (128, 128, 128), (0, 0, 255), (255, 0, 0)])
def test_ink_can_be_read(paper):
    assert contrast(ink_on(paper), paper) >= 4.5


def test_palette_has_no_twins():
    assert len(set(PALETTE)) == len(PALETTE) == 24


def test_a_box_is_drawn_where_it_is():
    image = draw(grey(480, 640), boxes(((100, 200, 300, 400), 1, 0.87)))
    colour = colour_of("car")
    assert (image[399, 150:250] == colour).all()
    assert (image[250:350, 100] == colour).all()
    assert (image[250:350, 299] == colour).all()
    assert (image[400, 150:250] == BLACK).all()
    assert (image[250:350, 99] == BLACK).all()
    assert (image[210:390, 110:290] == 128).all()


def test_nothing_else_is_touched():
    before = grey(480, 640)
    after = draw(before.copy(), boxes(((100, 200, 300, 400), 1, 0.87)))
    top, bottom, left, right = changed(before, after)
    assert (bottom, left, right) == (400, 99, 300)
    assert top == 200 - line_height(font_size(480, 640)) - 1


def test_the_label_carries_its_text():
    """Another name and another score give another picture; the same ones the same."""
    one = draw(grey(480, 640), boxes(((100, 200, 300, 400), 1, 0.87)))
    assert np.array_equal(one, draw(grey(480, 640), boxes(((100, 200, 300, 400), 1, 0.874))))
    assert not np.array_equal(one, draw(grey(480, 640), boxes(((100, 200, 300, 400), 1, 0.88))))
    assert has(one[175:200, 100:170], ink_on(colour_of("car")))


def test_a_long_name_makes_room_for_the_score():
    high, low = (draw(grey(100, 100), boxes(((10, 50, 90, 90), 4, score))) for score in (0.91, 0.37))
    _, _, left, _ = changed(high, low)
    assert left > 70


@pytest.mark.parametrize("level", [0, 255])
def test_boxes_show_on_any_background(level):
    image = draw(grey(480, 640, level), boxes(((100, 200, 300, 400), 1, 0.87)))
    assert has(image, colour_of("car"))
    own = np.full((480, 640, 3), colour_of("car"), np.uint8)
    assert has(draw(own, boxes(((100, 200, 300, 400), 1, 0.87))), BLACK)


def test_the_best_is_on_top():
    crowd = boxes(((100, 200, 300, 400), 1, 0.9), ((100, 200, 300, 400), 0, 0.5))
    lines = draw(grey(480, 640), crowd)[201:]
    assert has(lines, colour_of("car"))
    assert not has(lines, colour_of("person"))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((100, 0, 200, 100), (0, 101), (99, 201)),
        ((600, 200, 640, 300), (160, 301), (540, 640)),
        ((-50, -50, 90, 90), (0, 91), (0, 91)),
        ((600, 460, 700, 520), (430, 480), (540, 640)),
        ((0, 0, 640, 480), (0, 480), (0, 640)),
    ],
)
def test_labels_stay_inside(box, rows, columns):
    before = grey(480, 640)
    after = draw(before.copy(), boxes((box, 1, 0.87)))
    top, bottom, left, right = changed(before, after)
    assert rows[0] <= top <= bottom < rows[1]
    assert columns[0] <= left <= right < columns[1]
    reference = draw(before.copy(), boxes(((100, 200, 300, 400), 1, 0.87)))[:199]
    first, last, begin, end = changed(before[:199], reference)
    label = reference[first + 1 : last + 1, begin + 1 : end]
    height, width = label.shape[:2]
    assert width > 40
    places = np.argwhere((after == label[0, 0]).all(axis=2)).tolist()
    assert any(np.array_equal(after[y : y + height, x : x + width], label) for y, x in places)


@pytest.mark.parametrize(
    "box",
    [
        (700, 10, 800, 60),
        (10, -90, 60, -40),
        (640, 0, 700, 100),
        (float("nan"), 10, 60, 60),
        (10, 10, float("inf"), 60),
        (-1e30, 10, -1e30, 60),
    ],
)
def test_what_lies_outside_is_not_drawn(box):
    before = grey(480, 640)
    assert np.array_equal(draw(before.copy(), boxes((box, 1, 0.87))), before)


def test_a_box_without_number_leaves_the_others_their_names():
    crowd = boxes(((float("nan"),) * 4, 0, 0.9), ((100, 200, 300, 400), 1, 0.5))
    assert np.array_equal(draw(grey(480, 640), crowd), draw(grey(480, 640), crowd.where(np.array([False, True]))))


@pytest.mark.parametrize("results", [boxes(), best()])
def test_no_results_draw_nothing(results):
    before = grey(120, 160)
    assert np.array_equal(draw(before.copy(), results), before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (2, 2), (9, 9), (15, 15), (20, 30), (64, 64)])
@pytest.mark.parametrize("status", [None, "30.0 fps"])
def test_tiny_frames(shape, status):
    height, width = shape
    whole = (0, 0, width, height)
    for results in (boxes((whole, 0, 0.9), (whole, 4, 0.8), ((0, 0, 1, 1), 3, 0.7)), best(0.7, 0.2, 0.1, 0.0, 0.0)):
        assert draw(grey(*shape), results, status).shape == (height, width, 3)


@settings(max_examples=150, deadline=None)
@given(
    corners=st.lists(st.tuples(*[st.floats(width=32) | st.floats(-20, 120, width=32)] * 4), max_size=3),
    shape=st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_any_boxes(corners, shape):
    """Whatever the boxes: no crash, nothing written beyond the picture's own memory."""
    around = np.zeros((shape[0] + 4, shape[1], 3), np.uint8)
    image = around[2:-2]
    after = draw(image, boxes(*((corner, 1, 0.5) for corner in corners)))
    assert after is image
    assert not around[:2].any()
    assert not around[-2:].any()


@pytest.mark.parametrize("side", [64, 120, 272, 720, 1080, 4320])
def test_sizes_follow_the_frame(side):
    image = draw(grey(side, side * 16 // 9), boxes(((0, side / 2, side, side), 1, 0.9)))
    line = (image[side * 3 // 4] == colour_of("car")).all(axis=1)[: side // 2].sum()
    assert 1 <= line <= side / 60
    assert side / 100 < font_size(side, side * 2) <= max(9, side / 16)


def test_draws_in_place_or_on_a_copy():
    image = grey(100, 100)
    assert draw(image, boxes(((10, 30, 50, 50), 0, 0.5))) is image
    for view in (
        lambda a: a[:, ::-1],
        lambda a: a[..., ::-1],
        lambda a: a[::2],
        lambda a: np.broadcast_to(a[0], a.shape),
    ):
        strided = view(grey(100, 100))
        after = draw(strided, boxes(((10, 30, 50, 50), 0, 0.5)))
        assert (strided == 128).all()
        assert has(after, colour_of("person"))
        assert after.flags.carray


def test_the_number_of_a_track_makes_the_label_longer():
    ends = []
    for track in (None, 0, 1, 1234567):
        found = boxes(((50, 60, 90, 90), 1, 0.5))
        image = draw(grey(100, 300), replace(found, tracks_N=None if track is None else np.array([track])))
        ends.append(int(np.flatnonzero((image == colour_of("car")).all(axis=2).any(axis=0))[-1]))
    assert ends[0] == ends[1] < ends[2] < ends[3]


def test_a_long_name_gives_way_to_the_number_of_the_track():
    found = boxes(((50, 60, 90, 90), 4, 0.5))
    first, second = (draw(grey(100, 300), replace(found, tracks_N=np.array([track]))) for track in (1234567, 7654321))
    top, bottom, *_ = changed(first, second)
    assert bottom < 60
    assert bottom - top < line_height(font_size(100, 300))


def seen_closer(name: str, score: float, count: int = 1) -> Detections:
    second = Classification(np.arange(count), np.full(count, score, np.float32), (name,))
    return replace(boxes(((50, 60, 90, 90), 1, 0.5)), then_N=(second,))


def test_what_the_second_model_says_makes_the_label_longer():
    found = boxes(((50, 60, 90, 90), 1, 0.5))
    ends = []
    for results in (found, replace(found, then_N=(None,)), seen_closer("x", 0.9, 0), seen_closer("van", 0.9)):
        image = draw(grey(100, 300), results)
        ends.append(int(np.flatnonzero((image == colour_of("car")).all(axis=2).any(axis=0))[-1]))
    assert ends[0] == ends[1] == ends[2] < ends[3] - 30


def test_the_second_label_carries_its_text():
    one = draw(grey(100, 300), seen_closer("van", 0.9))
    assert np.array_equal(one, draw(grey(100, 300), seen_closer("van", 0.901)))
    assert not np.array_equal(one, draw(grey(100, 300), seen_closer("ban", 0.9)))
    assert not np.array_equal(one, draw(grey(100, 300), seen_closer("van", 0.8)))


@pytest.mark.parametrize("shape", [(100, 300), (480, 640)])
def test_long_names_leave_room_for_both_scores(shape):
    found = replace(boxes(((50, 60, 90, 90), 4, 0.5)), tracks_N=np.array([1234]))
    name = "b" * 300
    high, low = (draw(grey(*shape), replace(found, then_N=seen_closer(name, score).then_N)) for score in (0.91, 0.37))
    top, bottom, left, right = changed(high, low)
    assert left > shape[1] // 2
    assert right < shape[1] - 2
    assert bottom - top < line_height(font_size(*shape))
    first, second = (draw(grey(*shape), replace(found, then_N=seen_closer(n, 0.9).then_N)) for n in (name, "c" * 300))
    *_, left, right = changed(first, second)
    assert right - left < shape[1] // 3


def test_a_tracked_object_draws_its_trail():
    overlay, image = Overlay(), grey(100, 300)
    for pts, x in ((0.0, 50), (0.5, 250)):
        found = replace(boxes(((x - 20, 60, x + 20, 90), 1, 0.5)), tracks_N=np.array([1]))
        image = overlay(Redacted(Frame(grey(100, 300), "clip.mp4", 0, pts), found)).image
    assert has(image[88:93, 100:200], colour_of("car"))


def test_a_read_only_frame_gives_a_copy():
    image = grey(100, 100)
    image.flags.writeable = False
    redacted = shown(image, boxes(((10, 30, 50, 50), 0, 0.5)))
    annotated = Overlay()(redacted)
    assert (image == 128).all()
    assert has(annotated.image, colour_of("person"))
    assert annotated.redacted is redacted
    assert annotated.image.dtype == np.uint8


@pytest.mark.parametrize("shape", [(272, 640), (120, 160), (1080, 1920), (64, 64), (640, 272)])
@pytest.mark.parametrize("level", [0, 255])
def test_the_panel_can_be_read_and_stays_inside(shape, level):
    before = grey(*shape, level)
    after = draw(before.copy(), best(0.8, 0.1, 0.05, 0.03, 0.02))
    top, bottom, left, right = changed(before, after)
    size = font_size(*shape)
    assert top > 0
    assert bottom < shape[0] - 1
    assert left > 0
    assert right < shape[1] - 1
    panel = after[top : bottom + 1, left : right + 1]
    assert (panel == WHITE).all(axis=2).mean() > 0.005
    assert np.median(panel) < 80
    assert contrast(WHITE, tuple(panel[0, 0].tolist())) >= 7
    assert bottom - top > (1 if shape == (64, 64) else 5) * line_height(size)


def test_bars_are_as_long_as_the_scores():
    image = draw(grey(272, 640), best(0.8, 0.2, 0.0))
    long, short = ((image == colour_of(name)).all(axis=2).any(axis=0).sum() for name in NAMES[:2])
    assert long == pytest.approx(4 * short, abs=2)
    assert not has(image, colour_of(NAMES[2]))


@pytest.mark.parametrize("score", [float("nan"), -1.0, 7.0])
def test_scores_that_are_no_probabilities_do_not_break_the_panel(score):
    assert draw(grey(272, 640), best(score)).shape == (272, 640, 3)


def test_the_status_line_stays_clear_of_the_panel():
    before = grey(160, 160)
    panel = changed(before, draw(before.copy(), best(*[0.1] * 5)))
    line = changed(before, draw(before.copy(), boxes(), "30.0 fps · 12 ms"))
    assert panel[1] < line[0]
    assert line[1] < 159
    both = draw(before.copy(), best(*[0.1] * 5), "30.0 fps · 12 ms")
    assert changed(before, both)[1] == line[1]
    small = grey(90, 160)
    assert (
        changed(small, draw(small.copy(), best(*[0.1] * 5)))[1] > changed(small, draw(small.copy(), boxes(), "fps"))[0]
    )
    panel_with_line = Overlay()(shown(grey(90, 160), best(*[0.1] * 5)), "fps").image
    status_top = changed(small, draw(small.copy(), boxes(), "fps"))[0]
    assert (panel_with_line[status_top - 1] == 128).all()


def test_text_that_fits_stays_whole():
    letters = Lettering()
    assert letters.fit("person", 12, 500) == "person"
    assert letters.fit("mountain bike, all-terrain bike", 12, 1000) == "mountain bike, all-terrain bike"


def test_synonyms_go_before_letters_do():
    letters = Lettering()
    name = "mountain bike, all-terrain bike, off-roader"
    assert letters.fit(name, 12, letters.width("mountain bike", 12)) == "mountain bike"
    short = letters.fit(name, 12, letters.width("mountain bike", 12) - 1)
    assert short.startswith("mount")
    assert short.endswith("…")


@pytest.mark.parametrize("width", [-5, 0, 1, 8, 40, 100])
@pytest.mark.parametrize("name", NAMES)
def test_fitted_text_fits(name, width):
    letters = Lettering()
    short = letters.fit(name, 12, width)
    assert not short or letters.width(short, 12) <= width


@pytest.mark.parametrize(
    "name", ["日本語", "한국어", "Ελληνικά", "Čeština", "العربية", "tab\tnew\nline", "😀", "\udc80"]
)
def test_names_of_any_script(name):
    results = boxes(((10, 60, 90, 90), 0, 0.5))
    named = Detections(results.boxes_N4, results.labels_N, results.scores_N, (name,))
    assert has(draw(grey(200, 300), named), colour_of(name))
    assert draw(grey(200, 300), best(0.5, names=(name,))).shape == (200, 300, 3)


def test_scripts_are_really_rendered():
    letters = Lettering()
    strips = [letters.strip(name, 16, WHITE).tobytes() for name in ("日本", "日光", "??")]
    assert len(set(strips)) == 3


def test_letters_are_neither_cut_nor_glued_to_the_edge():
    strip = Lettering().strip("ÅÇgjpqy|", 24, WHITE)
    assert (strip[0] == 255).all()
    assert (strip[-1] == 255).all()


def test_the_cache_is_used_and_bounded():
    letters = Lettering()
    assert letters.strip("car", 12, WHITE) is letters.strip("car", 12, WHITE)
    for number in range(1500):
        letters.strip(str(number), 9, WHITE)
    assert letters.strip.cache_info().currsize == letters.strip.cache_info().maxsize == 256
    assert not letters.strip("car", 12, WHITE).flags.writeable
