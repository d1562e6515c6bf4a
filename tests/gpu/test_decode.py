"""NVDEC gives the pictures that the CPU gives, and a model takes them on the GPU, where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import clips
from support.models import tiny_detector

from pipeline.contract import Resize
from pipeline.errors import SinkError
from pipeline.model import OnnxModel
from pipeline.sinks.nvenc import why_no_nvenc
from pipeline.sources import nvdec, open_source
from pipeline.stream import run

pytestmark = pytest.mark.gpu

REQUIRE_NVDEC = "ONSIGHT_REQUIRE_NVDEC"
TIMES = tuple(number / 25 for number in range(60))


@pytest.fixture
def clip(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A GPU need not have a decoder, nor a container its library."""
    path = clips.write_clip(tmp_path / "clip.mp4", TIMES, size=getattr(request, "param", (320, 240)))
    if (reason := nvdec.why_not(str(path))) is not None:
        if os.environ.get(REQUIRE_NVDEC) == "1":
            pytest.fail(f"{REQUIRE_NVDEC}=1, but {reason}", pytrace=False)
        pytest.skip(f"no NVDEC: {reason}")
    return path


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    """One that resizes in its graph: it takes pictures of any size."""
    return OnnxModel(tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph")), "cuda")


def lent(surface: nvdec.NvdecSurface) -> np.ndarray:
    """What the surface lends, copied to the host by ONNX Runtime."""
    surface.__dlpack__()
    return surface._frame.numpy()


def found(records: Path) -> list[tuple[float, list[str]]]:
    """The time and the classes of each frame."""
    told = [json.loads(line) for line in records.read_text().splitlines()]
    return [(each["pts"], sorted(box["label"] for box in each["results"])) for each in told]


@pytest.mark.parametrize("clip", [(320, 240), (1280, 720), (854, 480)], indirect=True)
def test_pictures_and_times_are_those_of_the_cpu(clip: Path, model: OnnxModel) -> None:
    expected, _ = clips.read_all(open_source(str(clip)))
    frames, message = clips.read_all(open_source(str(clip), decoder="nvdec"))
    assert (len(frames), message) == (len(TIMES), "")
    assert [frame.pts for frame in frames] == pytest.approx([frame.pts for frame in expected], abs=1e-6)
    for frame, other in zip(frames, expected, strict=True):
        on_gpu = lent(frame.picture)
        assert np.abs(on_gpu.astype(int) - other.image).max() <= 3
        assert np.array_equal(frame.image, other.image)


def test_a_model_finds_what_it_finds_in_pictures_of_the_host(clip: Path, model: OnnxModel) -> None:
    frames, _ = clips.read_all(open_source(str(clip), decoder="nvdec"))
    for count in (1, 3):
        batch = frames[:count]
        there = model.infer([frame.on_device for frame in batch])
        here = model.infer(np.stack([frame.image for frame in batch]))
        assert there.keys() == here.keys()
        np.testing.assert_array_equal(there["labels"], here["labels"])
        np.testing.assert_allclose(there["scores"], here["scores"], atol=0.02)
        np.testing.assert_allclose(there["boxes"], here["boxes"], atol=1)


def test_a_run_that_writes_records_downloads_nothing(
    clip: Path, model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(str(clip), model, records=str(tmp_path / "cpu.jsonl"), progress=False)
    monkeypatch.setattr(nvdec.NvdecSurface, "download", lambda surface: pytest.fail("downloads a picture"))
    summary = run(str(clip), model, decoder="nvdec", records=str(tmp_path / "gpu.jsonl"), progress=False)
    assert (summary.frames, summary.sources[0].decoder) == (len(TIMES), "nvdec")
    assert found(tmp_path / "gpu.jsonl") == found(tmp_path / "cpu.jsonl")
    assert any(labels for _, labels in found(tmp_path / "gpu.jsonl"))


def test_a_masked_picture_is_never_seen_whole(clip: Path, model: OnnxModel, tmp_path: Path) -> None:
    everything = "masks:\n  all:\n    points: [[0, 0], [1, 0], [1, 1], [0, 1]]\n"
    (tmp_path / "masks.yaml").write_text(everything)
    given = {"decoder": "nvdec", "records": str(tmp_path / "r.jsonl"), "progress": False}
    run(str(clip), model, masks=str(tmp_path / "masks.yaml"), **given)
    assert [labels for _, labels in found(tmp_path / "r.jsonl")] == [[]] * len(TIMES)


def test_a_labelled_video_shows_what_the_gpu_decoded(clip: Path, model: OnnxModel, tmp_path: Path) -> None:
    given = {"preset": "ultrafast", "progress": False}
    for decoder in ("cpu", "nvdec"):
        run(str(clip), model, decoder=decoder, output=str(tmp_path / f"{decoder}.mp4"), **given)
    shown = [clips.read_all(open_source(str(tmp_path / f"{name}.mp4")))[0] for name in ("cpu", "nvdec")]
    assert len(shown[0]) == len(shown[1]) == len(TIMES)
    for frame, other in zip(*shown, strict=True):
        assert np.abs(frame.image.astype(int) - other.image).mean() < 3


def test_many_pictures_may_be_kept(clip: Path, model: OnnxModel) -> None:
    """Which a decoder with a few surfaces of its own would overwrite."""
    frames, _ = clips.read_all(open_source(str(clip), decoder="nvdec"))
    assert [clips.number_in(lent(frame.picture)) for frame in frames] == list(range(len(TIMES)))


def test_nvenc_is_used_or_refused(model: OnnxModel, tmp_path: Path) -> None:
    clip, output = clips.write_clip(tmp_path / "clip.mp4", TIMES, size=(320, 240)), tmp_path / "x.mp4"
    if why_no_nvenc() is not None:
        with pytest.raises(SinkError, match="nvenc cannot be used: "):
            run(str(clip), model, encoder="nvenc", output=str(output), progress=False)
        assert not output.exists()
        return
    summary = run(str(clip), model, encoder="nvenc", output=str(output), progress=False)
    assert summary.sources[0].encoder == "nvenc"
    frames, _ = clips.read_all(open_source(str(output)))
    assert [clips.number_in(cv2.resize(frame.image, (320, 240))) for frame in frames] == list(range(len(TIMES)))
