"""The slot of a GPU, with ONNX Runtime on the CPU and a driver whose GPU is memory of the host."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gpu import FakeDriver, FakePicture, use
from support.models import tiny_classifier, tiny_detector

from pipeline import cuda, slot
from pipeline.contract import Resize
from pipeline.errors import DeviceError
from pipeline.model import OnnxModel, Outputs
from pipeline.session import Session, open_session
from pipeline.slot import Slot


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    return use(FakeDriver(), monkeypatch)


def noise(batch: int, height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def make(path: Path, **options: Any) -> tuple[Slot, OnnxModel]:
    model = OnnxModel(path, "cpu")
    return Slot(model._session, model.contract.outputs, device="cpu", **options), model


def check(got: Outputs, expected: Outputs) -> None:
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name].dtype == values.dtype
        np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize("build", [tiny_classifier, tiny_detector])
def test_it_answers_what_the_session_answers(tmp_path: Path, build) -> None:
    mine, model = make(build(tmp_path / "m.onnx", size=(64, 64)))
    for seed, number in enumerate((3, 1, 3, 5, 1)):
        frames_BHW3 = noise(number, seed=seed)
        check(mine.infer(frames_BHW3, 1), model.infer(frames_BHW3))


class CopiesInputs:
    """The binding of a session whose input goes to nodes on another device: it is read when it is bound."""

    def __init__(self, io: Any) -> None:
        self._io, self._copies = io, []

    def bind_input(self, name: str, device: str, number: int, dtype: Any, shape: tuple[int, ...], place: int) -> None:
        self._copies.append(ctypes.create_string_buffer(ctypes.string_at(place, int(np.prod(shape)))))
        self._io.bind_input(name, device, number, dtype, shape, ctypes.addressof(self._copies[-1]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)


def test_an_input_that_is_read_when_it_is_bound_is_not_the_one_before(tmp_path: Path) -> None:
    mine, model = make(tiny_detector(tmp_path / "m.onnx"))
    bind, run = model._session.io_binding, model._session.run_with_iobinding
    model._session.io_binding = lambda: CopiesInputs(bind())
    model._session.run_with_iobinding = lambda io, options=None: run(io._io, options)
    for seed in range(3):
        check(mine.infer(noise(2, seed=seed), 1), model.infer(noise(2, seed=seed)))


def test_a_short_batch_is_made_up_and_only_its_own_frames_answered(tmp_path: Path) -> None:
    mine, model = make(tiny_detector(tmp_path / "m.onnx"))
    shapes = []
    run = model._session.run_with_iobinding
    model._session.run_with_iobinding = lambda io, options=None: (run(io, options), shapes.append(shape(io)))
    for number in (8, 3, 1, 8):
        check(mine.infer(noise(number, seed=number), 8), model.infer(noise(number, seed=number)))
    assert set(shapes) == {(8, 3)}
    assert len(shapes) == 1 + 4  # the first tells how much room the outputs need


def shape(io: Any) -> tuple[int, ...]:
    """Of the scores."""
    return tuple(io.get_outputs()[1].shape())


def test_answers_are_the_callers_own(tmp_path: Path) -> None:
    mine, _ = make(tiny_classifier(tmp_path / "m.onnx"))
    first = mine.infer(np.full((1, 32, 32, 3), (200, 0, 0), np.uint8), 1)["scores"]
    before = first.copy()
    mine.infer(np.full((1, 32, 32, 3), (0, 0, 200), np.uint8), 1)
    np.testing.assert_array_equal(first, before)


def test_buffers_are_used_again(tmp_path: Path, driver: FakeDriver) -> None:
    mine, _ = make(tiny_detector(tmp_path / "m.onnx"))
    mine.infer(noise(4), 4)
    allocated = driver.count("cuMemAlloc_v2"), driver.count("cuMemHostAlloc")
    for number in (4, 2, 1, 3, 4):
        mine.infer(noise(number), 4)
    assert (driver.count("cuMemAlloc_v2"), driver.count("cuMemHostAlloc")) == allocated


def test_memory_does_not_grow_with_the_number_of_shapes(tmp_path: Path, driver: FakeDriver) -> None:
    mine, model = make(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    for height in range(90, 60, -1):
        frames_BHW3 = noise(1, height, 40)
        check(mine.infer(frames_BHW3, 1), model.infer(frames_BHW3))
    assert len(driver.blocks) <= 1 + 2 * slot._MOST_BINDINGS


def test_a_part_of_a_picture_is_taken_as_it_is_seen(tmp_path: Path) -> None:
    mine, model = make(tiny_classifier(tmp_path / "m.onnx"))
    frames_BHW3 = noise(2, 64, 64)[:, ::2, ::-2]
    assert not frames_BHW3.flags.c_contiguous
    check(mine.infer(frames_BHW3, 1), model.infer(np.ascontiguousarray(frames_BHW3)))


# Pictures that are on the GPU


def test_pictures_on_the_gpu_are_taken_from_there(tmp_path: Path, driver: FakeDriver) -> None:
    mine, model = make(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    frames_BHW3 = noise(3, 50, 70)
    check(mine.infer([FakePicture(each) for each in frames_BHW3], 4), model.infer(frames_BHW3))
    assert (driver.count("cuMemcpyDtoDAsync_v2"), driver.count("cuMemcpyHtoDAsync_v2")) == (3, 0)


def test_only_bytes_of_one_size_are_copied(tmp_path: Path) -> None:
    mine, _ = make(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    with pytest.raises(ValueError, match="not float32"):
        mine.infer(noise(1).astype(np.float32), 1)
    with pytest.raises(ValueError, match="one size"):
        mine.infer([FakePicture(noise(1)[0]), FakePicture(noise(1, 32)[0])], 1)


def test_what_has_begun_to_make_them_is_waited_for(tmp_path: Path, driver: FakeDriver) -> None:
    mine, _ = make(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    mine.infer([FakePicture(noise(1)[0])], 1)
    assert driver.asked.index("cuStreamSynchronize") < driver.asked.index("cuMemcpyDtoDAsync_v2")


def test_a_picture_elsewhere_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    mine, model = make(tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph")))
    with pytest.raises(DeviceError, match="does not lie in the memory of the first NVIDIA GPU"):
        mine.infer([FakePicture(noise(1)[0], kind=1)], 1)
    with pytest.raises(ValueError, match=r"a picture must be uint8 \[H, W, 3\]"):
        mine.infer([FakePicture(np.zeros((4, 4, 3), np.float32))], 1)
    with pytest.raises(DeviceError, match="runs on the CPU and cannot take pictures from a GPU"):
        model.infer([FakePicture(noise(1)[0])])


# CUDA graphs


class Recorder:
    """A session that is asked to record CUDA graphs. Notes the number of the graph of each inference."""

    def __init__(self, session: Session, failing: bool = False) -> None:
        self._session, self._failing = session, failing
        self.graphs: list[str] = []
        self.alone: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, io: Any, options: Any) -> None:
        number = options.get_run_config_entry("gpu_graph_id")
        if number != "-1" and self._failing:
            raise RuntimeError("[ONNXRuntimeError] : 11 : cannot record\nmore")
        self.graphs.append(number)
        self.alone.append(not cuda.turnstile._inside)
        self._session.run_with_iobinding(io, options)


def test_each_shape_is_recorded_alone_then_played_together_with_others(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / "m.onnx")
    recorder = Recorder(open_session(path, "cpu", 1, {}))
    mine, model = make(path, open_recorder=lambda: recorder)
    for number, batch in ((3, 3), (1, 3), (2, 2), (3, 3)):
        check(mine.infer(noise(number, 32, 32), batch), model.infer(noise(number, 32, 32)))
    assert "".join(recorder.graphs) == "-1" + "111" + "1" + "1" + "-1" + "222" + "2" + "1"
    assert recorder.alone == [False, *[True] * 3, *[False] * 3, *[True] * 3, False, False]


def test_shapes_without_end_are_not_recorded(tmp_path: Path, caplog) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", resize=Resize(rule="graph"))
    mine, model = make(path, open_recorder=lambda: Recorder(open_session(path, "cpu", 1, {})))
    for height in range(60, 30, -1):
        check(mine.infer(noise(1, height, 40), 1), model.infer(noise(1, height, 40)))
    assert caplog.messages == ["goes on without CUDA graphs: the size of the frames changes too often"]


def test_where_it_cannot_record_it_says_so_once_and_goes_on(tmp_path: Path, caplog) -> None:
    path = tiny_classifier(tmp_path / "m.onnx")
    mine, model = make(path, open_recorder=lambda: Recorder(open_session(path, "cpu", 1, {}), failing=True))
    for number in (1, 2, 1):
        check(mine.infer(noise(number, 32, 32), 1), model.infer(noise(number, 32, 32)))
    assert caplog.messages == ["goes on without CUDA graphs: [ONNXRuntimeError] : 11 : cannot record"]
