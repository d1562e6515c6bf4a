import cv2
import numpy as np
import pytest

from pipeline.serve.thumbnails import LONGEST, cut_out, to_jpeg

Box = tuple[float, float, float, float]


def ramp(height: int, width: int) -> np.ndarray:
    """Every pixel tells its column (blue) and row (green), scaled to 0 … 255."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return image


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0.45, 0.4, 0.55, 0.6), (300, 300)),  # 1.5 times 200 rows
        ((0.4, 0.4, 0.6, 0.6), (320, 320)),  # 600, made smaller
        ((0.0, 0.0, 0.02, 0.02), (250, 250)),  # at least a quarter of the height
        ((0.0, 0.0, 1.0, 1.0), (160, 320)),  # cut at the frame
        (None, (160, 320)),
    ],
)
def test_the_cut_is_a_square_around_the_box(box: Box | None, size: tuple[int, int]) -> None:
    assert cut_out(ramp(1000, 2000), box).shape[:2] == size


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 0.1, 0.1), (0.9, 0.9, 1.0, 1.0), (0.3, 0.5, 0.4, 0.6), (-0.2, 0.9, 0.1, 1.3)]
)
def test_the_box_lies_inside_the_cut(box: Box) -> None:
    image = ramp(400, 400)
    cut = cut_out(image, box)
    left, top = (max(0.0, edge) for edge in box[:2])
    right, bottom = (min(1.0, edge) for edge in box[2:])
    assert cut[..., 0].min() <= 255 * left + 1
    assert cut[..., 1].min() <= 255 * top + 1
    assert cut[..., 0].max() >= 255 * right - 1
    assert cut[..., 1].max() >= 255 * bottom - 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (100, 200)])
def test_any_frame_gives_a_picture(shape: tuple[int, int]) -> None:
    for box in (None, (0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)):
        cut = cut_out(ramp(*shape), box)
        assert cut.size > 0
        assert max(cut.shape) <= LONGEST


def test_it_is_written_as_jpeg() -> None:
    image = cv2.imdecode(np.frombuffer(to_jpeg(np.full((40, 60, 3), 120, np.uint8)), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (40, 60, 3)
    assert abs(int(image.mean()) - 120) <= 2
