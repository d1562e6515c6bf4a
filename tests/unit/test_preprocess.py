import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import InputSpec, Resize
from pipeline.preprocess import Geometry, plan_geometry, write_input

PLAIN = {"antialias": False}
YOLO = InputSpec(height=640, width=640, stride=32, dynamic=True)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scenery(height: int, width: int) -> np.ndarray:
    """A picture with the spectrum of a photograph: amplitude falls with frequency, with some hard edges."""
    random = np.random.default_rng(3)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width)
    channels = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * random.random(frequency.shape))
        channels.append(np.fft.irfft2(phase / np.maximum(frequency, 1), (height, width)))
    picture = np.stack(channels, -1)
    picture = 128 + 50 * picture / picture.std()
    picture[height // 3 : height // 2, ::16] = 255
    return picture.clip(0, 255).astype(np.uint8)


def prepare(image: np.ndarray, spec: InputSpec, resize: Resize) -> tuple[np.ndarray, Geometry]:
    geometry = plan_geometry(*image.shape[:2], spec, resize)
    out = np.full((geometry.height, geometry.width, 3), 7, np.uint8)
    write_input(image, geometry, out)
    return out, geometry


def torchvision_resize(image: np.ndarray, scaled: int | list[int], size: int = 224) -> np.ndarray:
    """float64 [size, size, 3]: torchvision's Resize(scaled, antialias=True) and CenterCrop(size)."""
    import torch
    from torchvision.transforms.v2.functional import center_crop, resize

    picture = resize(torch.from_numpy(image).permute(2, 0, 1), scaled, antialias=True)
    return center_crop(picture, [size, size]).permute(1, 2, 0).numpy().astype(float)


def errors(image: np.ndarray, rule: str, size: int) -> tuple[float, float]:
    """Mean errors against torchvision, in grey levels: anti-aliased, and plain INTER_LINEAR."""
    expected = torchvision_resize(image, [size, size] if rule == "stretch" else size, size)
    ours, plain = (
        prepare(image, InputSpec(height=size, width=size), Resize(rule=rule, antialias=antialias))[0]
        for antialias in (True, False)
    )
    return float(np.abs(ours - expected).mean()), float(np.abs(plain - expected).mean())


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Plain bilinear sampling in float64, pixel centres at one half."""

    def weights(size: int, new: int) -> np.ndarray:
        place = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
        low = np.minimum(np.floor(place).astype(int), size - 1)
        matrix = np.zeros((new, size))
        matrix[np.arange(new), low] += 1 - (place - low)
        matrix[np.arange(new), np.minimum(low + 1, size - 1)] += place - low
        return matrix

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(float), columns)


# The rules, against a plain implementation


@pytest.mark.parametrize("size", [(48, 80), (97, 31), (32, 32), (5, 3), (1, 1)])
def test_stretch_is_a_bilinear_resize(size: tuple[int, int]) -> None:
    image = noise(*size)
    got, _ = prepare(image, InputSpec(height=32, width=40), Resize(rule="stretch", **PLAIN))
    np.testing.assert_allclose(got, bilinear(image, 32, 40), atol=1.01)


@pytest.mark.parametrize(
    ("size", "pad", "scaled", "corner"),
    [
        ((48, 64), "end", (48, 64), (0, 0)),
        ((48, 64), "both", (48, 64), (8, 0)),
        ((45, 64), "both", (45, 64), (9, 0)),  # 19 rows are left: 9 above, 10 below
        ((45, 64), "end", (45, 64), (0, 0)),
        ((64, 45), "both", (64, 45), (0, 9)),
        ((64, 45), "end", (64, 45), (0, 0)),
        ((90, 128), "both", (45, 64), (9, 0)),
        ((24, 32), "both", (48, 64), (8, 0)),
        ((1000, 1), "both", (64, 1), (0, 31)),  # never thinner than a pixel
        ((1, 1000), "end", (1, 64), (0, 0)),
        ((1, 1), "both", (64, 64), (0, 0)),
    ],
)
def test_letterbox_keeps_the_aspect_ratio_and_pads(
    size: tuple[int, int], pad: str, scaled: tuple[int, int], corner: tuple[int, int]
) -> None:
    image = noise(*size)
    expected = np.full((64, 64, 3), 99.0)
    (height, width), (top, left) = scaled, corner
    expected[top : top + height, left : left + width] = bilinear(image, height, width)
    got, _ = prepare(image, InputSpec(height=64, width=64), Resize(rule="letterbox", pad=pad, pad_value=99, **PLAIN))
    np.testing.assert_allclose(got, expected, atol=1.01)


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (719, 1279), (100, 999), (7, 640)])
def test_a_letterbox_that_rounds_down_is_that_of_yolox(size: tuple[int, int]) -> None:
    ratio = min(416 / size[0], 416 / size[1])
    height, width = int(size[0] * ratio), int(size[1] * ratio)
    got, _ = prepare(
        np.full((*size, 3), 255, np.uint8),
        InputSpec(height=416, width=416),
        Resize(rule="letterbox", rounding="down", pad="end", **PLAIN),
    )
    expected = np.full((416, 416, 3), 114, np.uint8)
    expected[:height, :width] = 255
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("pad", ["end", "both"])
@pytest.mark.parametrize(
    ("frame", "expected", "scaled"),
    [
        ((1080, 1920), (384, 640), (360, 640)),
        ((720, 1280), (384, 640), (360, 640)),
        ((1280, 720), (640, 384), (640, 360)),
        ((480, 640), (480, 640), (480, 640)),
        ((500, 500), (640, 640), (640, 640)),
        ((100, 4000), (32, 640), (16, 640)),
        ((300, 500), (384, 640), (384, 640)),
        ((301, 500), (416, 640), (385, 640)),
        ((1, 1), (640, 640), (640, 640)),
    ],
)
def test_a_dynamic_letterbox_takes_the_smallest_rectangle(
    frame: tuple[int, int], expected: tuple[int, int], scaled: tuple[int, int], pad: str
) -> None:
    resize = Resize(rule="letterbox", pad=pad, pad_value=0, **PLAIN)
    got, _ = prepare(np.full((*frame, 3), 255, np.uint8), YOLO, resize)
    assert got.shape == (*expected, 3)
    top, left = [0, 0] if pad == "end" else [(e - s) // 2 for e, s in zip(expected, scaled, strict=True)]
    assert (got[top : top + scaled[0], left : left + scaled[1]] == 255).all()
    assert (got == 255).sum() == 3 * scaled[0] * scaled[1]


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), stride=st.sampled_from([1, 8, 32, 64]))
def test_a_dynamic_input_never_exceeds_its_size(height: int, width: int, stride: int) -> None:
    spec = InputSpec(height=320, width=640, stride=stride, dynamic=True)
    geometry = plan_geometry(height, width, spec, Resize(rule="letterbox"))
    assert 0 < geometry.height <= 320
    assert 0 < geometry.width <= 640
    assert geometry.height % stride == geometry.width % stride == 0


def test_the_graph_gets_the_frame_as_it_is() -> None:
    image = noise(37, 53)
    got, geometry = prepare(image, InputSpec(height=8, width=8), Resize(rule="graph"))
    np.testing.assert_array_equal(got, image)
    boxes_N4 = np.float32([[1, 2, 30, 20]])
    np.testing.assert_array_equal(geometry.to_frame(boxes_N4), boxes_N4)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "area"])
def test_the_interpolation_of_the_contract_wins(interpolation: str) -> None:
    image = noise(50, 70)
    code = getattr(cv2, f"INTER_{interpolation.upper()}")
    resize = Resize(rule="stretch", interpolation=interpolation, **PLAIN)
    got, _ = prepare(image, InputSpec(height=32, width=32), resize)
    np.testing.assert_array_equal(got, cv2.resize(image, (32, 32), interpolation=code))


@pytest.mark.parametrize("frame", [(720, 1280), (1280, 720), (375, 500), (301, 203), (230, 224), (60, 80), (224, 224)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.95])
def test_crop_cuts_what_torchvision_cuts(frame: tuple[int, int], crop_pct: float) -> None:
    """On a picture whose colours are its coordinates, no half lies farther than one pixel of the input away."""
    height, width = frame
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    expected = torchvision_resize(image, int(224 / crop_pct))
    got, _ = prepare(image, InputSpec(height=224, width=224), Resize(rule="crop", crop_pct=crop_pct))
    longer = max(frame) * int(224 / crop_pct) / min(frame)
    for half in (np.s_[:112], np.s_[112:], np.s_[:, :112], np.s_[:, 112:]):
        away = (got[half].astype(float) - expected[half]).mean((0, 1)) / 255 * longer
        assert np.abs(away).max() <= 1


def test_crop_fills_an_input_that_is_less_than_a_pixel_smaller() -> None:
    image = np.full((33, 33, 3), 200, np.uint8)
    got, geometry = prepare(image, InputSpec(height=32, width=32), Resize(rule="crop", crop_pct=0.96))
    assert (geometry.y.scaled, geometry.y.start) == (33, 0)
    assert (got == 200).all()


def test_crop_covers_an_input_that_is_not_square() -> None:
    geometry = plan_geometry(480, 640, InputSpec(height=100, width=200), Resize(rule="crop"))
    assert (geometry.height, geometry.width) == (100, 200)
    boxes_N4 = np.array([[0, 0, 200, 100]], np.float32)
    np.testing.assert_allclose(geometry.to_frame(boxes_N4), [[0, 80, 640, 400]], atol=640 / 200)


# Anti-aliasing


@pytest.mark.parametrize("rule", ["stretch", "crop"])
@pytest.mark.parametrize(("size", "limit"), [(224, 5.2), (256, 5.7)])
def test_shrinking_is_nearly_as_good_as_a_true_antialiased_resize(rule: str, size: int, limit: float) -> None:
    """720p to 224 and 256: mean error against torchvision in grey levels, and against that of plain INTER_LINEAR."""
    ours, plain = errors(scenery(720, 1280), rule, size)
    assert ours < limit
    assert ours < plain / 2


@pytest.mark.parametrize("rule", ["stretch", "crop"])
@pytest.mark.parametrize("size", [160, 200, 224, 256, 288, 336, 384, 416, 448, 480, 512, 600, 719])
def test_antialiasing_makes_no_picture_worse(rule: str, size: int) -> None:
    ours, plain = errors(scenery(720, 1280), rule, size)
    assert ours <= 1.05 * plain


@pytest.mark.parametrize("frame", [(250, 250), (300, 330), (224, 224), (100, 90)])
def test_a_picture_that_hardly_shrinks_is_only_interpolated(frame: tuple[int, int]) -> None:
    image = noise(*frame)
    got, _ = prepare(image, InputSpec(height=224, width=224), Resize(rule="stretch", antialias=True))
    plain, _ = prepare(image, InputSpec(height=224, width=224), Resize(rule="stretch", antialias=False))
    np.testing.assert_array_equal(got, plain)


def test_one_side_may_shrink_much_and_the_other_grow() -> None:
    image = scenery(20, 640)
    got, _ = prepare(image, InputSpec(height=64, width=64), Resize(rule="stretch"))
    blocks = image.reshape(20, 64, 10, 3).mean(2)
    np.testing.assert_allclose(got, bilinear(blocks, 64, 64), atol=2)


# The buffer

RULES = [
    Resize(rule="stretch"),
    Resize(rule="crop", crop_pct=0.875),
    Resize(rule="letterbox", pad="end"),
    Resize(rule="letterbox", pad="both"),
]
FRAMES = [(1, 1), (1, 300), (300, 1), (33, 47), (47, 33), (48, 48), (480, 641), (2, 1999)]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    ("resize", "dynamic"), [(r, False) for r in RULES] + [(r, True) for r in RULES if r.rule == "letterbox"]
)
def test_every_byte_of_its_place_in_the_batch_is_written_and_no_other(
    frame: tuple[int, int], resize: Resize, dynamic: bool
) -> None:
    image = noise(*frame)
    geometry = plan_geometry(*frame, InputSpec(height=48, width=48, stride=16, dynamic=dynamic), resize)
    written = []
    for filling in (0, 255):
        batch_BHW3 = np.full((3, geometry.height, geometry.width, 3), filling, np.uint8)
        write_input(image, geometry, batch_BHW3[1])
        assert (batch_BHW3[[0, 2]] == filling).all()
        written.append(batch_BHW3[1])
    np.testing.assert_array_equal(*written)


def test_the_frame_is_not_changed() -> None:
    image = noise(100, 100)
    before = image.copy()
    for resize in RULES:
        prepare(image, InputSpec(height=32, width=32), resize)
        prepare(image, InputSpec(height=100, width=100), resize)
    np.testing.assert_array_equal(image, before)


def test_a_view_of_a_larger_picture_is_read_rightly() -> None:
    whole = noise(200, 300)
    for view in (whole[20:120, 30:170], whole[::2, ::2], whole[:, ::-1], whole[..., ::-1]):
        for resize in RULES:
            got, _ = prepare(view, InputSpec(height=32, width=32), resize)
            expected, _ = prepare(np.ascontiguousarray(view), InputSpec(height=32, width=32), resize)
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("resize", RULES, ids=lambda resize: f"{resize.rule}-{resize.pad}")
def test_a_very_large_picture(resize: Resize) -> None:
    image = np.zeros((6000, 8000, 3), np.uint8)
    image[:, 4000:] = 200
    got, _ = prepare(image, InputSpec(height=64, width=64), resize)
    row = got[30, :, 0].astype(int)
    assert row[20] == 0
    assert row[44] == 200


@pytest.mark.parametrize("frame", [(1, 2000), (2000, 1)])
def test_a_sliver_is_not_blown_up_before_its_middle_is_cut_out(frame: tuple[int, int]) -> None:
    image = np.full((*frame, 3), 9, np.uint8)
    tracemalloc.start()
    try:
        got, _ = prepare(image, InputSpec(height=224, width=224), Resize(rule="crop"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (got == 9).all()
    assert peak < 32_000_000


# Boxes


@given(
    height=st.integers(30, 400),
    width=st.integers(30, 400),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
    resize=st.sampled_from([r for r in RULES if r.rule != "crop"]),
    antialias=st.booleans(),
    dynamic=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_box_found_in_the_input_lies_where_it_was_in_the_frame(
    height: int, width: int, corners: tuple[float, ...], resize: Resize, antialias: bool, dynamic: bool
) -> None:
    """Draws a box, finds it in the input, takes it back: it is off by a pixel and a half of the coarser one at most."""
    side_x, side_y = width / 4, height / 4
    x1, y1 = int(corners[0] * (width - side_x)), int(corners[1] * (height - side_y))
    x2 = min(width, x1 + int(side_x + corners[2] * (width - side_x - x1)))
    y2 = min(height, y1 + int(side_y + corners[3] * (height - side_y - y1)))
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    spec = InputSpec(height=96, width=128, stride=32, dynamic=dynamic and resize.rule == "letterbox")
    got, geometry = prepare(image, spec, resize.model_copy(update={"antialias": antialias}))
    bright = got[..., 0] > 127
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    found_N4 = np.float32([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]])
    (box_4,) = geometry.to_frame(found_N4)
    pixel = pixels_of_the_frame(height, width, spec, resize)
    assert (np.abs(box_4 - [x1, y1, x2, y2]) <= 1.5 * np.maximum(pixel, 1)).all()


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), resize=st.sampled_from(RULES))
def test_the_whole_input_is_the_whole_frame_or_its_cut(height: int, width: int, resize: Resize) -> None:
    spec = InputSpec(height=224, width=224)
    geometry = plan_geometry(height, width, spec, resize)
    far, (x1, y1, x2, y2) = geometry.to_frame(np.array([[-1e7, -1e7, 1e7, 1e7], [0, 0, 224, 224]], np.float32)).tolist()
    pixel_x, pixel_y = np.maximum(pixels_of_the_frame(height, width, spec, resize), 1)[:2]
    assert (far[0], far[1]) == (0, 0)
    assert width - pixel_x < far[2] <= width
    assert height - pixel_y < far[3] <= height
    if resize.rule == "crop":
        side = min(height, width) * 0.875
        np.testing.assert_allclose([x1, x2], [(width - side) / 2, (width + side) / 2], atol=1.5 * pixel_x)
        np.testing.assert_allclose([y1, y2], [(height - side) / 2, (height + side) / 2], atol=1.5 * pixel_y)
    else:
        np.testing.assert_allclose([x1, y1, x2, y2], [0, 0, width, height], atol=max(pixel_x, pixel_y))


def pixels_of_the_frame(height: int, width: int, spec: InputSpec, resize: Resize) -> np.ndarray:
    """float [4]: how many pixels of the frame a pixel of the input is wide, high, wide and high."""
    y, x = height / spec.height, width / spec.width
    if resize.rule == "letterbox":
        y = x = max(y, x)
    elif resize.rule == "crop":
        y = x = min(y, x) * resize.crop_pct
    return np.array([x, y, x, y])


def test_no_boxes_stay_no_boxes() -> None:
    geometry = plan_geometry(720, 1280, YOLO, Resize(rule="letterbox"))
    boxes_N4 = geometry.to_frame(np.zeros((0, 4), np.float32))
    assert boxes_N4.shape == (0, 4)
    assert boxes_N4.dtype == np.float32
