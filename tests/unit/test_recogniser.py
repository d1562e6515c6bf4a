from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gpu import FakeDriver, use
from support.models import COLOURS, constant_detector, expected_scores, tiny_classifier, tiny_detector
from support.surfaces import FakeSurface, on_host

from pipeline import cuda
from pipeline.contract import Resize
from pipeline.model import OnnxModel, Outputs
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.settings import settle
from pipeline.types import Classification, Detections, Frame, Frames, Image, Recognised


class Watched(OnnxModel):
    """A model that remembers the shapes it was given and where in memory they lay."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "cpu")
        self.shapes: list[tuple[int, ...]] = []
        self.places: list[int] = []

    def infer(self, frames_BHW3: Image) -> Outputs:
        self.shapes.append(frames_BHW3.shape)
        self.places.append(frames_BHW3.__array_interface__["data"][0])
        return super().infer(frames_BHW3)


def frame_of(image: np.ndarray, index: int = 0) -> Frame:
    return Frame(image, "clip.mp4", index, index / 25)


def plain(colour: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def thing(height: int, width: int, box: tuple[int, int, int, int], channel: int, value: int = 255) -> np.ndarray:
    """A black picture with one box of one colour."""
    x1, y1, x2, y2 = box
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2, channel] = value
    return image


def unlooked(frame: Frame) -> Frame:
    return replace(frame, look="ahead")


def mixture(count: int) -> list[Frame]:
    """Frames of three sizes in turns, each with its own picture."""
    sizes = [(48, 64), (100, 60), (64, 64)]
    return [
        frame_of(thing(*sizes[i % 3], (5 + i, 8, 40 + i % 15, 41), i % 3, 255 - 5 * i), index=i) for i in range(count)
    ]


def assert_same(got: Recognised, expected: Recognised) -> None:
    assert got.frame is expected.frame
    np.testing.assert_array_equal(got.results.labels_N, expected.results.labels_N)
    np.testing.assert_allclose(got.results.scores_N, expected.results.scores_N, atol=1e-6)
    np.testing.assert_allclose(got.results.boxes_N4, expected.results.boxes_N4, atol=1e-3)


# Classifiers


def test_a_classifier_names_the_colour(classifier_path: Path) -> None:
    model = OnnxModel(classifier_path, "cpu")
    (item,) = Recogniser(model, settle(model.contract))([frame_of(plain((20, 200, 100)))])
    results = item.results
    assert isinstance(results, Classification)
    assert [results.names[i] for i in results.labels_K] == ["green", "red"]
    np.testing.assert_allclose(results.scores_K, np.sort(expected_scores(plain((20, 200, 100))))[::-1][:2], atol=1e-5)


def test_a_classifier_is_told_how_much_to_report(classifier_path: Path) -> None:
    model = OnnxModel(classifier_path, "cpu")
    frames = [frame_of(plain((20, 200, 100)))]
    (all_of_them,) = Recogniser(model, settle(model.contract, top_k=9))(frames)
    assert len(all_of_them.results) == 3
    (sure_ones,) = Recogniser(model, settle(model.contract, threshold=0.5))(frames)
    assert sure_ones.results.labels_K.tolist() == [1]


# Detectors


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_detector_finds_the_thing_in_pixels_of_the_frame(tmp_path: Path, dynamic: bool) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", size=(96, 96), stride=32, dynamic=dynamic), "cpu")
    (item,) = Recogniser(model, settle(model.contract))([frame_of(thing(180, 320, (60, 30, 200, 90), 1, 204))])
    results = item.results
    assert isinstance(results, Detections)
    assert [COLOURS[i] for i in results.labels_N] == ["green"]
    np.testing.assert_allclose(results.scores_N, [0.8], atol=0.02)
    np.testing.assert_allclose(results.boxes_N4, [[60, 30, 200, 90]], atol=320 / 96)


def test_doubles_are_suppressed(tmp_path: Path) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", doubles=True), "cpu")
    image = np.maximum(thing(64, 64, (5, 5, 20, 20), 0), thing(64, 64, (5, 5, 20, 20), 2, 200))
    (item,) = Recogniser(model, settle(model.contract))([frame_of(image)])
    assert [COLOURS[i] for i in item.results.labels_N] == ["blue", "red"]
    (item,) = Recogniser(model, settle(model.contract, iou=1.0))([frame_of(image)])
    assert len(item.results) == 4


def test_a_run_that_tracks_keeps_what_may_continue_a_track(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    image = sum(thing(64, 64, (10 * c, 5, 10 * c + 9, 60), c, 140 + 40 * c) for c in range(3))
    for track, kept in ((False, [2]), (True, [2, 1, 0])):
        (item,) = Recogniser(model, settle(model.contract, threshold=0.8, track=track))([frame_of(image)])
        assert item.results.labels_N.tolist() == kept
        assert item.results.tracks_N is None


def test_a_frame_without_things(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    (item,) = Recogniser(model, settle(model.contract, threshold=0.0))([frame_of(plain((0, 0, 0)))])
    assert len(item.results) == 0


def test_what_is_hidden_need_not_be_shown(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    image = sum(thing(64, 64, (10 * c, 5, 10 * c + 9, 60), c, 140) for c in range(3))
    settings = settle(model.contract, classes=["blue"], redact=["red"], threshold=0.9)
    (item,) = Recogniser(model, settings)([frame_of(image)])
    assert len(item.results) == 0
    np.testing.assert_allclose(item.hide_N4, [[20, 5, 29, 60]], atol=0.01)


def test_what_is_shown_does_not_hang_on_what_is_hidden(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    image = sum(thing(64, 64, (10 * c, 5, 10 * c + 9, 60), c, 140 + 40 * c) for c in range(3))
    for threshold, shown in ((0.6, [2, 1]), (None, [2, 1, 0])):
        items = [
            Recogniser(model, settle(model.contract, threshold=threshold, redact=redact))([frame_of(image)])[0]
            for redact in ([], ["blue"])
        ]
        assert [item.results.labels_N.tolist() for item in items] == [shown] * 2
        assert items[0].hide_N4 is None
        assert len(items[1].hide_N4) == 1


def test_overlapping_boxes_are_hidden_each(tmp_path: Path) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", doubles=True), "cpu")
    settings = settle(model.contract, redact=["blue"], iou=0.0)
    (item,) = Recogniser(model, settings)([frame_of(thing(64, 64, (5, 5, 20, 20), 0))])
    assert (len(item.results), len(item.hide_N4)) == (1, 2)


def test_a_frame_without_anything_to_hide_says_so(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    (item,) = Recogniser(model, settle(model.contract, redact=["blue"]))([frame_of(plain((0, 0, 0)))])
    assert item.hide_N4.shape == (0, 4)


# Batches


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_batch_of_mixed_sizes_is_as_good_as_one_at_a_time(tmp_path: Path, batch: int | None, dynamic: bool) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", stride=16, dynamic=dynamic, batch=batch), "cpu")
    recogniser = Recogniser(model, settle(model.contract))
    frames = mixture(7) + mixture(2)
    together = recogniser(frames)
    assert [item.frame for item in together] == frames
    for item, frame in zip(together, frames, strict=True):
        assert_same(item, recogniser([frame])[0])
        assert len(item.results) == 1


def test_frames_of_one_input_size_share_a_call(tmp_path: Path) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx", size=(64, 64)))
    Recogniser(model, settle(model.contract))(mixture(6))
    assert model.shapes == [(6, 64, 64, 3)]


def test_frames_of_different_input_sizes_do_not(tmp_path: Path) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx", size=(64, 64), stride=16, dynamic=True))
    wide, high = plain((0, 0, 0), 32, 64), plain((0, 0, 0), 64, 32)
    Recogniser(model, settle(model.contract))([frame_of(image) for image in (wide, wide, high, wide)])
    assert model.shapes == [(2, 32, 64, 3), (1, 64, 32, 3), (1, 32, 64, 3)]


def test_a_graph_of_batch_1_is_called_for_each_frame(tmp_path: Path) -> None:
    model = OnnxModel(tiny_classifier(tmp_path / "m.onnx", batch=1), "cpu")
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    items = Recogniser(model, settle(model.contract))([frame_of(plain(colour)) for colour in colours])
    assert [item.results.labels_K[0] for item in items] == [0, 1, 2]


def test_no_frames_no_results(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    assert Recogniser(model, settle(model.contract))([]) == []


def test_the_buffer_is_used_again(tmp_path: Path) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx"))
    recogniser = Recogniser(model, settle(model.contract))
    for count in (4, 1, 3, 4, 2):
        items = recogniser(mixture(count))
        assert all(len(item.results) == 1 for item in items)
    assert len(set(model.places)) == 1


def test_a_buffer_that_is_too_small_is_given_back_at_the_turnstile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could be given back while another thread records a CUDA graph."""
    driver, inside = use(FakeDriver(), monkeypatch), list[int]()
    monkeypatch.setattr(driver, "_cuMemFreeHost", lambda place: inside.append(cuda.turnstile._inside))
    model = Watched(tiny_detector(tmp_path / "m.onnx"))
    model.device = "cuda"
    recogniser = Recogniser(model, settle(model.contract))
    for count in (1, 3):
        for frames, geometries in recogniser.batches(mixture(count)):
            recogniser.inputs(frames, geometries)
    assert inside == [1]


def test_two_recognisers_share_a_model_but_no_buffer(tmp_path: Path) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx"))
    first, second = (Recogniser(model, settle(model.contract)) for _ in range(2))
    first(mixture(2)), second(mixture(2))
    assert len(set(model.places)) == 2


# Graphs that resize


@pytest.mark.parametrize("count", [1, 3])
def test_a_graph_that_resizes_gets_frames_of_any_size(tmp_path: Path, count: int) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    frames = [frame_of(thing(90, 160, (20 + i, 30, 70, 60), i)) for i in range(count)]
    frames.append(frame_of(thing(50, 30, (0, 1, 30, 50), 2)))
    items = Recogniser(model, settle(model.contract))(frames)
    assert model.shapes == [(count, 90, 160, 3), (1, 50, 30, 3)]
    boxes = [item.results.boxes_N4.tolist() for item in items]
    assert boxes == [[[20 + i, 30, 70, 60]] for i in range(count)] + [[[0, 1, 30, 50]]]


def test_a_graph_that_resizes_may_get_a_part_of_a_picture(tmp_path: Path) -> None:
    model = OnnxModel(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")), "cpu")
    whole = np.concatenate([plain((0, 0, 250)), plain((250, 0, 0))], axis=1)
    items = Recogniser(model, settle(model.contract))([frame_of(whole[:, :64]), frame_of(whole[:, ::-1][:, :64])])
    assert [item.results.labels_K[0] for item in items] == [2, 0]


# Tiles

WHOLE = Resize(rule="letterbox")


@pytest.mark.parametrize("batch", [None, 1])
def test_what_is_too_small_in_the_frame_is_found_in_tiles(tmp_path: Path, batch: int | None) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", resize=WHOLE, batch=batch), "cpu")
    image = thing(480, 640, (50, 60, 56, 66), 1)
    image[400:406, 500:506, 1] = 255
    (item,) = Recogniser(model, settle(model.contract))([frame_of(image)])
    assert len(item.results) == 0
    (item,) = Recogniser(model, settle(model.contract, tiles=(4, 3)))([frame_of(image)])
    boxes_N4 = item.results.boxes_N4[np.argsort(item.results.boxes_N4[:, 0])]
    np.testing.assert_allclose(boxes_N4, [[50, 60, 56, 66], [500, 400, 506, 406]], atol=3)
    assert item.results.labels_N.tolist() == [1, 1]
    assert item.results.names == COLOURS
    assert item.hide_N4 is None


@pytest.mark.parametrize("tiles", [(2, 2), (3, 1), (1, 3), (4, 4)])
def test_what_lies_across_tiles_is_found_once(tmp_path: Path, tiles: tuple[int, int]) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx"), "cpu")
    frame = frame_of(thing(480, 640, (100, 60, 560, 420), 2))
    (item,) = Recogniser(model, settle(model.contract, tiles=tiles))([frame])
    np.testing.assert_allclose(item.results.boxes_N4, [[100, 60, 560, 420]], atol=10)


def test_what_is_long_and_thin_is_found_once_though_no_view_sees_it_whole(tmp_path: Path) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", resize=WHOLE), "cpu")
    frame = frame_of(thing(480, 640, (20, 60, 620, 64), 0))
    assert len(Recogniser(model, settle(model.contract))([frame])[0].results) == 0
    (item,) = Recogniser(model, settle(model.contract, tiles=(4, 4)))([frame])
    np.testing.assert_allclose(item.results.boxes_N4, [[20, 60, 620, 64]], atol=4)


@pytest.mark.parametrize(
    ("tiles", "shapes"), [((2, 1), [3]), ((2, 2), [5]), ((7, 1), [8]), ((3, 3), [8, 2]), ((4, 4), [8, 8, 1])]
)
def test_the_views_of_a_frame_share_calls_but_never_too_many(
    tmp_path: Path, tiles: tuple[int, int], shapes: list[int]
) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx"))
    frames = mixture(3)
    items = Recogniser(model, settle(model.contract, tiles=tiles))(frames)
    assert model.shapes == [(count, 64, 64, 3) for count in shapes] * 3
    assert len(set(model.places)) == 1
    assert [item.frame for item in items] == frames
    for item, whole in zip(items, Recogniser(model, settle(model.contract))(frames), strict=True):
        assert item.results.labels_N.tolist() == whole.results.labels_N.tolist()
        np.testing.assert_allclose(item.results.boxes_N4, whole.results.boxes_N4, atol=1.5)


def test_of_each_view_the_best_three_hundred_boxes_are_joined(tmp_path: Path) -> None:
    """Each view sees the same boxes at the same place in it: whole frame and first tile agree, the second is apart."""
    corners = [(30 + 4 * (i % 20), 30 + 4 * (i // 20)) for i in range(320)]
    rows = [((x, y, x + 2, y + 2), 0.9 - 0.001 * i, 0) for i, (x, y) in enumerate(corners)]
    model = OnnxModel(constant_detector(tmp_path / "m.onnx", rows, nms=False), "cpu")
    frame = frame_of(plain((0, 0, 0), 400, 400))
    assert len(Recogniser(model, settle(model.contract))([frame])[0].results) == 320
    (item,) = Recogniser(model, settle(model.contract, tiles=(2, 1), redact=["person"]))([frame])
    assert len(item.results) == 600
    assert item.results.scores_N.min() == pytest.approx(0.9 - 0.299)
    assert item.hide_N4 is not None
    assert len(item.hide_N4) == 3 * 320


@pytest.mark.parametrize("resize", [Resize(rule="graph"), Resize(rule="stretch", antialias=False)])
def test_tiles_go_with_every_way_to_resize(tmp_path: Path, resize: Resize) -> None:
    model = OnnxModel(tiny_detector(tmp_path / "m.onnx", resize=resize), "cpu")
    frame = frame_of(thing(90, 160, (20, 30, 150, 60), 1))
    (item,) = Recogniser(model, settle(model.contract, tiles=(2, 2)))([frame])
    np.testing.assert_allclose(item.results.boxes_N4, [[20, 30, 150, 60]], atol=2)


def test_tiles_go_with_a_dynamic_input(tmp_path: Path) -> None:
    model = Watched(tiny_detector(tmp_path / "m.onnx", stride=16, dynamic=True))
    frame = frame_of(thing(60, 160, (20, 30, 150, 50), 1))
    (item,) = Recogniser(model, settle(model.contract, tiles=(2, 1)))([frame])
    assert model.shapes == [(1, 32, 64, 3), (2, 48, 64, 3)]
    np.testing.assert_allclose(item.results.boxes_N4, [[20, 30, 150, 50]], atol=3)


def test_what_any_view_wants_hidden_is_hidden(tmp_path: Path) -> None:
    rows = [((1, 2, 9, 8), 0.9, 0), ((1, 2, 9, 8), 0.8, 0), ((1, 2, 9, 8), 0.9, 1)]
    model = OnnxModel(constant_detector(tmp_path / "m.onnx", rows), "cpu")
    settings = settle(model.contract, redact=["person"], classes=["car"], tiles=(2, 1))
    (item,) = Recogniser(model, settings)([frame_of(plain((0, 0, 0), 60, 90))])
    assert item.hide_N4.tolist() == [[1, 2, 9, 8]] * 4 + [[41, 2, 49, 8]] * 2
    assert item.results.boxes_N4.tolist() == [[1, 2, 9, 8], [41, 2, 49, 8]]


def test_a_box_that_cannot_be_hidden_in_a_tile_withholds_the_frame(tmp_path: Path) -> None:
    model = OnnxModel(constant_detector(tmp_path / "m.onnx", [((float("nan"),) * 4, 0.9, 0)]), "cpu")
    settings = settle(model.contract, redact=["person"], tiles=(2, 2))
    (item,) = Recogniser(model, settings)([frame_of(plain((0, 0, 0)))])
    assert np.isnan(item.hide_N4).all()
    assert Redactor(hide=True)(item) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_frames_with_fewer_pixels_than_tiles(detector_path: Path, size: tuple[int, int]) -> None:
    model = OnnxModel(detector_path, "cpu")
    frame = frame_of(plain((255, 0, 0), *size))
    (item,) = Recogniser(model, settle(model.contract, tiles=(8, 8)))([frame])
    np.testing.assert_allclose(item.results.boxes_N4, [[0, 0, size[1], size[0]]], atol=1)


def test_thresholds_of_classes_are_those_of_the_results(detector_path: Path) -> None:
    model = OnnxModel(detector_path, "cpu")
    image = sum(thing(64, 64, (10 * c, 5, 10 * c + 9, 60), c, 140 + 40 * c) for c in range(3))
    own = {"red": 0.9, "blue": 0.5}
    for track, kept in ((False, [0]), (True, [2, 1, 0])):
        settings = settle(model.contract, threshold=0.8, class_thresholds=own, track=track)
        assert Recogniser(model, settings)([frame_of(image)])[0].results.labels_N.tolist() == kept


# Frames that are not to be looked at


@pytest.mark.parametrize("tiles", [None, (2, 1)])
def test_frames_that_are_looked_at_share_a_batch_past_those_that_are_not(
    detector_path: Path, tiles: tuple[int, int] | None
) -> None:
    model = Watched(detector_path)
    recognise = Recogniser(model, settle(model.contract, threshold=0.5, tiles=tiles))
    alone = [frame_of(thing(48, 64, (5 + n, 8, 40, 41), 2), n) for n in range(3)]
    between = [unlooked(frame_of(thing(48, 64, (0, 0, 64, 48), 1), n)) for n in range(3)]
    expected = recognise(alone)
    model.shapes.clear()
    got = recognise([between[0], alone[0], between[1], between[2], alone[1], alone[2]])
    assert [each.frame for each in got] == [between[0], alone[0], between[1], between[2], alone[1], alone[2]]
    for index, other in ((1, 0), (4, 1), (5, 2)):
        assert_same(got[index], expected[other])
    for index in (0, 2, 3):
        found = got[index].results
        assert isinstance(found, Detections)
        assert (len(found), found.boxes_N4.shape, found.names) == (0, (0, 4), expected[0].results.names)
    assert [shape[0] for shape in model.shapes] == ([3] if tiles is None else [3, 3, 3])


def test_a_frame_that_is_not_looked_at_costs_no_inference_and_hides_nothing(
    classifier_path: Path, detector_path: Path
) -> None:
    for path, kind in ((classifier_path, Classification), (detector_path, Detections)):
        model = Watched(path)
        hidden = {"redact": ["red"]} if kind is Detections else {}
        (item,) = Recogniser(model, settle(model.contract, **hidden))([unlooked(frame_of(plain((20, 200, 100))))])
        assert isinstance(item.results, kind)
        assert len(item.results) == 0
        assert Redactor(hide=bool(hidden))(item) is None or not hidden
        assert model.shapes == []


# Pictures on a GPU


class OnGpu:
    """A model that says it is on a GPU, and notes what it is given."""

    def __init__(self, path: Path, device: str = "cuda") -> None:
        self._model = OnnxModel(path, "cpu")
        self.contract, self.device = self._model.contract, device
        self.given: list[Frames] = []

    def infer(self, frames: Frames) -> Outputs:
        self.given.append(frames)
        return self._model.infer(frames if isinstance(frames, np.ndarray) else np.stack([on_host(f) for f in frames]))


def surfaces_of(*sizes: tuple[int, int]) -> list[FakeSurface]:
    return [FakeSurface(thing(*size, (5, 8, 30, 31), i % 3)) for i, size in enumerate(sizes)]


def test_a_graph_that_resizes_takes_pictures_from_where_they_are(tmp_path: Path) -> None:
    model = OnGpu(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    surfaces = surfaces_of((48, 64), (48, 64), (100, 60))
    seen = Recogniser(model, settle(model.contract))([frame_of(surface) for surface in surfaces])
    assert [len(each) for each in model.given] == [2, 1]
    assert [each for batch in model.given for each in batch] == surfaces
    assert [each.results.labels_N.tolist() for each in seen] == [[0], [1], [2]]
    assert [surface.downloads for surface in surfaces] == [0, 0, 0]


@pytest.mark.parametrize(
    ("rule", "device", "tiles"), [("stretch", "cuda", None), ("graph", "cpu", None), ("graph", "cuda", (2, 2))]
)
def test_else_they_are_downloaded(rule: str, device: str, tiles: tuple[int, int] | None, tmp_path: Path) -> None:
    model = OnGpu(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule=rule)), device)
    (surface,) = surfaces_of((64, 64))
    (seen,) = Recogniser(model, settle(model.contract, tiles=tiles))([frame_of(surface)])
    assert all(isinstance(each, np.ndarray) for each in model.given)
    assert seen.results.labels_N.tolist() == [0]
    assert surface.downloads > 0


def test_a_batch_with_a_picture_of_the_host_is_made_there(tmp_path: Path) -> None:
    model = OnGpu(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    (surface,) = surfaces_of((48, 64))
    pictures = [surface, thing(48, 64, (5, 8, 30, 31), 1)]
    seen = Recogniser(model, settle(model.contract))([frame_of(picture) for picture in pictures])
    assert [each.shape for each in model.given] == [(2, 48, 64, 3)]
    assert [each.results.labels_N.tolist() for each in seen] == [[0], [1]]
